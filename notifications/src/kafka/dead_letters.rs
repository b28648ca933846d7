//! Where unreadable events go: as they came, with the reason and their origin in headers.

use anyhow::Context as _;
use platform::kafka::{self, Quiet};
use rdkafka::{
    error::KafkaError,
    message::{Header, Message as _, OwnedHeaders, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};

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
    pub async fn write(&self, DeadLetter { record, reason }: &DeadLetter) -> Result<(), KafkaError> {
        let headers = record.headers().cloned().unwrap_or_default();
        let headers = with(headers, "error", reason);
        let headers = with(headers, "topic", record.topic());
        let headers = with(headers, "partition", &record.partition().to_string());
        let headers = with(headers, "offset", &record.offset().to_string());
        let letter = FutureRecord { key: record.key(), payload: record.payload(), ..FutureRecord::to(&self.topic) }
            .headers(headers);
        self.producer.send::<[u8], [u8], _>(letter, Timeout::Never).await.map(|_| ()).map_err(|(error, _)| error)
    }
}

/// A header of the record that has the same name stays; readers take the last.
fn with(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}
