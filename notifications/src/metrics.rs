//! What notifications counts beside its calls.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use platform::metrics::{counter, counters, gauge, histogram, latency, postgres};
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

/// The names of transactions, and of statements outside of any.
const TRANSACTIONS: [&str; 7] = [
    "claim_delivery",
    "keep_messages",
    "mark_dead",
    "mark_sent",
    "measure_backlog",
    "postpone_delivery",
    "read_history",
];

/// Seconds are usual, and half an hour is what an outage may take.
const AGE_BUCKETS: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// Events by what became of them: `stored`, `duplicate`, `dead_lettered`.
pub static EVENTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "notifications_events_total",
        "Order events read, by result: stored, duplicate or dead_lettered.",
        &["result"],
    )
});
/// How old events are when they are kept.
pub static EVENT_AGE_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "notifications_event_age_seconds",
        "Time from an event's OccurredAt until it was stored, in seconds; duplicates do not count.",
        &AGE_BUCKETS,
    )
});
/// Dead letters that the broker did not take yet.
pub static DEAD_LETTERS_OWED: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "notifications_dead_letters_owed",
        "Unreadable events that could not be written to the dead-letter topic yet; their partitions stand still.",
    )
});
/// Failed attempts to write a dead letter.
pub static DEAD_LETTER_FAILURES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("notifications_dead_letter_failures_total", "Attempts to write a dead letter that failed.")
});
/// Whether consumption is paused.
pub static PAUSED: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("notifications_consumption_paused", "1 while consumption is paused by SIGUSR1, else 0."));
/// How far behind this replica is.
pub static LAG: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "notifications_consumer_lag_events",
        "Events in the partitions of this replica that are not committed yet, paused or not.",
    )
});
/// Attempts to deliver, by result: `sent`, `rate_limited`, `failed`, `dead`.
pub static DELIVERIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "notifications_deliveries_total",
        "Attempts to deliver a message, by result: sent, rate_limited, failed (both are tried again) or dead (refused for good).",
        &["result"],
    )
});
/// How old messages are when Telegram takes them.
pub static DELIVERY_AGE_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "notifications_delivery_age_seconds",
        "Time from an event's OccurredAt until Telegram took its message, in seconds.",
        &AGE_BUCKETS,
    )
});
/// How long Telegram takes.
pub static TELEGRAM_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    latency("notifications_telegram_request_seconds", "Time from a request to Telegram to its answer, in seconds.")
});
/// Messages still to be sent.
pub static DUE: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("notifications_deliveries_due", "Messages that are still to be delivered."));
/// Messages refused for good.
pub static DEAD: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("notifications_deliveries_dead", "Messages that Telegram refused for good."));
/// How long the oldest of those still to be sent has waited.
pub static OLDEST_DUE_SECONDS: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "notifications_deliveries_oldest_due_seconds",
        "For how long the oldest message that is still to be delivered has waited, in seconds; 0 when there is none.",
    )
});

/// Shows every metric from the start, at zero.
pub fn register() {
    postgres::declare(&TRANSACTIONS);
    for result in ["stored", "duplicate", "dead_lettered"] {
        EVENTS.with_label_values(&[result]);
    }
    for result in ["sent", "rate_limited", "failed", "dead"] {
        DELIVERIES.with_label_values(&[result]);
    }
    LazyLock::force(&EVENT_AGE_SECONDS);
    LazyLock::force(&DEAD_LETTERS_OWED);
    LazyLock::force(&DEAD_LETTER_FAILURES);
    LazyLock::force(&PAUSED);
    LazyLock::force(&LAG);
    LazyLock::force(&DELIVERY_AGE_SECONDS);
    LazyLock::force(&TELEGRAM_SECONDS);
    LazyLock::force(&DUE);
    LazyLock::force(&DEAD);
    LazyLock::force(&OLDEST_DUE_SECONDS);
}

/// How long ago that was; not below zero, should clocks differ.
pub fn age_seconds(moment: DateTime<Utc>) -> f64 {
    (Utc::now() - moment).as_seconds_f64().max(0.0)
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
