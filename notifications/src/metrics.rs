//! What notifications counts beside its calls.

use std::sync::LazyLock;

use platform::metrics::{counter, counters, gauge, latency};
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

/// Events by what became of them: `stored`, `duplicate`, `dead_lettered`.
pub static EVENTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters(
        "notifications_events_total",
        "Order events read, by result: stored, duplicate or dead_lettered.",
        &["result"],
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
        "Events in the partitions of this replica whose offsets are not committed yet.",
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
    for result in ["stored", "duplicate", "dead_lettered"] {
        EVENTS.with_label_values(&[result]);
    }
    for result in ["sent", "rate_limited", "failed", "dead"] {
        DELIVERIES.with_label_values(&[result]);
    }
    LazyLock::force(&DEAD_LETTERS_OWED);
    LazyLock::force(&DEAD_LETTER_FAILURES);
    LazyLock::force(&PAUSED);
    LazyLock::force(&LAG);
    LazyLock::force(&TELEGRAM_SECONDS);
    LazyLock::force(&DUE);
    LazyLock::force(&DEAD);
    LazyLock::force(&OLDEST_DUE_SECONDS);
}
