//! Records are read, by clients that may wait for them.

use std::sync::Arc;

use bytes::Bytes;
use futures::future;
use kafka_protocol::{
    ResponseError,
    messages::{
        FetchRequest, FetchResponse, TopicName,
        fetch_request::FetchPartition,
        fetch_response::{FetchableTopicResponse, PartitionData},
    },
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{Kafka, lock, millis, topics::Topic};

/// An answer has so many bytes of records at most, unless a single batch is larger. As in Kafka.
const MOST_ANSWER: usize = 55 * 1024 * 1024;

/// What a client wants of a topic.
struct Wanted<'a> {
    name: &'a TopicName,
    partitions: Vec<WantedPartition<'a>>,
}

/// What a client wants of a partition, and of which topic, or why it cannot have it.
struct WantedPartition<'a> {
    wanted: &'a FetchPartition,
    topic: Result<Arc<Topic>, ResponseError>,
}

/// What was read of a partition.
struct Read {
    records: Bytes,
    first_offset: i64,
    end: i64,
}

impl Kafka {
    /// Waits for records as long as the client does.
    pub(super) async fn fetch(&self, request: FetchRequest) -> FetchResponse {
        let deadline = Instant::now() + millis(request.max_wait_ms);
        let least = u64::try_from(request.min_bytes).unwrap_or_default();
        loop {
            let (topics, mut changes) = self.look_up_all(&request);
            if size(&topics).is_ok_and(|size| size < least) {
                let change = async {
                    if changes.is_empty() {
                        return future::pending().await;
                    }
                    // A topic that is gone has changed, too.
                    let _ = future::select_all(changes.iter_mut().map(|change| Box::pin(change.changed()))).await;
                };
                if timeout_at(deadline, change).await.is_ok() {
                    continue;
                }
            }
            return read_all(&topics, request.max_bytes);
        }
    }

    /// What a client wants, and what tells of every change of that from now on.
    fn look_up_all<'a>(&self, request: &'a FetchRequest) -> (Vec<Wanted<'a>>, Vec<watch::Receiver<()>>) {
        let (topics, faults) = (lock(&self.0.topics), lock(&self.0.faults));
        let mut changes = Vec::new();
        let wanted = request.topics.iter().map(|wanted| {
            let (name, topic) = (&wanted.topic, topics.get(&wanted.topic));
            changes.extend(topic.map(|topic| topic.changed.subscribe()));
            let partitions = wanted.partitions.iter().map(|wanted| {
                let led = faults.check_leader(name, wanted.partition);
                let topic = led.and_then(|()| topic.ok_or(ResponseError::UnknownTopicOrPartition));
                let known = topic.and_then(|topic| topic.check_epoch(wanted.current_leader_epoch).map(|()| topic));
                WantedPartition { wanted, topic: known.cloned() }
            });
            Wanted { name, partitions: partitions.collect() }
        });
        (wanted.collect(), changes)
    }
}

/// How many bytes there are to be read. Refuses if a partition cannot be read.
fn size(topics: &[Wanted]) -> Result<u64, ResponseError> {
    topics.iter().flat_map(|topic| &topic.partitions).map(WantedPartition::size).sum()
}

fn read_all(topics: &[Wanted], most: i32) -> FetchResponse {
    let mut room = usize::try_from(most).unwrap_or_default().min(MOST_ANSWER);
    let mut is_first = true;
    let topics = topics.iter().map(|Wanted { name, partitions }| {
        let partitions = partitions.iter().map(|partition| {
            let answer = PartitionData::default().with_partition_index(partition.wanted.partition);
            match partition.read(room, is_first) {
                Ok(Read { records, first_offset, end }) => {
                    room = room.saturating_sub(records.len());
                    is_first &= records.is_empty();
                    let answer = answer.with_high_watermark(end).with_last_stable_offset(end);
                    answer.with_log_start_offset(first_offset).with_records(Some(records))
                }
                Err(error) => {
                    let answer = answer.with_error_code(error.code()).with_high_watermark(-1);
                    answer.with_log_start_offset(-1).with_records(Some(Bytes::new()))
                }
            }
        });
        let partitions = partitions.collect();
        FetchableTopicResponse::default().with_topic((*name).clone()).with_partitions(partitions)
    });
    // Without a session, the client says each time what it wants.
    FetchResponse::default().with_responses(topics.collect())
}

impl WantedPartition<'_> {
    fn size(&self) -> Result<u64, ResponseError> {
        let topic = self.topic.as_ref().map_err(|error| *error)?;
        topic.partition(self.wanted.partition)?.size_from(self.wanted.fetch_offset)
    }

    /// At least one batch if this is the first, so that a large one is in nobody's way.
    fn read(&self, room: usize, is_first: bool) -> Result<Read, ResponseError> {
        let topic = self.topic.as_ref().map_err(|error| *error)?;
        let log = topic.partition(self.wanted.partition)?;
        let most = room.min(usize::try_from(self.wanted.partition_max_bytes).unwrap_or_default());
        let records = log.read(self.wanted.fetch_offset, most, is_first)?;
        Ok(Read { records, first_offset: log.first_offset(), end: log.next_offset() })
    }
}
