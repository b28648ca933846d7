//! The letters of a dead-letter topic, for operators: what is there, and the way back to where a letter came from.
//!
//! Reads as no member of the group, commits nothing, and ends where the topic ended when it was asked.

use std::{collections::HashMap, fmt, ops::Range, time::Duration};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, StreamConsumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::Message as _,
};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::{Quiet, Subscription, letter::Letter, outages::is_final};
use crate::failure::Failure;

/// A broker that does not answer for so long does not answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many letters are handed over at once, or fewer large ones.
const BATCH: usize = 100;
const BATCH_BYTES: usize = 8 * 1024 * 1024;

const SETTINGS: [(&str, &str); 4] = [
    ("auto.offset.reset", "earliest"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
];

/// Where a letter is in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.offset)
    }
}

/// Why there is no letter at a place.
#[derive(Debug, thiserror::Error)]
pub enum NotThere {
    #[error("the topic {0} does not exist")]
    Topic(String),
    #[error("{topic} has no partition {partition}, only {}", partitions(*.count))]
    Partition { topic: String, partition: i32, count: usize },
    #[error("{topic} has nothing at {partition}/{offset}: {}", what_is_there(*.partition, .offsets))]
    Offset { topic: String, partition: i32, offset: i64, offsets: Range<i64> },
    #[error(transparent)]
    Failure(#[from] Failure),
}

fn partitions(count: usize) -> String {
    match count {
        0 | 1 => "partition 0".to_owned(),
        _ => format!("partitions 0 to {}", count - 1),
    }
}

fn what_is_there(partition: i32, offsets: &Range<i64>) -> String {
    if offsets.is_empty() {
        return format!("partition {partition} is empty");
    }
    format!("partition {partition} has the offsets {} to {}", offsets.start, offsets.end - 1)
}

/// The dead letters of a subscription.
#[derive(Debug)]
pub struct Letters {
    config: ClientConfig,
    topic: String,
    quiet: Quiet,
}

impl Letters {
    pub fn new(subscription: &Subscription) -> Self {
        let Subscription { cluster, dead_letter_topic, group, .. } = subscription;
        let mut config = cluster.client(&SETTINGS);
        config.set("group.id", group);
        Self { config, topic: dead_letter_topic.clone(), quiet: Quiet::default() }
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Reads the letters that are there now, those of a partition in their order: all of them, or the last `newest` of
    /// each partition. Answers `false` if the topic does not exist.
    pub async fn read(
        &self,
        newest: Option<i64>,
        each: impl AsyncFnMut(Vec<Letter>) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let Some(mut ranges) = self.ranges().await? else { return Ok(false) };
        if let Some(newest) = newest {
            for range in ranges.values_mut() {
                range.start = range.start.max(range.end.saturating_sub(newest));
            }
        }
        self.read_ranges(ranges, each).await?;
        Ok(true)
    }

    /// The letter at a place.
    pub async fn at(&self, place: Place) -> Result<Letter, NotThere> {
        let (topic, Place { partition, offset }) = (self.topic.clone(), place);
        let mut ranges = self.ranges().await?.ok_or_else(|| NotThere::Topic(topic.clone()))?;
        let count = ranges.len();
        let Some(offsets) = ranges.remove(&partition) else {
            return Err(NotThere::Partition { topic, partition, count });
        };
        let mut found = None;
        if offsets.contains(&offset) {
            let only = HashMap::from([(partition, offset..offset + 1)]);
            let keep = async |letters: Vec<Letter>| {
                found = letters.into_iter().next();
                Ok(())
            };
            self.read_ranges(only, keep).await?;
        }
        found.ok_or(NotThere::Offset { topic, partition, offset, offsets })
    }

    /// The offsets of each partition; `None` if the topic does not exist.
    async fn ranges(&self) -> Result<Option<HashMap<i32, Range<i64>>>, Failure> {
        let (config, topic, quiet) = (self.config.clone(), self.topic.clone(), self.quiet.clone());
        let asked = tokio::task::spawn_blocking(move || ask_for_ranges(&config, &topic, quiet)).await;
        asked.map_err(Failure::unforeseen)?.map_err(|error| self.quiet.failure(error))
    }

    async fn read_ranges(
        &self,
        ranges: HashMap<i32, Range<i64>>,
        each: impl AsyncFnMut(Vec<Letter>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let consumer: StreamConsumer<Quiet> =
            self.config.create_with_context(self.quiet.clone()).map_err(Failure::unforeseen)?;
        let read = self.read_with(&consumer, ranges, each).await;
        // Dropping it blocks until its thread has ended.
        tokio::task::spawn_blocking(move || drop(consumer)).await.map_err(Failure::unforeseen)?;
        read
    }

    async fn read_with(
        &self,
        consumer: &StreamConsumer<Quiet>,
        ranges: HashMap<i32, Range<i64>>,
        mut each: impl AsyncFnMut(Vec<Letter>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut left: HashMap<i32, i64> = HashMap::new();
        let mut list = TopicPartitionList::new();
        for (partition, Range { start, end }) in ranges.into_iter().filter(|(_, offsets)| !offsets.is_empty()) {
            left.insert(partition, end);
            list.add_partition_offset(&self.topic, partition, Offset::Offset(start)).map_err(Failure::unforeseen)?;
        }
        consumer.assign(&list).map_err(Failure::unforeseen)?;
        let (mut letters, mut bytes) = (Vec::new(), 0);
        let (mut last_error, mut deadline) = (None, Instant::now() + PATIENCE);
        while !left.is_empty() {
            match timeout_at(deadline, consumer.recv()).await {
                Ok(Ok(record)) => {
                    deadline = Instant::now() + PATIENCE;
                    let (partition, offset) = (record.partition(), record.offset());
                    let end = left.get(&partition).copied().unwrap_or_default();
                    if offset < end {
                        bytes += record.payload_len();
                        letters.push(Letter::new(record.detach()));
                    }
                    if offset + 1 >= end {
                        left.remove(&partition);
                    }
                }
                Ok(Err(KafkaError::PartitionEOF(partition))) => {
                    deadline = Instant::now() + PATIENCE;
                    left.remove(&partition);
                }
                // One of several brokers may be away; librdkafka goes on by itself.
                Ok(Err(error)) if !is_final(&error) => {
                    debug!(%error, "dead letters are read on");
                    last_error = Some(error);
                }
                Ok(Err(error)) => return Err(self.quiet.failure(error)),
                Err(_) => {
                    let timed_out = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
                    return Err(self.quiet.failure(last_error.unwrap_or(timed_out)));
                }
            }
            if letters.len() >= BATCH || bytes >= BATCH_BYTES {
                bytes = 0;
                each(std::mem::take(&mut letters)).await?;
            }
        }
        if letters.is_empty() { Ok(()) } else { each(letters).await }
    }
}

fn ask_for_ranges(config: &ClientConfig, topic: &str, quiet: Quiet) -> KafkaResult<Option<HashMap<i32, Range<i64>>>> {
    let consumer: BaseConsumer<Quiet> = config.create_with_context(quiet)?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => return Ok(None),
        Some(error) => return Err(KafkaError::MetadataFetch(error)),
    }
    let range = |partition: i32| {
        let (begin, end) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
        Ok((partition, begin..end))
    };
    found.partitions().iter().map(|partition| range(partition.id())).collect::<KafkaResult<_>>().map(Some)
}
