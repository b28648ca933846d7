//! Callbacks from the consumer group: partitions are assigned and revoked, offsets are committed.

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

/// Clones share their state: each new member of a consumer gets a clone.
#[derive(Clone)]
pub(super) struct GroupContext {
    pause: Pause,
    /// Also for what librdkafka says beside its results.
    pub quiet: Quiet,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    generation: AtomicU64,
    /// The partitions of this replica.
    partitions: Mutex<BTreeSet<i32>>,
    /// The id of the cluster at the last assignment.
    cluster: Mutex<Option<String>>,
}

impl GroupContext {
    pub fn new(pause: Pause) -> Self {
        Self { pause, quiet: Quiet::default(), state: Arc::default() }
    }

    /// A number that changes with every rebalance.
    pub fn generation(&self) -> u64 {
        self.state.generation.load(Ordering::Relaxed)
    }

    pub fn begin_generation(&self) {
        self.state.generation.fetch_add(1, Ordering::Relaxed);
    }

    pub fn partitions(&self) -> BTreeSet<i32> {
        self.lock_partitions().clone()
    }

    fn lock_partitions(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.state.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A broker that lost its records comes back as another cluster. Offsets that it has for the group are late
    /// commits, for records that no longer exist.
    fn cluster_changed(&self, consumer: &BaseConsumer<Self>) -> bool {
        // The id is known without waiting: the broker has answered, or it would not have assigned partitions.
        let Some(current) = consumer.client().fetch_cluster_id(Duration::ZERO) else { return false };
        let mut cluster = self.state.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        let has_changed = cluster.as_ref().is_some_and(|before| *before != current);
        *cluster = Some(current);
        has_changed
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> KafkaResult<()> {
        if self.cluster_changed(consumer) {
            warn!("this is another cluster than before: its partitions are read from their beginning");
            consumer.assign(&from_the_beginning(partitions)?)?;
        }
        // librdkafka keeps a partition paused, also if the partition was revoked and is assigned again.
        if self.pause.is_on() { consumer.pause(partitions) } else { consumer.resume(partitions) }
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.quiet.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.quiet.error(error, reason);
    }
}

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.begin_generation();
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                info!(partitions = numbers(partitions), "partitions are ours");
                *self.lock_partitions() = partitions.elements().iter().map(TopicPartitionListElem::partition).collect();
                if let Err(error) = self.assign(consumer, partitions) {
                    warn!(%error, "partitions could not be set up");
                }
            }
            Rebalance::Revoke(partitions) => {
                info!(partitions = numbers(partitions), "partitions are no longer ours");
                self.lock_partitions().clear();
            }
            Rebalance::Error(error) => warn!(%error, "partitions could not be shared out"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            // The events are read again and found to be duplicates.
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
