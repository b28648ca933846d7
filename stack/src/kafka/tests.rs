#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "there are many, and those that lack here fail the test")]

use kafka_protocol::{
    ResponseError,
    messages::{
        ApiKey, ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
        DescribeGroupsRequest, FetchRequest, FetchResponse, FindCoordinatorRequest, GroupId, HeartbeatRequest,
        InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, ListOffsetsRequest,
        MetadataRequest, OffsetCommitRequest, OffsetFetchRequest, OffsetForLeaderEpochRequest, ProduceRequest,
        RequestKind, SyncGroupRequest, TopicName,
        create_topics_request::CreatableTopic,
        describe_configs_request::DescribeConfigsResource,
        fetch_request::{FetchPartition, FetchTopic},
        join_group_request::JoinGroupRequestProtocol,
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        metadata_request::MetadataRequestTopic,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_fetch_request::OffsetFetchRequestTopic,
        offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
        produce_request::{PartitionProduceData, TopicProduceData},
    },
    protocol::StrBytes,
};

use bytes::BytesMut;
use futures::poll;

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
        ApiKey::OffsetForLeaderEpoch => {
            let partitions = vec![OffsetForLeaderPartition::default().with_leader_epoch(0)];
            let wanted = OffsetForLeaderTopic::default().with_topic(topic()).with_partitions(partitions);
            OffsetForLeaderEpochRequest::default().with_topics(vec![wanted]).into()
        }
        ApiKey::DescribeConfigs => {
            let resource = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(topic().0);
            DescribeConfigsRequest::default().with_resources(vec![resource]).into()
        }
        other => panic!("{other:?} is offered and has no request here"),
    }
}

fn open() -> (tempfile::TempDir, Kafka) {
    let directory = tempfile::tempdir().unwrap();
    let kafka = Kafka::open(directory.path(), ([127, 0, 0, 1], 9092).into()).unwrap();
    create(&kafka, "orders");
    (directory, kafka)
}

fn create(kafka: &Kafka, name: &str) {
    let topic = CreatableTopic::default().with_name(TopicName(name.to_owned().into()));
    let topic = topic.with_num_partitions(1).with_replication_factor(1);
    let answer = kafka.create_topics(CreateTopicsRequest::default().with_topics(vec![topic]));
    assert_eq!(answer.topics[0].error_code, 0);
}

fn delete(kafka: &Kafka) {
    kafka.delete_topics(DeleteTopicsRequest::default().with_topic_names(vec![topic()]));
}

/// Returns the code of an error.
fn produce(kafka: &Kafka, topic: &str, acks: i16) -> i16 {
    let data = PartitionProduceData::default().with_records(Some(log::samples::plain(&[1000])));
    let data =
        TopicProduceData::default().with_name(TopicName(topic.to_owned().into())).with_partition_data(vec![data]);
    let answer = kafka.produce(ProduceRequest::default().with_acks(acks).with_topic_data(vec![data])).unwrap();
    answer.responses[0].partition_responses[0].error_code
}

fn fetch(offset: i64, least: i32, epoch: i32) -> FetchRequest {
    let wanted = FetchPartition::default().with_fetch_offset(offset).with_current_leader_epoch(epoch);
    let wanted = wanted.with_partition_max_bytes(1000);
    let wanted = FetchTopic::default().with_topic(topic()).with_partitions(vec![wanted]);
    let request = FetchRequest::default().with_topics(vec![wanted]).with_max_bytes(1000);
    request.with_max_wait_ms(600_000).with_min_bytes(least)
}

/// Of the only partition that was asked for: the code of an error, and the bytes of its records.
fn fetched(answer: &FetchResponse) -> (i16, usize) {
    let partition = &answer.responses[0].partitions[0];
    (partition.error_code, partition.records.as_ref().unwrap().len())
}

#[tokio::test]
async fn every_request_that_is_offered_is_answered_in_each_of_its_versions() {
    let (_directory, kafka) = open();
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

/// A member that names itself would be taken for another each time, and both would get shares.
#[test]
fn no_version_is_offered_in_which_a_member_names_itself() {
    for (api, first) in [
        (ApiKey::JoinGroup, 5),
        (ApiKey::SyncGroup, 3),
        (ApiKey::Heartbeat, 3),
        (ApiKey::LeaveGroup, 3),
        (ApiKey::OffsetCommit, 7),
    ] {
        assert!(!offered::offers(api, first), "{api:?}");
    }
}

#[tokio::test]
async fn a_fetch_waits_for_as_much_as_it_wants_of_its_own_topics() {
    let (_directory, kafka) = open();
    create(&kafka, "others");
    let length = log::samples::plain(&[1000]).len();
    let mut waiting = Box::pin(kafka.fetch(fetch(0, i32::try_from(2 * length).unwrap(), -1)));
    assert!(poll!(&mut waiting).is_pending());
    for _ in 0..3 {
        produce(&kafka, "others", 1);
    }
    produce(&kafka, "orders", 1);
    assert!(poll!(&mut waiting).is_pending(), "it is not enough yet");
    produce(&kafka, "orders", 1);
    assert_eq!(fetched(&waiting.await), (0, 2 * length));

    let mut waiting = Box::pin(kafka.fetch(fetch(2, 1, -1)));
    assert!(poll!(&mut waiting).is_pending());
    delete(&kafka);
    assert_eq!(fetched(&waiting.await), (ResponseError::UnknownTopicOrPartition.code(), 0));
}

#[tokio::test]
async fn a_client_that_knows_another_topic_of_the_name_is_told_so() {
    let (_directory, kafka) = open();
    let epoch = || {
        let answer = kafka.metadata(MetadataRequest::default().with_topics(None), 12);
        answer.topics[0].partitions[0].leader_epoch
    };
    let old = epoch();
    produce(&kafka, "orders", 1);
    delete(&kafka);
    create(&kafka, "orders");
    produce(&kafka, "orders", 1);
    let new = epoch();
    assert!(old < new);
    for (epoch, code) in
        [(old, ResponseError::FencedLeaderEpoch.code()), (new, 0), (new + 1, ResponseError::UnknownLeaderEpoch.code())]
    {
        assert_eq!(fetched(&kafka.fetch(fetch(0, 1, epoch)).await).0, code, "{epoch}");
    }
    let end = |epoch: i32| {
        let wanted = OffsetForLeaderPartition::default().with_leader_epoch(epoch).with_current_leader_epoch(new);
        let wanted = OffsetForLeaderTopic::default().with_topic(topic()).with_partitions(vec![wanted]);
        let answer = kafka.ends_of_epochs(OffsetForLeaderEpochRequest::default().with_topics(vec![wanted]));
        answer.topics[0].partitions[0].end_offset
    };
    assert_eq!((end(old), end(new), end(new + 1)), (0, 1, -1));
    // Who has read the old one commits nothing for the new one.
    kafka.commit_offsets(commit(1, old, ""));
    assert_eq!(lock(&kafka.0.offsets).all().count(), 0);
    kafka.commit_offsets(commit(1, new, ""));
    assert_eq!(lock(&kafka.0.offsets).all().count(), 1);
}

fn commit(offset: i64, epoch: i32, metadata: &str) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let partition =
        partition.with_committed_leader_epoch(epoch).with_committed_metadata(Some(metadata.to_owned().into()));
    let commit = OffsetCommitRequestTopic::default().with_name(topic()).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![commit]);
    request.with_generation_id_or_member_epoch(-1)
}

#[tokio::test]
async fn what_no_client_may_ask_for_is_refused() {
    let (_directory, kafka) = open();
    assert_eq!(produce(&kafka, "orders", 7), ResponseError::InvalidRequiredAcks.code());
    assert_eq!(kafka.join_group(JoinGroupRequest::default(), 0).await.error_code, ResponseError::InvalidGroupId.code());
    let committed = |metadata: &str| kafka.commit_offsets(commit(1, -1, metadata)).topics[0].partitions[0].error_code;
    assert_eq!(committed(&"x".repeat(4097)), ResponseError::OffsetMetadataTooLarge.code());
    assert_eq!(committed(&"x".repeat(4096)), 0);
}

#[test]
fn a_creation_that_is_only_checked_is_refused_as_it_would_be() {
    let (_directory, kafka) = open();
    let create = |name: &str, partitions, only_checks| {
        let topic = CreatableTopic::default().with_name(TopicName(name.to_owned().into()));
        let topic = topic.with_num_partitions(partitions).with_replication_factor(1);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_validate_only(only_checks);
        kafka.create_topics(request).topics[0].error_code
    };
    assert_eq!([create("large", 1000, true), create("large", 1000, false)], [0; 2]);
    assert_eq!(create("large", 1000, true), ResponseError::TopicAlreadyExists.code());
    for number in 1..49 {
        assert_eq!(create(&format!("large-{number}"), 1000, false), 0);
    }
    // With that of `open` there is not room for as many more.
    for (partitions, code) in [(1000, ResponseError::InvalidPartitions.code()), (999, 0)] {
        assert_eq!([true, false].map(|only_checks| create("last", partitions, only_checks)), [code; 2]);
    }
}

#[tokio::test]
async fn a_topic_is_described_by_its_id_and_a_group_without_members_by_its_offsets() {
    let (_directory, kafka) = open();
    let id = lock(&kafka.0.topics).get("orders").unwrap().description.id;
    for (id, version, error, name) in [
        (id, 12, 0, Some(topic())),
        (Uuid::new_v4(), 12, ResponseError::UnknownTopicId.code(), None),
        (Uuid::new_v4(), 10, ResponseError::UnknownTopicId.code(), Some(TopicName::default())),
    ] {
        let wanted = MetadataRequestTopic::default().with_name(None).with_topic_id(id);
        let answer = kafka.metadata(MetadataRequest::default().with_topics(Some(vec![wanted])), version);
        let answer = &answer.topics[0];
        assert_eq!((answer.error_code, &answer.name, answer.topic_id), (error, &name, id));
    }
    let twice = vec![MetadataRequestTopic::default().with_name(Some(topic())); 2];
    assert_eq!(kafka.metadata(MetadataRequest::default().with_topics(Some(twice)), 12).topics.len(), 1);
    let state = || {
        let answer = kafka.describe_groups(DescribeGroupsRequest::default().with_groups(vec![group()]));
        (answer.groups[0].group_state.to_string(), kafka.list_groups().groups.len())
    };
    assert_eq!(state(), ("Dead".to_owned(), 0));
    kafka.commit_offsets(commit(1, -1, ""));
    assert_eq!(state(), ("Empty".to_owned(), 1));
}
