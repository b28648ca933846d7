//! A batch of records: those that their reader understands, and the rest.

use std::collections::BTreeMap;

use rdkafka::message::{Message as _, OwnedMessage};
use tracing::{Span, warn};

use super::{Reader, dead_letters::DeadLetter, record, spans};
use crate::telemetry::trace;

/// Something that a record told, to be kept.
#[derive(Debug, Clone)]
pub struct Arrival<E> {
    pub event: E,
    /// W3C trace context, for what follows from it later.
    pub traceparent: Option<String>,
    /// The span in which the record is worked on.
    pub span: Span,
}

/// Records that were read together.
#[derive(Debug)]
pub(super) struct Batch<E> {
    /// In the order of the records.
    pub arrivals: Vec<Arrival<E>>,
    pub unreadable: Vec<DeadLetter>,
    /// By partition, the offset after the last record of the batch.
    pub done: BTreeMap<i32, i64>,
}

impl<E> Batch<E> {
    pub fn read(records: Vec<OwnedMessage>, group: &str, reader: &impl Reader<Event = E>) -> Self {
        let mut batch = Self { arrivals: Vec::new(), unreadable: Vec::new(), done: BTreeMap::new() };
        for record in records {
            let next = batch.done.entry(record.partition()).or_default();
            *next = (*next).max(record.offset() + 1);
            let parent = record::traceparent(&record);
            let span = spans::process(&record, group, parent.as_deref());
            match reader.read(&record, &span) {
                Ok(event) => {
                    let traceparent = trace::traceparent(&span).or(parent);
                    batch.arrivals.push(Arrival { event, traceparent, span });
                }
                Err(reason) => {
                    span.in_scope(|| warn!(error = reason, "event is unreadable and becomes a dead letter"));
                    trace::fail(&span, "unreadable");
                    batch.unreadable.push(DeadLetter { record, reason, span });
                }
            }
        }
        batch
    }

    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }
}
