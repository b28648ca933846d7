//! The Kafka-protocol broker: reading a topic as a member of a consumer group without losing or doubling anything, dead
//! letters, and writing records with their traces.

mod batch;
mod consume;
mod consumer;
mod dead_letters;
mod debts;
mod group;
mod lag;
mod member;
mod metrics;
mod pause;
mod producer;
pub mod record;
mod spans;
pub mod topics;

use rdkafka::{ClientConfig, ClientContext, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError};
use tracing::debug;

pub use batch::Arrival;
pub use consume::{Consume, Reader, Subscription};
pub use lag::Lag;
pub use pause::Pause;
pub use producer::{Producer, producer, send, with_header};
pub use spans::send as send_span;

/// The name of the dependency in failures and logs.
const KAFKA: &str = "Kafka";

/// A client of the brokers, each `host:port`, that names itself `client`.
pub fn client(client: &str, brokers: &[impl AsRef<str>]) -> ClientConfig {
    let brokers: Vec<_> = brokers.iter().map(AsRef::as_ref).collect();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers.join(","))
        .set("client.id", client)
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.max.ms", "2000");
    config
}

/// Lets librdkafka speak at debug level only. What matters to the code that uses a client reaches it as an error, and is
/// logged there, once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(error = format!("{error}: {reason}"), "librdkafka");
    }
}

impl ConsumerContext for Quiet {}
