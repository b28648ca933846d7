//! The pool of connections to Postgres, and transactions by name. A statement outside a transaction counts as one of its
//! own name.

use std::{sync::LazyLock, time::Duration};

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::{counter, counters, gauge, gauges, latencies, latency};

static CONNECTIONS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauges(
        "postgres_pool_connections",
        "Open connections of the pool to Postgres, by state: idle or in_use.",
        &["state"],
    )
});
static MAX_CONNECTIONS: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge("postgres_pool_max_connections", "The most connections that the pool to Postgres may open.")
});
/// Those who wait for a connection right now.
pub(crate) static WAITING: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("postgres_pool_waiting", "Calls and steps that wait for a connection of the pool."));
/// How long they waited.
pub(crate) static WAIT_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    latency(
        "postgres_pool_wait_seconds",
        "Time until a connection of the pool is there and its transaction, if it has one, has begun, in seconds.",
    )
});
/// Those who waited in vain.
pub(crate) static TIMEOUTS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("postgres_pool_timeouts_total", "Waits for a connection of the pool that lasted the whole acquire_timeout.")
});
static SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    latencies(
        "postgres_transaction_seconds",
        "Time from the begin of a transaction to its end, in seconds, without the wait for a connection.",
        &["transaction"],
    )
});
static OUTCOMES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "postgres_transactions_total",
        "Transactions that ended, by outcome: committed or rolled_back.",
        &["transaction", "outcome"],
    )
});
static RETRIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "postgres_transaction_retries_total",
        "Transactions run again after a serialization failure or a deadlock.",
        &["transaction"],
    )
});

const COMMITTED: &str = "committed";
const ROLLED_BACK: &str = "rolled_back";

/// Shows the pool and these transactions at zero.
pub fn declare(transactions: &[&str]) {
    for state in ["idle", "in_use"] {
        CONNECTIONS.with_label_values(&[state]);
    }
    LazyLock::force(&MAX_CONNECTIONS);
    LazyLock::force(&WAITING);
    LazyLock::force(&WAIT_SECONDS);
    LazyLock::force(&TIMEOUTS);
    for name in transactions {
        SECONDS.with_label_values(&[name]);
        RETRIES.with_label_values(&[name]);
        for outcome in [COMMITTED, ROLLED_BACK] {
            OUTCOMES.with_label_values(&[name, outcome]);
        }
    }
}

/// How the pool stands.
pub(crate) fn set_pool(idle: u32, open: u32, max: u32) {
    CONNECTIONS.with_label_values(&["idle"]).set(idle.into());
    CONNECTIONS.with_label_values(&["in_use"]).set(open.saturating_sub(idle).into());
    MAX_CONNECTIONS.set(max.into());
}

/// A transaction ended.
pub(crate) fn ended(transaction: &str, committed: bool, took: Duration) {
    SECONDS.with_label_values(&[transaction]).observe(took.as_secs_f64());
    OUTCOMES.with_label_values(&[transaction, if committed { COMMITTED } else { ROLLED_BACK }]).inc();
}

/// A transaction runs again.
pub(crate) fn retried(transaction: &str) {
    RETRIES.with_label_values(&[transaction]).inc();
}
