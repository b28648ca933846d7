//! Creates topics.

use std::time::Duration;

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic},
    types::RDKafkaErrorCode,
};
use tracing::info;

use super::{Cluster, Quiet};
use crate::failure::Failure;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Creates topics that are missing. Returns those that the brokers do not create, with the reason.
pub async fn create(cluster: &Cluster, topics: &[NewTopic<'_>]) -> Result<Vec<(String, RDKafkaErrorCode)>, Failure> {
    let quiet = Quiet::default();
    let admin: AdminClient<Quiet> =
        cluster.client(&[]).create_with_context(quiet.clone()).map_err(Failure::unforeseen)?;
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    let answer = admin.create_topics(topics, &options).await;
    // Dropping the client blocks until its thread has ended.
    tokio::task::spawn_blocking(move || drop(admin)).await.map_err(Failure::unforeseen)?;
    let mut refused = Vec::new();
    for result in answer.map_err(|error| quiet.failure(error))? {
        match result {
            Ok(topic) => info!(messaging.destination.name = topic, "the topic was missing and is created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err(topic_and_reason) => refused.push(topic_and_reason),
        }
    }
    Ok(refused)
}
