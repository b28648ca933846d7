//! How far this replica is behind. The broker is asked over a connection of its own: a consumer does not hear of what it
//! does not read, be it paused or held up by a batch that cannot be kept.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaResult,
};
use tokio::runtime::Handle;
use tracing::debug;

use super::{KAFKA, Quiet, group::Group, metrics};
use crate::failure::{Failure, chain};

/// How long the broker may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How many of librdkafka's events are taken at once, which are more than come about between two measurements.
const EVENTS: usize = 1000;

/// Measures how many events the partitions of this replica hold that are not committed yet.
pub struct Lag {
    /// Never reads, so it is no member of the group. There until the drop.
    client: Option<Arc<BaseConsumer<Quiet>>>,
    topic: String,
    group: Group,
}

impl Lag {
    /// `config` names the group, and `group` knows which partitions of `topic` are ours.
    pub(super) fn new(config: &ClientConfig, topic: &str, group: Group) -> KafkaResult<Self> {
        let client = config.create_with_context(Quiet)?;
        Ok(Self { client: Some(Arc::new(client)), topic: topic.to_owned(), group })
    }

    /// Brings the metric up to date, if the broker answers.
    pub async fn measure(&self) {
        match self.uncommitted().await {
            Ok(lag) => metrics::LAG.set(lag),
            // That the broker is away is told by whoever reads from it.
            Err(failure) => debug!(error = chain(&failure), "the lag is unknown"),
        }
    }

    async fn uncommitted(&self) -> Result<i64, Failure> {
        let mut partitions = TopicPartitionList::new();
        for partition in self.group.partitions() {
            partitions.add_partition(&self.topic, partition);
        }
        let client = self.client.clone();
        let ask = move || client.map_or(Ok(0), |client| uncommitted(&client, partitions));
        let asked = tokio::task::spawn_blocking(ask).await;
        asked.map_err(Failure::unforeseen)?.map_err(|error| Failure::unavailable(KAFKA, error))
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        // That may take a moment. Without a runtime nobody is held up by it.
        if let (Some(client), Ok(runtime)) = (self.client.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(client));
        }
    }
}

fn uncommitted(client: &BaseConsumer<Quiet>, partitions: TopicPartitionList) -> KafkaResult<i64> {
    // What librdkafka has to say, such as that a broker is away, waits without bound until it is fetched.
    let events = std::iter::from_fn(|| client.poll(Duration::ZERO));
    events.take(EVENTS).for_each(drop);
    if partitions.count() == 0 {
        return Ok(0);
    }
    let committed = client.committed_offsets(partitions, TIMEOUT)?;
    let lags = committed.elements().into_iter().map(|partition| {
        let (begin, end) = client.fetch_watermarks(partition.topic(), partition.partition(), TIMEOUT)?;
        // Reading begins at the earliest event where nothing is committed, or nothing is left of what is.
        let next = partition.offset().to_raw().unwrap_or(begin).max(begin);
        Ok((end - next).max(0))
    });
    lags.sum()
}
