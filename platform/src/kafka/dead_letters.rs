//! Writes unreadable records to the dead-letter topic, unchanged, with the reason and the origin in headers. What is too
//! large for the topic is in nobody's way either: its letter says where it is and what it holds.

use rdkafka::{
    error::KafkaError,
    message::{Message as _, OwnedHeaders, OwnedMessage},
    producer::FutureRecord,
};
use sha2::{Digest as _, Sha256};
use tracing::{Instrument as _, Span, warn};

use super::{Cluster, Producer, quiet::is_too_large, record, send_span, with_header};
use crate::{failure::Failure, telemetry::trace};

pub(super) const SETTINGS: [(&str, &str); 5] = [
    // The producer must not refuse a record for its size. The broker decides.
    ("message.max.bytes", "100000000"),
    // The broker refuses batches. A letter that is too large takes no other along.
    ("batch.num.messages", "1"),
    // A record that the broker accepted compressed may be too large for it uncompressed.
    ("compression.type", "lz4"),
    // The consumer reads no partition while it waits.
    ("message.timeout.ms", "3000"),
    // The time until the producer finds a topic that was just created.
    ("topic.metadata.refresh.interval.ms", "2000"),
];

/// The headers that are added: the reason, and where the record was read.
pub(super) const ERROR: &str = "error";
pub(super) const TOPIC: &str = "topic";
pub(super) const PARTITION: &str = "partition";
pub(super) const OFFSET: &str = "offset";
/// Those of a letter without the payload of its record: how large that is, and its digest.
pub(super) const SIZE: &str = "size";
const SHA256: &str = "sha256";

/// A reason is never that long; but then it must not be what is too large.
const MAX_REASON_CHARS: usize = 1000;

#[derive(Debug)]
pub(super) struct DeadLetter {
    pub record: OwnedMessage,
    pub reason: String,
    /// The span `process` of the record. It ends when the letter is written.
    pub span: Span,
}

impl DeadLetter {
    fn with_origin(&self, headers: OwnedHeaders) -> OwnedHeaders {
        let Self { record, .. } = self;
        let headers = with_header(headers, TOPIC, record.topic());
        let headers = with_header(headers, PARTITION, &record.partition().to_string());
        with_header(headers, OFFSET, &record.offset().to_string())
    }

    /// The headers of the record, and those of the letter.
    fn headers(&self) -> OwnedHeaders {
        let headers = self.record.headers().cloned().unwrap_or_default();
        self.with_origin(with_header(headers, ERROR, &self.reason))
    }

    /// For a letter without the payload and the headers of the record: what the payload is, as long as the record exists.
    fn headers_of_stub(&self) -> OwnedHeaders {
        let (payload, traceparent) = (self.record.payload().unwrap_or_default(), record::traceparent(&self.record));
        let reason: String = self.reason.chars().take(MAX_REASON_CHARS).collect();
        let headers = with_header(OwnedHeaders::new(), ERROR, &reason);
        let headers = with_header(self.with_origin(headers), SIZE, &payload.len().to_string());
        let headers = with_header(headers, SHA256, &format!("{:x}", Sha256::digest(payload)));
        match traceparent {
            Some(traceparent) => with_header(headers, trace::TRACEPARENT, &traceparent),
            None => headers,
        }
    }
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
    pub async fn write(&self, letter: &DeadLetter) -> Result<(), Failure> {
        let record = &letter.record;
        let whole = FutureRecord { key: record.key(), payload: record.payload(), ..FutureRecord::to(&self.topic) };
        match self.send(letter, whole.headers(letter.headers())).await {
            Err(failure) if is_too_large(&failure) => {
                letter.span.in_scope(|| {
                    warn!("the dead letter is too large for its topic and is written without its payload")
                });
                // A key that can be read is short.
                let key = record::key(record).map(str::as_bytes);
                let stub = FutureRecord { key, ..FutureRecord::to(&self.topic) };
                self.send(letter, stub.headers(letter.headers_of_stub())).await
            }
            sent => sent,
        }
    }

    async fn send(&self, letter: &DeadLetter, record: FutureRecord<'_, [u8], [u8]>) -> Result<(), Failure> {
        // The letter belongs to the trace of its record. The current step may be a later one.
        let sending = send_span(&self.topic, record::key(&letter.record));
        trace::set_parent(&sending, trace::traceparent(&letter.span).as_deref());
        self.producer.send(record, &sending).instrument(letter.span.clone()).await.map(drop)
    }
}
