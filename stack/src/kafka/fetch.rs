//! Records are read, by clients that may wait for them.

use std::time::Duration;

use bytes::Bytes;
use futures::future;
use kafka_protocol::{
    ResponseError,
    messages::{
        FetchRequest, FetchResponse,
        fetch_request::{FetchPartition, FetchTopic},
        fetch_response::{FetchableTopicResponse, PartitionData},
    },
};
use tokio::time::{Instant, timeout_at};

use super::{Kafka, lock};

/// An answer has so many bytes of records at most, unless a single batch is larger. As in Kafka.
const MOST_BYTES: usize = 55 * 1024 * 1024;

/// What was read of a partition.
struct Read {
    records: Bytes,
    first_offset: i64,
    end: i64,
}

impl Kafka {
    /// Waits for records as long as the client does.
    pub(super) async fn fetch(&self, request: FetchRequest) -> FetchResponse {
        let deadline = Instant::now() + Duration::from_millis(request.max_wait_ms.try_into().unwrap_or_default());
        let least = u64::try_from(request.min_bytes).unwrap_or_default();
        loop {
            // Asked for first, so that no change is missed.
            let mut changes: Vec<_> = {
                let topics = lock(&self.0.topics);
                let wanted = request.topics.iter().filter_map(|wanted| topics.get(&wanted.topic));
                wanted.map(|topic| topic.changed.subscribe()).collect()
            };
            if self.size(&request).is_ok_and(|size| size < least) {
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
            return self.read_all(&request);
        }
    }

    /// How many bytes there are to be read. Refuses if a partition cannot be read.
    fn size(&self, request: &FetchRequest) -> Result<u64, ResponseError> {
        let mut size = 0;
        for FetchTopic { topic: name, partitions, .. } in &request.topics {
            for wanted in partitions {
                let topic = self.topic(name, wanted.partition)?;
                topic.check_epoch(wanted.current_leader_epoch)?;
                size += topic.partition(wanted.partition)?.size_from(wanted.fetch_offset)?;
            }
        }
        Ok(size)
    }

    fn read_all(&self, request: &FetchRequest) -> FetchResponse {
        let mut room = usize::try_from(request.max_bytes).unwrap_or_default().min(MOST_BYTES);
        let mut is_first = true;
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let answer = PartitionData::default().with_partition_index(partition.partition);
                match self.read(&topic.topic, partition, room, is_first) {
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
            FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_partitions(partitions)
        });
        // Without a session, the client says each time what it wants.
        FetchResponse::default().with_responses(topics.collect())
    }

    /// At least one batch if this is the first, so that a large one is in nobody's way.
    fn read(&self, topic: &str, wanted: &FetchPartition, room: usize, is_first: bool) -> Result<Read, ResponseError> {
        let topic = self.topic(topic, wanted.partition)?;
        topic.check_epoch(wanted.current_leader_epoch)?;
        let log = topic.partition(wanted.partition)?;
        let most = room.min(usize::try_from(wanted.partition_max_bytes).unwrap_or_default());
        let records = log.read(wanted.fetch_offset, most, is_first)?;
        Ok(Read { records, first_offset: log.first_offset(), end: log.next_offset() })
    }
}
