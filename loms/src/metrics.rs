//! What LOMS counts and measures about its business.

use std::sync::LazyLock;

use platform::metrics;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use crate::{
    domain::{status::Status, transition::Transition},
    grpc::status::REASONS,
};

/// Statuses that orders took.
static STATUSES: LazyLock<IntCounterVec> =
    LazyLock::new(|| metrics::counters("loms_order_statuses_total", "Statuses that orders took.", &["status"]));

/// Calls that were refused for a reason of the business.
static REFUSALS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counters("loms_refusals_total", "Calls refused for a reason of the business, by reason.", &["reason"])
});

/// How late unpaid orders were cancelled.
pub static EXPIRY_LAG_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    metrics::latency(
        "loms_expiry_lag_seconds",
        "Time from an unpaid order's payment deadline to its cancellation, in seconds.",
    )
});

/// Events that wait for the broker.
pub static OUTBOX_EVENTS: LazyLock<IntGauge> =
    LazyLock::new(|| metrics::gauge("loms_outbox_events", "Events that are not published yet."));

/// How long the oldest of them has waited.
pub static OUTBOX_OLDEST_AGE_SECONDS: LazyLock<IntGauge> = LazyLock::new(|| {
    metrics::gauge(
        "loms_outbox_oldest_age_seconds",
        "Time since the oldest unpublished event occurred, in seconds; 0 if there is none.",
    )
});

/// Events that the broker acknowledged.
pub static EVENTS_PUBLISHED: LazyLock<IntCounter> =
    LazyLock::new(|| metrics::counter("loms_events_published_total", "Events that the broker acknowledged."));

/// Events that the broker did not acknowledge; each is tried again.
pub static EVENT_FAILURES: LazyLock<IntCounter> = LazyLock::new(|| {
    metrics::counter(
        "loms_event_publish_failures_total",
        "Attempts to publish an event that the broker did not acknowledge.",
    )
});

/// Makes every metric with its known labels visible at zero.
pub fn register() {
    for status in Status::ALL {
        STATUSES.with_label_values(&[status.as_str()]);
    }
    for reason in REASONS {
        REFUSALS.with_label_values(&[reason]);
    }
    LazyLock::force(&EXPIRY_LAG_SECONDS);
    LazyLock::force(&OUTBOX_EVENTS);
    LazyLock::force(&OUTBOX_OLDEST_AGE_SECONDS);
    LazyLock::force(&EVENTS_PUBLISHED);
    LazyLock::force(&EVENT_FAILURES);
}

/// Counts the statuses of changes that are committed.
pub fn count_statuses(transitions: &[Transition]) {
    for event in transitions.iter().flat_map(Transition::events) {
        STATUSES.with_label_values(&[event.status().as_str()]).inc();
    }
}

/// Counts a refusal.
pub fn count_refusal(reason: &str) {
    REFUSALS.with_label_values(&[reason]).inc();
}
