//! What LOMS counts and measures about its business.

use std::{sync::LazyLock, time::Duration};

use chrono::TimeDelta;
use platform::metrics;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use crate::{
    domain::{status::Status, transition::Transition},
    grpc::status::REASONS,
};

/// The statuses that an order can leave for others.
const TRANSITIONS: [(Status, Status); 4] = [
    (Status::New, Status::AwaitingPayment),
    (Status::New, Status::Failed),
    (Status::AwaitingPayment, Status::Paid),
    (Status::AwaitingPayment, Status::Cancelled),
];

/// The names of the transactions of the service, and of its statements outside of any.
const TRANSACTIONS: [&str; 10] = [
    "cancel_order",
    "create_order",
    "expire_orders",
    "free_stock",
    "next_deadline",
    "order_details",
    "outbox_backlog",
    "overdue_orders",
    "pay_order",
    "relay_events",
];

/// Customers pay within minutes, or until the deadline, which is ten minutes unless it is configured.
const TIME_TO_PAYMENT_BUCKETS: [f64; 14] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 240.0, 300.0, 420.0, 600.0, 900.0];

/// Waves have up to 500 events.
const WAVE_BUCKETS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];

static ORDER_TRANSITIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counters(
        "loms_order_transitions_total",
        "Orders that left one status for another; an order begins as new.",
        &["from", "to"],
    )
});

static REFUSALS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counters("loms_refusals_total", "Calls refused for a reason of the business, by reason.", &["reason"])
});

static UNITS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counters(
        "loms_units_total",
        "Units of goods that were reserved for orders, and what became of them: paid (they left the stock) or freed.",
        &["change"],
    )
});

static TIME_TO_PAYMENT_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    metrics::histogram(
        "loms_time_to_payment_seconds",
        "Time from an order's creation to its payment, in seconds.",
        &TIME_TO_PAYMENT_BUCKETS,
    )
});

/// How late unpaid orders were cancelled.
pub static EXPIRY_LAG_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    metrics::latency(
        "loms_expiry_lag_seconds",
        "Time from an unpaid order's payment deadline to its cancellation, in seconds.",
    )
});

/// Orders that should be cancelled already.
pub static OVERDUE: LazyLock<Waiting> = LazyLock::new(|| Waiting {
    count: metrics::gauge(
        "loms_expiry_overdue_orders",
        "Orders that await payment and whose deadline has passed, over all replicas.",
    ),
    oldest_age: metrics::gauge(
        "loms_expiry_oldest_overdue_seconds",
        "Time since the earliest of the payment deadlines that have passed, in seconds; 0 if there is none.",
    ),
});

/// Events that wait for the broker.
pub static OUTBOX: LazyLock<Waiting> = LazyLock::new(|| Waiting {
    count: metrics::gauge("loms_outbox_events", "Events that are not published yet, over all replicas."),
    oldest_age: metrics::gauge(
        "loms_outbox_oldest_age_seconds",
        "Time since the oldest unpublished event occurred, in seconds; 0 if there is none.",
    ),
});

static WAVE_EVENTS: LazyLock<Histogram> = LazyLock::new(|| {
    metrics::histogram("loms_relay_wave_events", "Events that the relay published at once.", &WAVE_BUCKETS)
});

static WAVE_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    metrics::latency(
        "loms_relay_wave_seconds",
        "Time from reading a wave of the outbox to the commit that deletes what the broker took of it, in seconds.",
    )
});

static EVENTS_PUBLISHED: LazyLock<IntCounter> =
    LazyLock::new(|| metrics::counter("loms_events_published_total", "Events that the broker acknowledged."));

static EVENT_FAILURES: LazyLock<IntCounter> = LazyLock::new(|| {
    metrics::counter(
        "loms_event_publish_failures_total",
        "Attempts to publish an event that the broker did not acknowledge.",
    )
});

/// Things that wait.
pub struct Waiting {
    count: IntGauge,
    oldest_age: IntGauge,
}

impl Waiting {
    /// How many wait, and how long the oldest has.
    pub fn set(&self, count: i64, oldest_age: Duration) {
        self.count.set(count);
        self.oldest_age.set(oldest_age.as_secs().try_into().unwrap_or(i64::MAX));
    }
}

/// Makes every metric with its known labels visible at zero.
pub fn register() {
    metrics::postgres::declare(&TRANSACTIONS);
    for (from, to) in TRANSITIONS {
        ORDER_TRANSITIONS.with_label_values(&[from.as_str(), to.as_str()]);
    }
    for reason in REASONS {
        REFUSALS.with_label_values(&[reason]);
    }
    for change in [Units::RESERVED, Units::PAID, Units::FREED] {
        UNITS.with_label_values(&[change]);
    }
    LazyLock::force(&TIME_TO_PAYMENT_SECONDS);
    LazyLock::force(&EXPIRY_LAG_SECONDS);
    LazyLock::force(&OVERDUE);
    LazyLock::force(&OUTBOX);
    LazyLock::force(&WAVE_EVENTS);
    LazyLock::force(&WAVE_SECONDS);
    LazyLock::force(&EVENTS_PUBLISHED);
    LazyLock::force(&EVENT_FAILURES);
}

/// Units that orders hold, or held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// Set aside for an order.
    Reserved(u64),
    /// Sold.
    Paid(u64),
    /// Free again.
    Freed(u64),
}

impl Units {
    const RESERVED: &'static str = "reserved";
    const PAID: &'static str = "paid";
    const FREED: &'static str = "freed";
}

/// Counts changes that are committed, and the units that they moved.
pub fn count_transitions<'a>(transitions: impl IntoIterator<Item = &'a Transition>, units: Units) {
    for change in transitions {
        ORDER_TRANSITIONS.with_label_values(&[change.from().as_str(), change.to().status().as_str()]).inc();
    }
    let (change, units) = match units {
        Units::Reserved(units) => (Units::RESERVED, units),
        Units::Paid(units) => (Units::PAID, units),
        Units::Freed(units) => (Units::FREED, units),
    };
    UNITS.with_label_values(&[change]).inc_by(units);
}

/// Observes how long a customer took to pay.
pub fn observe_payment(after: TimeDelta) {
    TIME_TO_PAYMENT_SECONDS.observe(after.as_seconds_f64());
}

/// Counts what the broker made of events; those it acknowledged are published, whatever becomes of their deletion.
pub fn count_published(published: usize, failed: usize) {
    EVENTS_PUBLISHED.inc_by(published as u64);
    EVENT_FAILURES.inc_by(failed as u64);
}

/// Observes a wave of events that the relay is done with.
pub fn observe_wave(events: usize, took: Duration) {
    #[allow(clippy::cast_precision_loss, reason = "a wave has at most 500 events")]
    WAVE_EVENTS.observe(events as f64);
    WAVE_SECONDS.observe(took.as_secs_f64());
}

/// Counts a refusal.
pub fn count_refusal(reason: &str) {
    REFUSALS.with_label_values(&[reason]).inc();
}

#[cfg(test)]
mod tests {
    use platform::testing::transactions_of;

    use super::*;

    /// What only the command line does.
    const OF_COMMANDS: [&str; 2] = ["all_stock", "import_stock"];

    #[test]
    fn every_transaction_is_declared() {
        let (of_commands, of_the_service): (Vec<_>, Vec<_>) = transactions_of(env!("CARGO_MANIFEST_DIR"))
            .into_iter()
            .partition(|transaction| OF_COMMANDS.contains(&transaction.as_str()));
        assert_eq!(of_commands, OF_COMMANDS);
        assert_eq!(of_the_service, TRANSACTIONS);
    }
}
