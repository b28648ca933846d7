//! What happens to this replica in its consumer group: partitions come and go, offsets are committed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance},
    error::{KafkaError, KafkaResult},
    topic_partition_list::TopicPartitionListElem,
};
use tracing::{debug, info, warn};

use super::{Pause, Quiet};

/// What a consumer is told of its group; clones are for consumers that follow one another and know the same.
#[derive(Clone)]
pub(super) struct Group {
    pause: Pause,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    generation: AtomicU64,
    /// The partitions that are ours.
    partitions: Mutex<BTreeSet<i32>>,
    /// The id of the cluster that partitions were last assigned in.
    cluster: Mutex<Option<String>>,
}

impl Group {
    pub fn new(pause: Pause) -> Self {
        Self { pause, seen: Arc::default() }
    }

    /// A number that changes whenever partitions come or go.
    pub fn generation(&self) -> u64 {
        self.seen.generation.load(Ordering::Relaxed)
    }

    /// Takes note that partitions came or went.
    pub fn begin_generation(&self) {
        self.seen.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// The partitions that are ours.
    pub fn partitions(&self) -> BTreeSet<i32> {
        self.ours().clone()
    }

    fn ours(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.seen.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the consumer is in another cluster than the one before it was. A broker that comes back empty is one,
    /// and whatever it has for offsets of the group was committed late, for records that are no more.
    fn is_elsewhere(&self, consumer: &BaseConsumer<Self>) -> bool {
        // It is known by now: without an answer of the broker nothing is assigned.
        let Some(current) = consumer.client().fetch_cluster_id(Duration::ZERO) else { return false };
        let mut cluster = self.seen.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        let is_elsewhere = cluster.as_ref().is_some_and(|before| *before != current);
        *cluster = Some(current);
        is_elsewhere
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> KafkaResult<()> {
        if self.is_elsewhere(consumer) {
            warn!("this is another cluster than before: its partitions are read from their beginning");
            consumer.assign(&from_the_beginning(partitions)?)?;
        }
        // librdkafka remembers that a partition stood still, also when it comes back to us.
        if self.pause.is_on() { consumer.pause(partitions) } else { consumer.resume(partitions) }
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        Quiet.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Quiet.error(error, reason);
    }
}

impl ConsumerContext for Group {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.begin_generation();
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                info!(partitions = numbers(partitions), "partitions are ours");
                *self.ours() = partitions.elements().iter().map(TopicPartitionListElem::partition).collect();
                if let Err(error) = self.assign(consumer, partitions) {
                    warn!(%error, "partitions could not be set up");
                }
            }
            Rebalance::Revoke(partitions) => {
                info!(partitions = numbers(partitions), "partitions are no longer ours");
                self.ours().clear();
            }
            Rebalance::Error(error) => warn!(%error, "partitions could not be shared out"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            // The events are read again, and recognised.
            debug!(%error, "offsets were not committed");
        }
    }
}

fn from_the_beginning(partitions: &TopicPartitionList) -> KafkaResult<TopicPartitionList> {
    let mut list = partitions.clone();
    list.set_all_offsets(Offset::Beginning)?;
    Ok(list)
}

fn numbers(partitions: &TopicPartitionList) -> String {
    let numbers: Vec<_> = partitions.elements().iter().map(|element| element.partition().to_string()).collect();
    numbers.join(", ")
}
