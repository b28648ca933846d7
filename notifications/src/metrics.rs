//! What notifications counts, beside what every service and every consumer does.

use chrono::{DateTime, Utc};
use platform::metrics::{Counters, LATENCY_BUCKETS};
use prometheus::{Histogram, IntGauge};

/// Seconds are usual, and half an hour is what an outage may take.
const AGE_BUCKETS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

const TOGETHER_BUCKETS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 256.0];

platform::metrics! {
    /// Time from an event's OccurredAt until it was stored, in seconds; duplicates do not count.
    pub EVENT_AGE_SECONDS: Histogram = histogram("notifications_event_age_seconds", AGE_BUCKETS);
    /// Attempts to deliver a message, by result: sent, rate_limited, failed (both are tried again) or dead (refused for
    /// good).
    pub DELIVERIES: Counters<1> = counters(
        "notifications_deliveries_total",
        ["result"],
        [["sent"], ["rate_limited"], ["failed"], ["dead"]]
    );
    /// Time from an event's OccurredAt until Telegram took its message, in seconds.
    pub DELIVERY_AGE_SECONDS: Histogram = histogram("notifications_delivery_age_seconds", AGE_BUCKETS);
    /// How many messages shared a request to Telegram.
    pub MESSAGES_TOGETHER: Histogram = histogram("notifications_messages_together", TOGETHER_BUCKETS);
    /// Time from a request to Telegram to its answer, in seconds.
    pub TELEGRAM_SECONDS: Histogram = histogram("notifications_telegram_request_seconds", LATENCY_BUCKETS);
    /// Messages that are still to be delivered.
    pub DUE: IntGauge = gauge("notifications_deliveries_due");
    /// Messages that Telegram refused for good.
    pub DEAD: IntGauge = gauge("notifications_deliveries_dead");
    /// For how long the oldest message that is still to be delivered has waited, in seconds; 0 when there is none.
    pub OLDEST_DUE_SECONDS: IntGauge = gauge("notifications_deliveries_oldest_due_seconds");
}

/// How long ago that was; not below zero, should clocks differ.
pub fn age_seconds(moment: DateTime<Utc>) -> f64 {
    (Utc::now() - moment).as_seconds_f64().max(0.0)
}
