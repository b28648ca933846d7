//! Settings that every client of the Kafka-protocol broker shares.

use rdkafka::ClientConfig;

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
