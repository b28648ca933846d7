//! Records are appended, read, and looked for by time.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::{
    ResponseError,
    messages::{
        FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, ProduceRequest, ProduceResponse,
        fetch_request::FetchPartition,
        fetch_response::{FetchableTopicResponse, PartitionData},
        list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
        produce_response::{PartitionProduceResponse, TopicProduceResponse},
    },
};
use tokio::time::{Instant, timeout_at};

use super::{Kafka, answers::code, lock};

/// Instead of a time: the end of the log, and its beginning.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// What was read of a partition.
struct Read {
    records: Bytes,
    end: i64,
}

impl Kafka {
    /// `None` for a producer that wants no answer.
    pub(super) fn produce(&self, request: ProduceRequest) -> Option<ProduceResponse> {
        let topics = request.topic_data.into_iter().map(|topic| {
            let partitions = topic.partition_data.into_iter().map(|partition| {
                let appended = self.append(&topic.name, partition.index, &partition.records.unwrap_or_default());
                let answer = PartitionProduceResponse::default().with_index(partition.index);
                match appended {
                    Ok(offset) => answer.with_base_offset(offset).with_log_start_offset(0),
                    Err(error) => answer.with_error_code(error.code()).with_base_offset(-1),
                }
            });
            let partitions = partitions.collect();
            TopicProduceResponse::default().with_name(topic.name).with_partition_responses(partitions)
        });
        let answer = ProduceResponse::default().with_responses(topics.collect());
        self.0.changed.send_replace(());
        (request.acks != 0).then_some(answer)
    }

    fn append(&self, topic: &str, partition: i32, records: &Bytes) -> Result<i64, ResponseError> {
        self.check_leader(topic, partition)?;
        let topic = lock(&self.0.topics).get(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let mut log = topic.partition(partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
        log.append(records, topic.description.max_message_bytes)
    }

    /// Waits for records as long as the client does.
    pub(super) async fn fetch(&self, request: FetchRequest) -> FetchResponse {
        let deadline = Instant::now() + Duration::from_millis(request.max_wait_ms.try_into().unwrap_or_default());
        let mut changed = self.0.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let (answer, bytes, has_failed) = self.fetch_once(&request);
            let is_enough = bytes >= usize::try_from(request.min_bytes).unwrap_or_default() || has_failed;
            // The sender lives as long as the broker.
            if is_enough || timeout_at(deadline, changed.changed()).await.is_err() {
                return answer;
            }
        }
    }

    /// Also returns how many bytes of records there are, and whether a partition cannot be read.
    fn fetch_once(&self, request: &FetchRequest) -> (FetchResponse, usize, bool) {
        let mut room = usize::try_from(request.max_bytes).unwrap_or_default();
        let (mut bytes, mut has_failed) = (0, false);
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let answer = PartitionData::default().with_partition_index(partition.partition);
                match self.read(&topic.topic, partition, room, bytes == 0) {
                    Ok(Read { records, end }) => {
                        room = room.saturating_sub(records.len());
                        bytes += records.len();
                        answer.with_high_watermark(end).with_last_stable_offset(end).with_records(Some(records))
                    }
                    Err(error) => {
                        has_failed = true;
                        answer.with_error_code(error.code()).with_high_watermark(-1).with_records(Some(Bytes::new()))
                    }
                }
                .with_log_start_offset(0)
            });
            let partitions = partitions.collect();
            FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_partitions(partitions)
        });
        // Without a session, the client says each time what it wants.
        let answer = FetchResponse::default().with_responses(topics.collect());
        (answer, bytes, has_failed)
    }

    /// At least one batch if this is the first, so that a large one is in nobody's way.
    fn read(&self, topic: &str, wanted: &FetchPartition, room: usize, is_first: bool) -> Result<Read, ResponseError> {
        self.check_leader(topic, wanted.partition)?;
        let topic = lock(&self.0.topics).get(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let log = topic.partition(wanted.partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let most = room.min(usize::try_from(wanted.partition_max_bytes).unwrap_or_default());
        let records = log.read(wanted.fetch_offset, most)?;
        let fits = is_first || records.len() <= most;
        Ok(Read { records: if fits { records } else { Bytes::new() }, end: log.next_offset() })
    }

    pub(super) fn list_offsets(&self, request: ListOffsetsRequest) -> ListOffsetsResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter().map(|partition| {
                let found = self.find(&topic.name, partition.partition_index, partition.timestamp);
                let answer = ListOffsetsPartitionResponse::default().with_partition_index(partition.partition_index);
                match found {
                    Ok((offset, time)) => answer.with_offset(offset).with_timestamp(time),
                    Err(error) => answer.with_error_code(code(Err(error))).with_offset(-1).with_timestamp(-1),
                }
            });
            let partitions = partitions.collect();
            ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    }

    /// An offset, and the time of its record if that was looked for. Both are -1 if all records are older.
    fn find(&self, topic: &str, partition: i32, time: i64) -> Result<(i64, i64), ResponseError> {
        self.check_leader(topic, partition)?;
        let topic = lock(&self.0.topics).get(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let log = topic.partition(partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
        Ok(match time {
            LATEST => (log.next_offset(), -1),
            EARLIEST => (0, -1),
            time => log.find(time).unwrap_or((-1, -1)),
        })
    }
}
