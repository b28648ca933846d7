//! Records are appended, and looked for by time and by epoch.

use bytes::Bytes;
use kafka_protocol::{
    ResponseError,
    messages::{
        ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
        ProduceRequest, ProduceResponse,
        list_offsets_request::ListOffsetsPartition,
        list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
        offset_for_leader_epoch_request::OffsetForLeaderPartition,
        offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult},
        produce_response::{PartitionProduceResponse, TopicProduceResponse},
    },
};

use super::{Kafka, log::Batch, topics::Topic};

/// Instead of a time: the end of the log, its beginning, and its latest record.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// From this version of ListOffsets on, epochs are told.
const WITH_EPOCHS: i16 = 4;
/// There is no such record, and no time of it.
const NONE: (i64, i64) = (-1, -1);

/// Where a batch is.
struct Appended {
    offset: i64,
    first_offset: i64,
}

impl Kafka {
    /// `None` for a producer that wants no answer.
    pub(super) fn produce(&self, request: ProduceRequest) -> Option<ProduceResponse> {
        let acks = request.acks;
        let topics = request.topic_data.into_iter().map(|topic| {
            let partitions = topic.partition_data.into_iter().map(|partition| {
                let appended = if (-1..=1).contains(&acks) {
                    self.append(&topic.name, partition.index, &partition.records.unwrap_or_default())
                } else {
                    Err(ResponseError::InvalidRequiredAcks)
                };
                let answer = PartitionProduceResponse::default().with_index(partition.index);
                match appended {
                    Ok(Appended { offset, first_offset }) => {
                        answer.with_base_offset(offset).with_log_start_offset(first_offset)
                    }
                    Err(error) => answer.with_error_code(error.code()).with_base_offset(-1),
                }
            });
            let partitions = partitions.collect();
            TopicProduceResponse::default().with_name(topic.name).with_partition_responses(partitions)
        });
        let answer = ProduceResponse::default().with_responses(topics.collect());
        (acks != 0).then_some(answer)
    }

    fn append(&self, topic: &str, partition: i32, batch: &Bytes) -> Result<Appended, ResponseError> {
        let topic = self.topic(topic, partition)?;
        let settings = &topic.description.settings;
        // Before the log is held, because what is compressed takes its time.
        let batch = Batch::check(batch, settings.max_message_bytes)?;
        let mut log = topic.partition(partition)?;
        let offset = log.append(&batch, settings)?;
        topic.changed.send_replace(());
        Ok(Appended { offset, first_offset: log.first_offset() })
    }

    pub(super) fn list_offsets(&self, request: ListOffsetsRequest, version: i16) -> ListOffsetsResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter().map(|partition| {
                let led = self.topic(&topic.name, partition.partition_index);
                let found = led.and_then(|topic| find(&topic, &partition));
                let answer = ListOffsetsPartitionResponse::default().with_partition_index(partition.partition_index);
                match found {
                    Ok((offset, time, epoch)) => {
                        let epoch = if version >= WITH_EPOCHS { epoch } else { -1 };
                        answer.with_offset(offset).with_timestamp(time).with_leader_epoch(epoch)
                    }
                    Err(error) => answer.with_error_code(error.code()).with_offset(-1).with_timestamp(-1),
                }
            });
            let partitions = partitions.collect();
            ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    }

    /// To a client that asks whether what it has read is still there.
    pub(super) fn ends_of_epochs(&self, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter().map(|partition| {
                let led = self.topic(&topic.topic, partition.partition);
                let end = led.and_then(|topic| end(&topic, &partition));
                let answer = EpochEndOffset::default().with_partition(partition.partition);
                match end {
                    Ok((epoch, offset)) => answer.with_leader_epoch(epoch).with_end_offset(offset),
                    Err(error) => answer.with_error_code(error.code()).with_leader_epoch(-1).with_end_offset(-1),
                }
            });
            let partitions = partitions.collect();
            OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    }
}

/// An offset, the time of its record if that was looked for, and its epoch.
fn find(topic: &Topic, wanted: &ListOffsetsPartition) -> Result<(i64, i64, i32), ResponseError> {
    topic.check_epoch(wanted.current_leader_epoch)?;
    let log = topic.partition(wanted.partition_index)?;
    let (offset, time) = match wanted.timestamp {
        LATEST => (log.next_offset(), -1),
        EARLIEST => (log.first_offset(), -1),
        MAX_TIMESTAMP => log.find_latest()?.unwrap_or(NONE),
        time if time >= 0 => log.find(time)?.unwrap_or(NONE),
        _ => return Err(ResponseError::InvalidRequest),
    };
    Ok((offset, time, if offset < 0 { -1 } else { topic.description.epoch }))
}

/// Where the records of an epoch end, and which epoch that is. All of an earlier topic of the name are gone.
fn end(topic: &Topic, wanted: &OffsetForLeaderPartition) -> Result<(i32, i64), ResponseError> {
    topic.check_epoch(wanted.current_leader_epoch)?;
    let log = topic.partition(wanted.partition)?;
    Ok(match wanted.leader_epoch {
        epoch if epoch == topic.description.epoch => (epoch, log.next_offset()),
        epoch if (0..topic.description.epoch).contains(&epoch) => (epoch, log.first_offset()),
        _ => (-1, -1),
    })
}
