//! The Kafka-protocol broker. A consumer reads a topic as a member of a consumer group and loses no record; records
//! that it cannot read become dead letters. A producer writes records with their traces.

mod backlog;
mod batch;
mod consume;
mod consumer;
mod dead_letters;
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
pub use consume::{Consume, Reader, Refused, Subscription};
pub use lag::Lag;
/// Shows the metrics of a consumer at zero. A service that has one calls this before it starts.
pub use metrics::declare as declare_metrics;
pub use pause::Pause;
pub use producer::{Producer, producer, send, with_header};
pub use spans::send as send_span;

const KAFKA: &str = "Kafka";

/// The configuration of a client. Each broker is `host:port`; `id` is the name of the client for the brokers.
pub fn client(id: &str, brokers: &[impl AsRef<str>]) -> ClientConfig {
    let brokers: Vec<_> = brokers.iter().map(AsRef::as_ref).collect();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers.join(","))
        .set("client.id", id)
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.max.ms", "2000");
    config
}

/// Lets librdkafka log at debug level only. Code that uses a client also gets its errors, and logs them once.
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
