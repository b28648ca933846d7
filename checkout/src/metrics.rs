//! What checkout counts, beside what every service does.

use platform::metrics::{Counters, LATENCY_BUCKETS};
use prometheus::{Histogram, IntGauge};

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
    /// Lookups of a product by where the answer came from: the cache (hit), a call to ProductService (miss), or such a
    /// call that was under way for somebody else already (joined).
    pub PRODUCT_LOOKUPS: Counters<1> =
        counters("checkout_product_lookups_total", ["source"], [["hit"], ["miss"], ["joined"]]);
    /// Time that a call to ProductService waited for its turn under the limits, whether it got it or gave up, in seconds.
    pub PRODUCT_LIMIT_WAIT_SECONDS: Histogram = histogram("checkout_product_limit_wait_seconds", LATENCY_BUCKETS);
}
