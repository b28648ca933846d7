//! A batch of records, divided into events and unreadable records.

use std::collections::BTreeMap;

use rdkafka::message::{Message as _, OwnedMessage};
use tracing::{Span, warn};

use super::{Reader, dead_letters::DeadLetter, record, spans};
use crate::telemetry::trace;

/// An event to be stored, from one record.
#[derive(Debug, Clone)]
pub struct Arrival<E> {
    pub event: E,
    /// The W3C trace context for later work on the event.
    pub traceparent: Option<String>,
    /// The span `process` of the record.
    pub span: Span,
    pub(super) record: OwnedMessage,
}

#[derive(Debug)]
pub(super) struct Batch<E> {
    /// In the order of the records.
    pub arrivals: Vec<Arrival<E>>,
    pub letters: Vec<DeadLetter>,
    /// By partition, the offset after the last record of the batch.
    pub next_offsets: BTreeMap<i32, i64>,
}

impl<E> Batch<E> {
    pub fn read(records: Vec<OwnedMessage>, group: &str, reader: &impl Reader<Event = E>) -> Self {
        let mut batch = Self { arrivals: Vec::new(), letters: Vec::new(), next_offsets: BTreeMap::new() };
        for record in records {
            let next = batch.next_offsets.entry(record.partition()).or_default();
            *next = (*next).max(record.offset() + 1);
            let parent = record::traceparent(&record);
            let span = spans::process(&record, group, parent.as_deref());
            match reader.read(&record, &span) {
                Ok(event) => {
                    let traceparent = trace::traceparent(&span).or(parent);
                    batch.arrivals.push(Arrival { event, traceparent, span, record });
                }
                Err(reason) => {
                    span.in_scope(|| warn!(error = reason, "event is unreadable and becomes a dead letter"));
                    trace::fail(&span, "unreadable");
                    batch.letters.push(DeadLetter { record, reason, span });
                }
            }
        }
        batch
    }

    pub fn is_empty(&self) -> bool {
        self.next_offsets.is_empty()
    }
}
