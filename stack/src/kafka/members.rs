//! The requests of members of consumer groups, and of those who look at groups.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::{
    ResponseError,
    messages::{
        DescribeGroupsRequest, DescribeGroupsResponse, GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
        JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsResponse, SyncGroupRequest,
        SyncGroupResponse,
        describe_groups_response::{DescribedGroup, DescribedGroupMember},
        join_group_response::JoinGroupResponseMember,
        list_groups_response::ListedGroup,
    },
};

use super::{
    Kafka,
    answers::code,
    groups::{Answer, Described, Join, Joined},
    lock, millis,
};

/// From this version of JoinGroup on, a new member first gets a name, and joins with it.
const NAMES_FIRST: i16 = 4;

/// The group may have vanished.
async fn wait<T>(answer: Answer<T>) -> Result<T, ResponseError> {
    answer.await.unwrap_or(Err(ResponseError::UnknownMemberId))
}

fn copy(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

impl Kafka {
    pub(super) async fn join_group(&self, request: JoinGroupRequest, version: i16) -> JoinGroupResponse {
        let session_timeout = millis(request.session_timeout_ms);
        let join = Join {
            member: request.member_id.to_string(),
            protocol_type: request.protocol_type.to_string(),
            // Copied, because the bytes are part of all that the client has sent.
            protocols: request
                .protocols
                .into_iter()
                .map(|known| (known.name.to_string(), copy(&known.metadata)))
                .collect(),
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
        let shares =
            request.assignments.into_iter().map(|share| (share.member_id.to_string(), copy(&share.assignment)));
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
        // A group without members is known by its offsets.
        let mut all: BTreeMap<_, _> =
            self.groups_with_offsets().into_iter().map(|name| (name, String::new())).collect();
        all.extend(groups.all().map(|(name, protocol_type)| (name.to_owned(), protocol_type.to_owned())));
        let listed = all.into_iter().map(|(name, protocol_type)| {
            ListedGroup::default().with_group_id(GroupId(name.into())).with_protocol_type(protocol_type.into())
        });
        ListGroupsResponse::default().with_groups(listed.collect())
    }

    pub(super) fn describe_groups(&self, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
        let groups = lock(&self.0.groups);
        let with_offsets = self.groups_with_offsets();
        // Each once, as topics are.
        let names: BTreeSet<_> = request.groups.into_iter().collect();
        let described = names.into_iter().map(|name| {
            let described = groups.describe(&name, with_offsets.contains(&**name));
            let Described { state, protocol_type, protocol, members } = described;
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
}
