//! The pool of connections to Postgres, and transactions by name. A single statement counts as a transaction with the
//! name of the statement.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntGaugeVec};

use super::Counters;
use crate::metrics;

metrics! {
    /// Open connections to Postgres, by pool and state: idle or in_use.
    CONNECTIONS: IntGaugeVec = gauges("postgres_pool_connections", &["pool", "state"]);
    /// The most connections to Postgres that the pool may open.
    pub(crate) MAX_CONNECTIONS: IntGaugeVec = gauges("postgres_pool_max_connections", &["pool"]);
    /// Calls and steps that wait for a connection of the pool.
    pub(crate) WAITING: IntGaugeVec = gauges("postgres_pool_waiting", &["pool"]);
    /// Time until a connection of the pool is there, in seconds.
    pub(crate) WAIT_SECONDS: HistogramVec = latencies("postgres_pool_wait_seconds", &["pool"]);
    /// Waits for a connection of the pool that lasted the whole acquire_timeout.
    pub(crate) TIMEOUTS: Counters<1> =
        counters("postgres_pool_timeouts_total", ["pool"], POOLS.map(|pool| [pool]));
    /// Requests to Postgres that waited for an answer: statements, and the begins and ends of transactions.
    pub(crate) ROUND_TRIPS: Counters<1> =
        counters("postgres_round_trips_total", ["pool"], POOLS.map(|pool| [pool]));
    /// Time from the begin of a transaction to its end, in seconds, without the wait for a connection.
    SECONDS: HistogramVec = latencies("postgres_transaction_seconds", &["transaction"]);
    /// Transactions that ended, by outcome: committed, released (nothing to keep) or failed.
    OUTCOMES: Counters<2> = counters_of_any("postgres_transactions_total", ["transaction", "outcome"]);
    /// Transactions run again after a serialization failure or a deadlock.
    RETRIES: Counters<1> = counters_of_any("postgres_transaction_retries_total", ["transaction"]);
}

/// The pools of a service, each with connections of its own.
pub(crate) const POOLS: [&str; 3] = ["writes", "reads", "background"];

const COMMITTED: &str = "committed";
const RELEASED: &str = "released";
const FAILED: &str = "failed";

pub(super) fn declare_for(transactions: &[&str]) {
    declare();
    for pool in POOLS {
        MAX_CONNECTIONS.with_label_values(&[pool]);
        WAITING.with_label_values(&[pool]);
        WAIT_SECONDS.with_label_values(&[pool]);
        set_pool(pool, 0, 0);
    }
    for name in transactions {
        SECONDS.with_label_values(&[name]);
    }
    RETRIES.declare(transactions.iter().map(|name| [*name]));
    OUTCOMES
        .declare(transactions.iter().flat_map(|name| [COMMITTED, RELEASED, FAILED].map(|outcome| [*name, outcome])));
}

pub(crate) fn set_pool(pool: &str, idle: usize, open: usize) {
    for (state, count) in [("idle", idle), ("in_use", open.saturating_sub(idle))] {
        CONNECTIONS.with_label_values(&[pool, state]).set(count.try_into().unwrap_or(i64::MAX));
    }
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    Committed,
    /// Nothing was to be kept: a call was refused, a step found no work, or the caller left.
    Released,
    /// A statement failed, or the commit.
    Failed,
}

/// What counts the end of a transaction. It is there from the begin, so that a name that is not declared shows then.
#[derive(Debug)]
pub(crate) struct Ended {
    seconds: Histogram,
    committed: IntCounter,
    released: IntCounter,
    failed: IntCounter,
}

impl Ended {
    pub(crate) fn of(name: &str) -> Self {
        Self {
            seconds: SECONDS.with_label_values(&[name]),
            committed: OUTCOMES.with([name, COMMITTED]),
            released: OUTCOMES.with([name, RELEASED]),
            failed: OUTCOMES.with([name, FAILED]),
        }
    }

    pub(crate) fn count(&self, outcome: Outcome, duration: Duration) {
        self.seconds.observe(duration.as_secs_f64());
        match outcome {
            Outcome::Committed => self.committed.inc(),
            Outcome::Released => self.released.inc(),
            Outcome::Failed => self.failed.inc(),
        }
    }
}

pub(crate) fn count_retry(name: &str) {
    RETRIES.with([name]).inc();
}
