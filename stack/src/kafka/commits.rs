//! Offsets are committed, and asked for.

use std::collections::{HashMap, HashSet};

use kafka_protocol::{
    ResponseError,
    messages::{
        OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, TopicName,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
        offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponseTopic},
    },
};

use super::{
    Kafka,
    answers::code,
    lock,
    offsets::{Committed, Key},
    topics::Topics,
};

/// What a member may note beside an offset, in bytes, as in Kafka.
const MOST_METADATA: usize = 4096;

impl Kafka {
    pub(super) fn commit_offsets(&self, request: OffsetCommitRequest) -> OffsetCommitResponse {
        // Neither the group nor a topic changes before the offsets are held.
        let (mut groups, topics) = (lock(&self.0.groups), lock(&self.0.topics));
        let (group, generation) = (request.group_id, request.generation_id_or_member_epoch);
        let allowed = groups.check_commit(&group, &request.member_id, generation);
        let mut commits = Vec::new();
        let mut take = |topic: &TopicName, partition: OffsetCommitRequestPartition| {
            let key = Key { group: group.to_string(), topic: topic.to_string(), partition: partition.partition_index };
            let committed = allowed.and_then(|()| check(&topics, &key, partition))?;
            commits.extend(committed.map(|committed| (key, committed)));
            Ok(())
        };
        let taken = request.topics.into_iter().map(|OffsetCommitRequestTopic { name, partitions, .. }| {
            let partitions =
                partitions.into_iter().map(|partition| (partition.partition_index, take(&name, partition)));
            let partitions: Vec<_> = partitions.collect();
            (name, partitions)
        });
        let taken: Vec<_> = taken.collect();
        let mut offsets = lock(&self.0.offsets);
        // Nobody else need wait for the file: who deletes a topic, or asks what was committed, takes the offsets, too.
        drop((groups, topics));
        let written = offsets.commit(commits);
        drop(offsets);
        let topics = taken.into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|(number, taken)| {
                let code = code(taken.and(written));
                OffsetCommitResponsePartition::default().with_partition_index(number).with_error_code(code)
            });
            OffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions.collect())
        });
        OffsetCommitResponse::default().with_topics(topics.collect())
    }

    pub(super) fn committed_offsets(&self, request: OffsetFetchRequest) -> OffsetFetchResponse {
        let offsets = lock(&self.0.offsets);
        let group = request.group_id.to_string();
        let wanted: Vec<(TopicName, Vec<i32>)> = match request.topics {
            Some(topics) => topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect(),
            None => {
                let all = offsets.all().filter(|(key, _)| key.group == group);
                all.map(|(key, _)| (TopicName(key.topic.clone().into()), vec![key.partition])).collect()
            }
        };
        let topics = wanted.into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|partition| {
                let key = Key { group: group.clone(), topic: name.to_string(), partition };
                let answer = OffsetFetchResponsePartition::default().with_partition_index(partition);
                match offsets.get(&key) {
                    Some(Committed { offset, metadata, epoch }) => answer
                        .with_committed_offset(*offset)
                        .with_committed_leader_epoch(*epoch)
                        .with_metadata(Some(metadata.clone().into())),
                    None => {
                        answer.with_committed_offset(-1).with_committed_leader_epoch(-1).with_metadata(Some("".into()))
                    }
                }
            });
            let partitions = partitions.collect();
            OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions)
        });
        OffsetFetchResponse::default().with_topics(topics.collect())
    }

    /// Of each partition that somebody has read, the first offset that not everybody has.
    pub(super) fn unread(&self) -> HashMap<(String, i32), i64> {
        let mut unread = HashMap::new();
        for (key, committed) in lock(&self.0.offsets).all() {
            let first: &mut i64 = unread.entry((key.topic.clone(), key.partition)).or_insert(committed.offset);
            *first = committed.offset.min(*first);
        }
        unread
    }

    pub(super) fn groups_with_offsets(&self) -> HashSet<String> {
        lock(&self.0.offsets).all().map(|(key, _)| key.group.clone()).collect()
    }
}

/// What is to be kept. Nothing of who has read an earlier topic of the name.
fn check(
    topics: &Topics,
    key: &Key,
    partition: OffsetCommitRequestPartition,
) -> Result<Option<Committed>, ResponseError> {
    let topic = topics.get(&key.topic).filter(|topic| topic.partitions().any(|number| number == key.partition));
    let epoch = topic.ok_or(ResponseError::UnknownTopicOrPartition)?.description.epoch;
    let metadata = partition.committed_metadata.unwrap_or_default().to_string();
    if metadata.len() > MOST_METADATA {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    let is_of_this = !(0..epoch).contains(&partition.committed_leader_epoch);
    Ok(is_of_this.then_some(Committed { offset: partition.committed_offset, metadata, epoch }))
}
