//! What checkout counts, beside what every service does.

use platform::metrics::{Counters, LATENCY_BUCKETS};
use prometheus::{Histogram, IntGauge};

const PRODUCT_AGE_BUCKETS: &[f64] =
    &[1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0];

platform::metrics! {
    /// Changes of carts, each of one SKU: add or delete.
    pub CART_CHANGES: Counters<1> = counters("checkout_cart_changes_total", ["change"], [["add"], ["delete"]]);
    /// Purchases by outcome: ordered, refused, or abandoned (a request that LOMS would not read); in_doubt counts the
    /// attempts that LOMS did not answer.
    pub PURCHASES: Counters<1> = counters(
        "checkout_purchases_total",
        ["outcome"],
        [["ordered"], ["refused"], ["abandoned"], ["in_doubt"]]
    );
    /// Purchases under way, those left in doubt included, over all replicas.
    pub PURCHASES_PENDING: IntGauge = gauge("checkout_purchases_pending");
    /// Time since the oldest purchase under way began, in seconds, over all replicas; 0 if there is none.
    pub OLDEST_PENDING_SECONDS: IntGauge = gauge("checkout_purchases_oldest_pending_seconds");
    /// Lines of carts by where name and price were looked for: in the database (hit), or by a call to ProductService (miss)
    /// or one that was under way for somebody else already (joined); old, beside these, if they came from the database
    /// because ProductService did not tell in time what is newer.
    pub PRODUCT_LOOKUPS: Counters<1> =
        counters("checkout_product_lookups_total", ["source"], [["hit"], ["old"], ["miss"], ["joined"]]);
    /// How long ago ProductService told the oldest name and price that a cart was shown with, in seconds.
    pub PRODUCT_AGE_SECONDS: Histogram = histogram("checkout_product_age_seconds", PRODUCT_AGE_BUCKETS);
    /// Products for which ProductService was asked in the background, by what it said: a price (told), that it does not
    /// know them (unknown), or nothing in time (failed).
    pub PRODUCTS_REFRESHED: Counters<1> =
        counters("checkout_products_refreshed_total", ["outcome"], [["told"], ["unknown"], ["failed"]]);
    /// Time that a call to ProductService for a shopper waited for its turn under the limits, whether it got it or gave
    /// up, in seconds.
    pub PRODUCT_LIMIT_WAIT_SECONDS: Histogram = histogram("checkout_product_limit_wait_seconds", LATENCY_BUCKETS);
}
