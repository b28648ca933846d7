//! Writes unreadable records to the dead-letter topic, unchanged, with the reason and the origin in headers.

use rdkafka::{
    error::KafkaError,
    message::{Message as _, OwnedMessage},
    producer::FutureRecord,
};
use tracing::{Instrument as _, Span};

use super::{Cluster, Producer, record, send_span, with_header};
use crate::{failure::Failure, telemetry::trace};

const SETTINGS: [(&str, &str); 4] = [
    // The producer must not refuse a record for its size. The broker decides.
    ("message.max.bytes", "100000000"),
    // A record that the broker accepted compressed may be too large for it uncompressed.
    ("compression.type", "lz4"),
    // The consumer reads no partition while it waits.
    ("message.timeout.ms", "3000"),
    // The time until the producer finds a topic that was just created.
    ("topic.metadata.refresh.interval.ms", "2000"),
];

#[derive(Debug)]
pub(super) struct DeadLetter {
    pub record: OwnedMessage,
    pub reason: String,
    /// The span `process` of the record. It ends when the letter is written.
    pub span: Span,
}

pub(super) struct DeadLetterWriter {
    producer: Producer,
    topic: String,
}

impl DeadLetterWriter {
    pub fn new(cluster: &Cluster, topic: &str) -> Result<Self, KafkaError> {
        Ok(Self { producer: Producer::new(cluster, &SETTINGS)?, topic: topic.to_owned() })
    }

    /// After success, all in-sync replicas have the letter.
    pub async fn write(&self, DeadLetter { record, reason, span }: &DeadLetter) -> Result<(), Failure> {
        // The letter belongs to the trace of its record. The current step may be a later one.
        let sending = send_span(&self.topic, record::key(record));
        trace::set_parent(&sending, trace::traceparent(span).as_deref());
        let headers = record.headers().cloned().unwrap_or_default();
        let headers = with_header(headers, "error", reason);
        let headers = with_header(headers, "topic", record.topic());
        let headers = with_header(headers, "partition", &record.partition().to_string());
        let headers = with_header(headers, "offset", &record.offset().to_string());
        let letter = FutureRecord { key: record.key(), payload: record.payload(), ..FutureRecord::to(&self.topic) };
        self.producer.send(letter.headers(headers), &sending).instrument(span.clone()).await
    }
}
