//! Where unreadable events go: as they came, with the reason and their origin in headers.

use anyhow::Context as _;
use platform::{
    kafka::{self, Quiet},
    telemetry::trace,
};
use rdkafka::{
    error::KafkaError,
    message::{Header, Message as _, OwnedHeaders, OwnedMessage},
    producer::{FutureProducer, FutureRecord, future_producer::Delivery},
    util::Timeout,
};
use tracing::{Instrument as _, Span};

use super::spans;

/// Differs from librdkafka's defaults where the reason says.
const SETTINGS: [(&str, &str); 5] = [
    ("acks", "all"),
    // What the broker took into one topic must fit into the other; the broker has the last word.
    ("message.max.bytes", "100000000"),
    // What was compressed when the broker took it must not fail for its size now.
    ("compression.type", "lz4"),
    // The other partitions wait meanwhile.
    ("message.timeout.ms", "3000"),
    // A topic that is created later is found after this long.
    ("topic.metadata.refresh.interval.ms", "2000"),
];

/// An event that could not be read.
#[derive(Debug)]
pub struct DeadLetter {
    /// The record as it came.
    pub record: OwnedMessage,
    /// Why it could not be read.
    pub reason: String,
    /// What becomes of it, which ends when it is written.
    pub span: Span,
}

/// Writes dead letters.
pub struct DeadLetters {
    producer: FutureProducer<Quiet>,
    topic: String,
}

impl DeadLetters {
    /// Writes to `topic`.
    pub fn new(brokers: &[String], topic: &str) -> anyhow::Result<Self> {
        let mut config = kafka::client("notifications", brokers);
        for (name, value) in SETTINGS {
            config.set(name, value);
        }
        let producer = config.create_with_context(Quiet).context("brokers")?;
        Ok(Self { producer, topic: topic.to_owned() })
    }

    /// Writes a dead letter; when this returns without an error, all in-sync replicas of the broker have it.
    pub async fn write(&self, letter: &DeadLetter) -> Result<(), KafkaError> {
        let span = spans::send(&self.topic, &letter.record, &letter.span);
        let sent = self.send(letter).instrument(span.clone()).instrument(letter.span.clone()).await;
        match &sent {
            Ok(delivery) => {
                span.record("messaging.destination.partition.id", delivery.partition.to_string());
                span.record("messaging.kafka.offset", delivery.offset);
            }
            Err(error) => trace::fail(&span, &kind(error)),
        }
        sent.map(|_| ())
    }

    async fn send(&self, DeadLetter { record, reason, .. }: &DeadLetter) -> Result<Delivery, KafkaError> {
        let headers = record.headers().cloned().unwrap_or_default();
        let headers = with(headers, "error", reason);
        let headers = with(headers, "topic", record.topic());
        let headers = with(headers, "partition", &record.partition().to_string());
        let headers = with(headers, "offset", &record.offset().to_string());
        let letter = FutureRecord { key: record.key(), payload: record.payload(), ..FutureRecord::to(&self.topic) }
            .headers(headers);
        self.producer.send::<[u8], [u8], _>(letter, Timeout::Never).await.map_err(|(error, _)| error)
    }
}

/// The name that librdkafka has for an error, for traces.
fn kind(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| "unknown".to_owned(), |code| format!("{code:?}"))
}

/// A header of the record that has the same name stays; readers take the last.
fn with(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}
