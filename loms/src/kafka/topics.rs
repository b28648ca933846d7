//! The topics of orders, which LOMS creates when they are missing: at its start, and whenever publishing failed, because
//! the broker may have been replaced by an empty one.

use std::time::Duration;

use platform::{
    failure::Failure,
    kafka::{ORDERS, ORDERS_DLQ, Quiet},
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    types::RDKafkaErrorCode,
};
use tracing::info;

/// Orders are spread over partitions by their number.
const ORDERS_PARTITIONS: i32 = 3;
/// What cannot be read is rare, and best looked at in one place.
const ORDERS_DLQ_PARTITIONS: i32 = 1;
/// As many replicas as the broker's own configuration says.
const REPLICATION: TopicReplication<'static> = TopicReplication::Fixed(-1);
/// A record as large as `orders` takes at most (1 MiB, by Kafka's default) must fit with its error and origin.
const ORDERS_DLQ_MAX_MESSAGE_BYTES: &str = "2097152";
/// How long the broker may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Creates both topics unless they exist.
pub async fn create_missing(client: &ClientConfig) -> Result<(), Failure> {
    let admin: AdminClient<Quiet> = client.create_with_context(Quiet).map_err(Failure::unforeseen)?;
    let topics = [
        NewTopic::new(ORDERS, ORDERS_PARTITIONS, REPLICATION),
        NewTopic::new(ORDERS_DLQ, ORDERS_DLQ_PARTITIONS, REPLICATION)
            .set("max.message.bytes", ORDERS_DLQ_MAX_MESSAGE_BYTES),
    ];
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    let answer = admin.create_topics(&topics, &options).await;
    // Waits for the client's thread to end.
    tokio::task::spawn_blocking(move || drop(admin)).await.map_err(Failure::unforeseen)?;
    for result in answer.map_err(|error| Failure::unavailable("Kafka", error))? {
        match result {
            Ok(topic) => info!(messaging.destination.name = topic, "the topic was missing and is created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => {
                return Err(Failure::unavailable("Kafka", format!("the topic {topic} cannot be created: {error}")));
            }
        }
    }
    Ok(())
}
