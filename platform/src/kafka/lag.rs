//! The lag of this replica. A separate connection asks the broker, because a consumer that does not read knows nothing
//! of new records: it may be paused, or wait for a batch that cannot be stored.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaResult,
};
use tokio::runtime::Handle;
use tracing::debug;

use super::{KAFKA, Quiet, group::GroupContext, metrics};
use crate::failure::{Failure, chain};

const TIMEOUT: Duration = Duration::from_secs(1);
/// librdkafka has fewer events between two measurements.
const MAX_EVENTS: usize = 1000;

/// Measures the number of uncommitted records in the partitions of this replica.
pub struct Lag {
    /// Never reads a topic, so it is no member of the group. `None` only while it is dropped.
    client: Option<Arc<BaseConsumer<Quiet>>>,
    topic: String,
    group: GroupContext,
}

impl Lag {
    pub(super) fn new(config: &ClientConfig, topic: &str, group: GroupContext) -> KafkaResult<Self> {
        let client = config.create_with_context(Quiet::default())?;
        Ok(Self { client: Some(Arc::new(client)), topic: topic.to_owned(), group })
    }

    /// Updates the metric if the broker answers.
    pub async fn measure(&self) {
        match self.uncommitted().await {
            Ok(lag) => metrics::LAG.set(lag),
            // The consumer already logs an outage of the broker.
            Err(failure) => debug!(error = chain(&failure), "the lag is unknown"),
        }
    }

    async fn uncommitted(&self) -> Result<i64, Failure> {
        let mut partitions = TopicPartitionList::new();
        for partition in self.group.partitions() {
            partitions.add_partition(&self.topic, partition);
        }
        let client = self.client.clone();
        let ask = move || client.map_or(Ok(0), |client| fetch_lag(&client, partitions));
        let asked = tokio::task::spawn_blocking(ask).await;
        asked.map_err(Failure::unforeseen)?.map_err(|error| Failure::unavailable(KAFKA, error))
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        // Dropping the client blocks for a moment, which must not happen on a thread of the runtime.
        if let (Some(client), Ok(runtime)) = (self.client.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(client));
        }
    }
}

fn fetch_lag(client: &BaseConsumer<Quiet>, partitions: TopicPartitionList) -> KafkaResult<i64> {
    // librdkafka queues its events, such as an outage of the broker, until they are polled. The queue has no bound.
    let events = std::iter::from_fn(|| client.poll(Duration::ZERO));
    events.take(MAX_EVENTS).for_each(drop);
    if partitions.count() == 0 {
        return Ok(0);
    }
    let committed = client.committed_offsets(partitions, TIMEOUT)?;
    let lags = committed.elements().into_iter().map(|partition| {
        let (begin, end) = client.fetch_watermarks(partition.topic(), partition.partition(), TIMEOUT)?;
        // A consumer begins at the earliest record if nothing is committed, or if the committed record is deleted.
        let next = partition.offset().to_raw().unwrap_or(begin).max(begin);
        Ok((end - next).max(0))
    });
    lags.sum()
}
