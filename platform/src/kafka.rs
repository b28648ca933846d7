//! Settings that every client of the Kafka-protocol broker shares.

use rdkafka::{ClientConfig, ClientContext, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError};
use tracing::debug;

/// The topic of order-status events.
pub const ORDERS: &str = "orders";
/// Where what cannot be read from [`ORDERS`] goes.
pub const ORDERS_DLQ: &str = "orders.dlq";

/// A client of the brokers, each `host:port`, that names itself `client`.
pub fn client(client: &str, brokers: &[String]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers.join(","))
        .set("client.id", client)
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.max.ms", "2000");
    config
}

/// Lets librdkafka speak at debug level only: what matters to the code that uses a client reaches it as an error, and is
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
