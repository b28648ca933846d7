//! How far this replica is behind. The broker is asked over a connection of its own: a consumer does not hear of what it
//! does not read, be it paused or held up by a batch that cannot be kept.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use platform::{failure::Failure, kafka::Quiet};
use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaResult,
};

use super::{KAFKA, group::Group};

/// How long the broker may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Asks the broker.
pub struct Lag {
    /// Never reads, so it is no member of the group.
    client: Arc<BaseConsumer<Quiet>>,
    topic: String,
    group: Group,
}

impl Lag {
    /// Of the partitions of `topic` that are `group`'s; `config` names the group.
    pub fn new(config: &ClientConfig, topic: &str, group: Group) -> anyhow::Result<Self> {
        let client = config.create_with_context(Quiet).context("brokers")?;
        Ok(Self { client: Arc::new(client), topic: topic.to_owned(), group })
    }

    /// How many events the group has not committed yet.
    pub async fn measure(&self) -> Result<i64, Failure> {
        let mut partitions = TopicPartitionList::new();
        for partition in self.group.partitions() {
            partitions.add_partition(&self.topic, partition);
        }
        if partitions.count() == 0 {
            return Ok(0);
        }
        let client = Arc::clone(&self.client);
        let asked = tokio::task::spawn_blocking(move || uncommitted(&client, partitions)).await;
        asked.map_err(Failure::unforeseen)?.map_err(|error| Failure::unavailable(KAFKA, error))
    }
}

fn uncommitted(client: &BaseConsumer<Quiet>, partitions: TopicPartitionList) -> KafkaResult<i64> {
    let committed = client.committed_offsets(partitions, TIMEOUT)?;
    let lags = committed.elements().into_iter().map(|partition| {
        let (begin, end) = client.fetch_watermarks(partition.topic(), partition.partition(), TIMEOUT)?;
        // Reading begins at the earliest event where nothing is committed, or nothing is left of what is.
        let next = partition.offset().to_raw().unwrap_or(begin).max(begin);
        Ok((end - next).max(0))
    });
    lags.sum()
}
