//! The requests of members of consumer groups, and of those who look at groups.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::{
    ResponseError,
    messages::{
        DescribeGroupsRequest, DescribeGroupsResponse, GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
        JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsResponse, OffsetCommitRequest,
        OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest, SyncGroupResponse, TopicName,
        describe_groups_response::{DescribedGroup, DescribedGroupMember},
        join_group_response::JoinGroupResponseMember,
        list_groups_response::ListedGroup,
        offset_commit_request::OffsetCommitRequestPartition,
        offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
        offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponseTopic},
    },
};

use super::{
    Kafka,
    answers::code,
    groups::{Answer, Described, Join, Joined},
    lock,
    offsets::{Committed, Key},
};

/// From this version of JoinGroup on, a new member first gets a name, and joins with it.
const NAMES_FIRST: i16 = 4;

/// The group may have vanished.
async fn wait<T>(answer: Answer<T>) -> Result<T, ResponseError> {
    answer.await.unwrap_or(Err(ResponseError::UnknownMemberId))
}

fn millis(number: i32) -> Duration {
    Duration::from_millis(number.try_into().unwrap_or_default())
}

impl Kafka {
    pub(super) async fn join_group(&self, request: JoinGroupRequest, version: i16) -> JoinGroupResponse {
        let session_timeout = millis(request.session_timeout_ms);
        let join = Join {
            member: request.member_id.to_string(),
            protocol_type: request.protocol_type.to_string(),
            protocols: request.protocols.into_iter().map(|known| (known.name.to_string(), known.metadata)).collect(),
            session_timeout,
            // The oldest version has one time for both.
            rebalance_timeout: millis(request.rebalance_timeout_ms).max(session_timeout),
            names_first: version >= NAMES_FIRST,
        };
        let (refused_as, joining) = (join.member.clone(), lock(&self.0.groups).join(&request.group_id, join));
        let joined = match joining {
            Ok(answer) => wait(answer).await.map_err(|error| (error, refused_as)),
            Err(refused) => Err(refused),
        };
        let answer = JoinGroupResponse::default();
        match joined {
            Ok(Joined { member, generation, protocol_type, protocol, leader, members }) => {
                let members = members.into_iter().map(|(name, metadata)| {
                    JoinGroupResponseMember::default().with_member_id(name.into()).with_metadata(metadata)
                });
                answer
                    .with_generation_id(generation)
                    .with_protocol_type(Some(protocol_type.into()))
                    .with_protocol_name(Some(protocol.into()))
                    .with_leader(leader.into())
                    .with_member_id(member.into())
                    .with_members(members.collect())
            }
            Err((error, member)) => answer
                .with_error_code(error.code())
                .with_generation_id(-1)
                .with_protocol_name(Some("".into()))
                .with_member_id(member.into()),
        }
    }

    pub(super) async fn sync_group(&self, request: SyncGroupRequest) -> SyncGroupResponse {
        let shares = request.assignments.into_iter().map(|share| (share.member_id.to_string(), share.assignment));
        let (group, member, generation) = (&request.group_id, &request.member_id, request.generation_id);
        let syncing = lock(&self.0.groups).sync(group, member, generation, shares.collect());
        let share = match syncing {
            Ok(answer) => wait(answer).await,
            Err(error) => Err(error),
        };
        let answer = SyncGroupResponse::default();
        match share {
            Ok(share) => answer.with_assignment(share),
            Err(error) => answer.with_error_code(error.code()).with_assignment(Bytes::new()),
        }
    }

    pub(super) fn heartbeat(&self, request: HeartbeatRequest) -> HeartbeatResponse {
        let heard = lock(&self.0.groups).heartbeat(&request.group_id, &request.member_id, request.generation_id);
        HeartbeatResponse::default().with_error_code(code(heard))
    }

    pub(super) fn leave_group(&self, request: LeaveGroupRequest) -> LeaveGroupResponse {
        let left = lock(&self.0.groups).leave(&request.group_id, &request.member_id);
        LeaveGroupResponse::default().with_error_code(code(left))
    }

    pub(super) fn list_groups(&self) -> ListGroupsResponse {
        let groups = lock(&self.0.groups);
        let listed = groups.all().map(|(name, protocol_type)| {
            let group = ListedGroup::default().with_group_id(GroupId(name.to_owned().into()));
            group.with_protocol_type(protocol_type.to_owned().into())
        });
        ListGroupsResponse::default().with_groups(listed.collect())
    }

    pub(super) fn describe_groups(&self, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
        let groups = lock(&self.0.groups);
        let described = request.groups.into_iter().map(|name| {
            let Described { state, protocol_type, protocol, members } = groups.describe(&name);
            let members = members.into_iter().map(|(name, metadata, share)| {
                let member = DescribedGroupMember::default().with_member_id(name.into());
                member.with_member_metadata(metadata).with_member_assignment(share)
            });
            DescribedGroup::default()
                .with_group_id(name)
                .with_group_state(state.into())
                .with_protocol_type(protocol_type.into())
                .with_protocol_data(protocol.into())
                .with_members(members.collect())
        });
        DescribeGroupsResponse::default().with_groups(described.collect())
    }

    pub(super) fn commit_offsets(&self, request: OffsetCommitRequest) -> OffsetCommitResponse {
        let (group, generation) = (request.group_id, request.generation_id_or_member_epoch);
        let allowed = lock(&self.0.groups).check_commit(&group, &request.member_id, generation);
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter().map(|partition| {
                let (number, commit) = (partition.partition_index, || self.commit(&group, &topic.name, partition));
                let committed = allowed.and_then(|()| commit());
                OffsetCommitResponsePartition::default().with_partition_index(number).with_error_code(code(committed))
            });
            let partitions = partitions.collect();
            OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions)
        });
        OffsetCommitResponse::default().with_topics(topics.collect())
    }

    fn commit(&self, group: &str, topic: &str, partition: OffsetCommitRequestPartition) -> Result<(), ResponseError> {
        let number = partition.partition_index;
        // Held, so that the topic is not deleted meanwhile.
        let topics = lock(&self.0.topics);
        let is_there = topics.get(topic).is_some_and(|topic| topic.partition(number).is_some());
        if !is_there {
            return Err(ResponseError::UnknownTopicOrPartition);
        }
        let key = Key { group: group.to_owned(), topic: topic.to_owned(), partition: number };
        let metadata = partition.committed_metadata.unwrap_or_default().to_string();
        let committed = Committed { offset: partition.committed_offset, metadata };
        lock(&self.0.offsets).commit(key, committed).map_err(|_| ResponseError::KafkaStorageError)
    }

    pub(super) fn committed_offsets(&self, request: OffsetFetchRequest) -> OffsetFetchResponse {
        let offsets = lock(&self.0.offsets);
        let group = request.group_id.to_string();
        let wanted: Vec<(TopicName, Vec<i32>)> = match request.topics {
            Some(topics) => topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect(),
            None => {
                let all = offsets.of_group(&group);
                all.map(|(key, _)| (TopicName(key.topic.clone().into()), vec![key.partition])).collect()
            }
        };
        let topics = wanted.into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|partition| {
                let key = Key { group: group.clone(), topic: name.to_string(), partition };
                let answer = OffsetFetchResponsePartition::default().with_partition_index(partition);
                match offsets.get(&key) {
                    Some(Committed { offset, metadata }) => {
                        answer.with_committed_offset(*offset).with_metadata(Some(metadata.clone().into()))
                    }
                    None => answer.with_committed_offset(-1).with_metadata(Some("".into())),
                }
                .with_committed_leader_epoch(-1)
            });
            let partitions = partitions.collect();
            OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions)
        });
        OffsetFetchResponse::default().with_topics(topics.collect())
    }
}
