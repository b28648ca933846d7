//! A batch of records, read: events, and what is none.

use std::collections::BTreeMap;

use platform::telemetry::trace;
use rdkafka::message::{Message as _, OwnedMessage};
use tracing::{Span, warn};

use crate::{
    kafka::{dead_letters::DeadLetter, record, spans},
    store::messages::Arrival,
};

/// Records that were read together.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events in their order, each with the span in which it is worked on.
    pub arrivals: Vec<(Span, Arrival)>,
    /// The rest.
    pub unreadable: Vec<DeadLetter>,
    /// By partition, the offset after the last record of the batch.
    pub done: BTreeMap<i32, i64>,
}

impl Batch {
    /// Reads records for this consumer group.
    pub fn read(records: Vec<OwnedMessage>, group: &str) -> Self {
        let mut batch = Self::default();
        for record in records {
            let next = batch.done.entry(record.partition()).or_default();
            *next = (*next).max(record.offset() + 1);
            let parent = record::traceparent(&record);
            let span = spans::process(&record, group, parent.as_deref());
            match record::event(&record) {
                Ok(event) => {
                    span.record("messaging.message.id", &event.id);
                    span.record("order.id", event.order.get());
                    span.record("user.id", event.user.get());
                    let traceparent = trace::traceparent(&span).or(parent);
                    batch.arrivals.push((span, Arrival { event, traceparent }));
                }
                Err(unreadable) => {
                    let reason = unreadable.to_string();
                    span.in_scope(|| warn!(error = reason, "event is unreadable and becomes a dead letter"));
                    trace::fail(&span, "unreadable");
                    batch.unreadable.push(DeadLetter { record, reason, span });
                }
            }
        }
        batch
    }

    /// Whether there was no record.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }
}
