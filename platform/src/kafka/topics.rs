//! Creates topics.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic},
    types::RDKafkaErrorCode,
};
use tracing::info;

use super::{KAFKA, Quiet};
use crate::failure::Failure;

const TIMEOUT: Duration = Duration::from_secs(5);

pub async fn create_missing(client: &ClientConfig, topics: &[NewTopic<'_>]) -> Result<(), Failure> {
    let admin: AdminClient<Quiet> = client.create_with_context(Quiet).map_err(Failure::unforeseen)?;
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    let answer = admin.create_topics(topics, &options).await;
    // Dropping the client blocks until its thread has ended.
    tokio::task::spawn_blocking(move || drop(admin)).await.map_err(Failure::unforeseen)?;
    for result in answer.map_err(|error| Failure::unavailable(KAFKA, error))? {
        match result {
            Ok(topic) => info!(messaging.destination.name = topic, "the topic was missing and is created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => {
                return Err(Failure::unavailable(KAFKA, format!("the topic {topic} cannot be created: {error}")));
            }
        }
    }
    Ok(())
}
