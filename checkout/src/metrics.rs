//! What checkout counts, beside what every service does.

use std::sync::LazyLock;

use platform::metrics::{counters, gauge, latency};
use prometheus::{Histogram, IntCounterVec, IntGauge};

/// Changes of carts, by `add` and `delete`.
pub static CART_CHANGES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters("checkout_cart_changes_total", "Changes of carts: units added (add) or taken off (delete).", &["change"])
});
/// How purchases ended, or that an attempt to end one failed.
pub static PURCHASES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "checkout_purchases_total",
        "Purchases by outcome: ordered, refused, or abandoned (a request that LOMS would not read); in_doubt counts \
         the attempts that LOMS did not answer.",
        &["outcome"],
    )
});
/// Purchases that LOMS has yet to answer for.
pub static PURCHASES_PENDING: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge("checkout_purchases_pending", "Purchases under way, those left in doubt included, over all replicas.")
});
/// Where names and prices came from.
pub static PRODUCT_LOOKUPS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "checkout_product_lookups_total",
        "Lookups of a product by where the answer came from: the cache (hit), a call to ProductService (miss), or \
         such a call that was under way for somebody else already (joined).",
        &["source"],
    )
});
/// How long calls waited for their turn.
pub static PRODUCT_LIMIT_WAIT_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    latency(
        "checkout_product_limit_wait_seconds",
        "Time that a call to ProductService waited for its turn under the limits, in seconds.",
    )
});

/// Declares every metric, so that known label values are there, at zero, from the start.
pub fn declare() {
    for change in ["add", "delete"] {
        CART_CHANGES.with_label_values(&[change]);
    }
    for outcome in ["ordered", "refused", "abandoned", "in_doubt"] {
        PURCHASES.with_label_values(&[outcome]);
    }
    for source in ["hit", "miss", "joined"] {
        PRODUCT_LOOKUPS.with_label_values(&[source]);
    }
    LazyLock::force(&PURCHASES_PENDING);
    LazyLock::force(&PRODUCT_LIMIT_WAIT_SECONDS);
}
