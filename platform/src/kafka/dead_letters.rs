//! Where unreadable records go: as they came, with the reason and their origin in headers.

use rdkafka::{
    ClientConfig,
    error::KafkaError,
    message::{Message as _, OwnedMessage},
    producer::FutureRecord,
};
use tracing::{Instrument as _, Span};

use super::{Producer, producer, record, send, send_span, with_header};
use crate::{failure::Failure, telemetry::trace};

/// Differs from librdkafka's defaults where the reason says.
const SETTINGS: [(&str, &str); 4] = [
    // What the broker took into one topic must fit into the other; the broker has the last word.
    ("message.max.bytes", "100000000"),
    // What was compressed when the broker took it must not fail for its size now.
    ("compression.type", "lz4"),
    // The other partitions wait meanwhile.
    ("message.timeout.ms", "3000"),
    // A topic that is created later is found after this long.
    ("topic.metadata.refresh.interval.ms", "2000"),
];

/// A record that could not be read.
#[derive(Debug)]
pub(super) struct DeadLetter {
    pub record: OwnedMessage,
    pub reason: String,
    /// What becomes of the record, which ends when it is written.
    pub span: Span,
}

/// Writes dead letters.
pub(super) struct DeadLetters {
    producer: Producer,
    topic: String,
}

impl DeadLetters {
    pub fn new(client: &ClientConfig, topic: &str) -> Result<Self, KafkaError> {
        Ok(Self { producer: producer(client, &SETTINGS)?, topic: topic.to_owned() })
    }

    /// Writes a dead letter; when this returns without an error, all in-sync replicas of the broker have it.
    pub async fn write(&self, DeadLetter { record, reason, span }: &DeadLetter) -> Result<(), Failure> {
        // A part of what becomes of its record. The step that writes it may be a later one than that which read the record.
        let sending = send_span(&self.topic, record::key(record));
        trace::set_parent(&sending, trace::traceparent(span).as_deref());
        let headers = record.headers().cloned().unwrap_or_default();
        let headers = with_header(headers, "error", reason);
        let headers = with_header(headers, "topic", record.topic());
        let headers = with_header(headers, "partition", &record.partition().to_string());
        let headers = with_header(headers, "offset", &record.offset().to_string());
        let letter = FutureRecord { key: record.key(), payload: record.payload(), ..FutureRecord::to(&self.topic) };
        send(&self.producer, letter.headers(headers), &sending).instrument(span.clone()).await
    }
}
