//! What checkout counts, beside what every service does.

use std::sync::LazyLock;

use platform::metrics::{counters, gauge, latency, postgres};
use prometheus::{Histogram, IntCounterVec, IntGauge};

/// The names of transactions, and of statements outside of any.
const TRANSACTIONS: [&str; 8] = [
    "abandon_purchase",
    "add_to_cart",
    "begin_purchase",
    "cart",
    "delete_from_cart",
    "purchase_backlog",
    "settle_purchase",
    "take_due_purchases",
];

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
/// How long the oldest of them has waited for that.
pub static OLDEST_PENDING_SECONDS: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "checkout_purchases_oldest_pending_seconds",
        "Time since the oldest purchase under way began, in seconds, over all replicas; 0 if there is none.",
    )
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
        "Time that a call to ProductService waited for its turn under the limits, whether it got it or gave up, in seconds.",
    )
});

/// Declares every metric, so that known label values are there, at zero, from the start.
pub fn declare() {
    postgres::declare(&TRANSACTIONS);
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
    LazyLock::force(&OLDEST_PENDING_SECONDS);
    LazyLock::force(&PRODUCT_LIMIT_WAIT_SECONDS);
}

#[cfg(test)]
mod tests {
    use platform::testing::transactions_of;

    use super::*;

    #[test]
    fn every_transaction_is_declared() {
        assert_eq!(transactions_of(env!("CARGO_MANIFEST_DIR")), TRANSACTIONS);
    }
}
