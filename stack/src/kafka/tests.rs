#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "there are many, and those that lack here fail the test")]

use kafka_protocol::{
    messages::{
        ApiKey, ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, DescribeGroupsRequest,
        FetchRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest, InitProducerIdRequest, JoinGroupRequest,
        LeaveGroupRequest, ListGroupsRequest, ListOffsetsRequest, MetadataRequest, OffsetCommitRequest,
        OffsetFetchRequest, ProduceRequest, RequestKind, SyncGroupRequest, TopicName,
        create_topics_request::CreatableTopic,
        describe_configs_request::DescribeConfigsResource,
        fetch_request::{FetchPartition, FetchTopic},
        join_group_request::JoinGroupRequestProtocol,
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_fetch_request::OffsetFetchRequestTopic,
        produce_request::{PartitionProduceData, TopicProduceData},
    },
    protocol::StrBytes,
};

use bytes::BytesMut;

use super::*;

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str("orders"))
}

fn group() -> GroupId {
    GroupId(StrBytes::from_static_str("readers"))
}

/// A request that has an answer with content.
fn request(api: ApiKey) -> RequestKind {
    match api {
        ApiKey::Produce => {
            let data = TopicProduceData::default().with_name(topic());
            let data = data.with_partition_data(vec![PartitionProduceData::default()]);
            ProduceRequest::default().with_acks(-1).with_topic_data(vec![data]).into()
        }
        ApiKey::Fetch => {
            let wanted = FetchTopic::default().with_topic(topic()).with_partitions(vec![FetchPartition::default()]);
            FetchRequest::default().with_topics(vec![wanted]).into()
        }
        ApiKey::ListOffsets => {
            let partitions = vec![ListOffsetsPartition::default().with_timestamp(-1)];
            let wanted = ListOffsetsTopic::default().with_name(topic()).with_partitions(partitions);
            ListOffsetsRequest::default().with_topics(vec![wanted]).into()
        }
        ApiKey::Metadata => MetadataRequest::default().with_topics(None).into(),
        ApiKey::OffsetCommit => {
            let partitions = vec![OffsetCommitRequestPartition::default()];
            let commit = OffsetCommitRequestTopic::default().with_name(topic()).with_partitions(partitions);
            let request = OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![commit]);
            request.with_generation_id_or_member_epoch(-1).into()
        }
        ApiKey::OffsetFetch => {
            let wanted = OffsetFetchRequestTopic::default().with_name(topic()).with_partition_indexes(vec![0]);
            OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![wanted])).into()
        }
        ApiKey::FindCoordinator => FindCoordinatorRequest::default().into(),
        ApiKey::JoinGroup => {
            let join = JoinGroupRequest::default().with_group_id(GroupId(Uuid::new_v4().to_string().into()));
            join.with_protocols(vec![JoinGroupRequestProtocol::default()]).into()
        }
        ApiKey::SyncGroup => SyncGroupRequest::default().with_group_id(group()).into(),
        ApiKey::Heartbeat => HeartbeatRequest::default().with_group_id(group()).into(),
        ApiKey::LeaveGroup => LeaveGroupRequest::default().with_group_id(group()).into(),
        ApiKey::DescribeGroups => DescribeGroupsRequest::default().with_groups(vec![group()]).into(),
        ApiKey::ListGroups => ListGroupsRequest::default().into(),
        ApiKey::ApiVersions => ApiVersionsRequest::default().into(),
        ApiKey::CreateTopics => {
            CreateTopicsRequest::default().with_topics(vec![CreatableTopic::default().with_name(topic())]).into()
        }
        ApiKey::DeleteTopics => DeleteTopicsRequest::default().with_topic_names(vec![TopicName::default()]).into(),
        ApiKey::InitProducerId => InitProducerIdRequest::default().with_transactional_id(None).into(),
        ApiKey::DescribeConfigs => {
            let resource = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(topic().0);
            DescribeConfigsRequest::default().with_resources(vec![resource]).into()
        }
        other => panic!("{other:?} is offered and has no request here"),
    }
}

#[tokio::test]
async fn every_request_that_is_offered_is_answered_in_each_of_its_versions() {
    let directory = tempfile::tempdir().unwrap();
    let kafka = Kafka::open(directory.path(), ([127, 0, 0, 1], 9092).into()).unwrap();
    let topic = topics::Description::new(Some(1), None).unwrap();
    lock(&kafka.0.topics).create("orders", &topic).unwrap();
    for (api, oldest, latest) in offered::OFFERED {
        for version in oldest..=latest {
            let request = request(api);
            let mut sent = BytesMut::new();
            request.encode(&mut sent, version).unwrap();
            let rest = layout::check(api, version, &sent).unwrap();
            assert!(rest.is_empty(), "{api:?} {version}: {} bytes are not laid out", rest.len());
            for end in 0..sent.len() {
                assert!(layout::check(api, version, &sent[..end]).is_err(), "{api:?} {version}: {end} bytes");
            }
            let answer = kafka.handle(request, version).await.unwrap();
            let encoded = answer.encode(&mut BytesMut::new(), version);
            assert!(encoded.is_ok(), "{api:?} {version}: {encoded:?}");
        }
    }
}
