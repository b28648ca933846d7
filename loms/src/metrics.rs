//! What LOMS counts and measures about its business.

use platform::metrics::{Counters, LATENCY_BUCKETS};
use prometheus::{Histogram, IntCounter, IntGauge};

use crate::domain::{
    status::{Status, TRANSITIONS},
    transition::Transition,
};

/// Customers pay within minutes, or until the deadline, which is ten minutes unless it is configured.
const TIME_TO_PAYMENT_BUCKETS: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 240.0, 300.0, 420.0, 600.0, 900.0];

/// Waves have up to 500 events.
const WAVE_BUCKETS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];

platform::metrics! {
    /// Orders that left one status for another; an order begins as new.
    ORDER_TRANSITIONS: Counters<2> = counters(
        "loms_order_transitions_total",
        ["from", "to"],
        TRANSITIONS.map(|(from, to)| [from.into_str(), to.into_str()])
    );
    /// Units of goods that were reserved for orders, and what became of them: paid (they left the stock) or freed.
    UNITS: Counters<1> = counters("loms_units_total", ["change"], [["reserved"], ["paid"], ["freed"]]);
    /// Time from an order's creation to its payment, in seconds.
    pub TIME_TO_PAYMENT_SECONDS: Histogram = histogram("loms_time_to_payment_seconds", TIME_TO_PAYMENT_BUCKETS);
    /// Time from an unpaid order's payment deadline to its cancellation, in seconds.
    pub EXPIRY_LAG_SECONDS: Histogram = histogram("loms_expiry_lag_seconds", LATENCY_BUCKETS);
    /// Orders that await payment, over all replicas; 10,000 also stands for more.
    pub UNPAID_ORDERS: IntGauge = gauge("loms_unpaid_orders");
    /// Orders that await payment and whose deadline has passed, over all replicas.
    pub OVERDUE_ORDERS: IntGauge = gauge("loms_expiry_overdue_orders");
    /// Time since the earliest of the payment deadlines that have passed, in seconds; 0 if there is none.
    pub OLDEST_OVERDUE_SECONDS: IntGauge = gauge("loms_expiry_oldest_overdue_seconds");
    /// Events that are not published yet, over all replicas.
    pub OUTBOX_EVENTS: IntGauge = gauge("loms_outbox_events");
    /// Time since the oldest unpublished event occurred, in seconds; 0 if there is none.
    pub OUTBOX_OLDEST_AGE_SECONDS: IntGauge = gauge("loms_outbox_oldest_age_seconds");
    /// Events that the relay sent to the broker at once.
    pub WAVE_EVENTS: Histogram = histogram("loms_relay_wave_events", WAVE_BUCKETS);
    /// Time from reading a wave of the outbox to the commit that deletes what the broker took of it, and of waves that went
    /// on meanwhile, in seconds.
    pub WAVE_SECONDS: Histogram = histogram("loms_relay_wave_seconds", LATENCY_BUCKETS);
    /// Events that the broker acknowledged.
    pub EVENTS_PUBLISHED: IntCounter = counter("loms_events_published_total");
    /// Attempts to publish an event that the broker did not acknowledge.
    pub EVENT_FAILURES: IntCounter = counter("loms_event_publish_failures_total");
}

/// Counts a change that is committed, and the units that the order holds from now on, or does not hold any more.
pub fn count(change: &Transition, units: u64) {
    let to = change.to().status();
    ORDER_TRANSITIONS.with([change.from().into_str(), to.into_str()]).inc();
    let units_are = match to {
        Status::AwaitingPayment => "reserved",
        Status::Paid => "paid",
        Status::Cancelled => "freed",
        Status::New | Status::Failed => return,
    };
    UNITS.with([units_are]).inc_by(units);
}
