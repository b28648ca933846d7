//! Which requests are answered, and the answers about the cluster itself: its node, its topics, its coordinator.

use kafka_protocol::{
    ResponseError,
    messages::{
        ApiKey, ApiVersionsResponse, BrokerId, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
        DeleteTopicsResponse, DescribeConfigsRequest, DescribeConfigsResponse, FindCoordinatorResponse,
        InitProducerIdRequest, InitProducerIdResponse, MetadataRequest, MetadataResponse, ProducerId, RequestKind,
        ResponseKind, TopicName,
        api_versions_response::ApiVersion,
        create_topics_request::CreatableTopic,
        create_topics_response::CreatableTopicResult,
        delete_topics_response::DeletableTopicResult,
        describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult},
        metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
    },
    protocol::StrBytes,
};

use super::{
    Kafka, NODE, lock,
    topics::{Description, Topic, Topics},
};

/// The latest version of the request for the versions.
pub(super) const API_VERSIONS: i16 = 3;

const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
/// The kind of a resource that has settings, and where such a setting comes from.
const TOPIC: i8 = 2;
const OF_THE_TOPIC: i8 = 1;

/// The requests that are answered, with their oldest and latest versions.
pub(super) const OFFERED: [(ApiKey, i16, i16); 18] = [
    (ApiKey::Produce, 3, 9),
    (ApiKey::Fetch, 4, 12),
    (ApiKey::ListOffsets, 1, 7),
    (ApiKey::Metadata, 1, 12),
    (ApiKey::OffsetCommit, 2, 8),
    (ApiKey::OffsetFetch, 1, 7),
    (ApiKey::FindCoordinator, 0, 2),
    (ApiKey::JoinGroup, 0, 5),
    (ApiKey::Heartbeat, 0, 3),
    (ApiKey::LeaveGroup, 0, 1),
    (ApiKey::SyncGroup, 0, 3),
    (ApiKey::DescribeGroups, 0, 2),
    (ApiKey::ListGroups, 0, 2),
    (ApiKey::ApiVersions, 0, API_VERSIONS),
    (ApiKey::CreateTopics, 2, 4),
    (ApiKey::DeleteTopics, 1, 3),
    (ApiKey::InitProducerId, 0, 4),
    (ApiKey::DescribeConfigs, 1, 3),
];

pub(super) fn offers(api: ApiKey, version: i16) -> bool {
    OFFERED.iter().any(|(offered, oldest, latest)| *offered == api && (*oldest..=*latest).contains(&version))
}

/// As errors are numbered; 0 without one.
pub(super) fn code(result: Result<(), ResponseError>) -> i16 {
    result.err().map_or(0, |error| error.code())
}

fn api_versions() -> ApiVersionsResponse {
    let versions = OFFERED.map(|(api, oldest, latest)| {
        ApiVersion::default().with_api_key(api as i16).with_min_version(oldest).with_max_version(latest)
    });
    ApiVersionsResponse::default().with_api_keys(versions.into())
}

/// To who asks in a version that is not offered.
pub(super) fn unsupported_api_versions() -> ResponseKind {
    api_versions().with_error_code(ResponseError::UnsupportedVersion.code()).into()
}

impl Kafka {
    /// `None` for a request that wants no answer.
    #[allow(clippy::wildcard_enum_match_arm, reason = "what is not offered was refused before it was read")]
    pub(super) async fn handle(&self, request: RequestKind, version: i16) -> Option<ResponseKind> {
        let answer = match request {
            RequestKind::Produce(request) => return self.produce(request).map(Into::into),
            RequestKind::Fetch(request) => self.fetch(request).await.into(),
            RequestKind::ListOffsets(request) => self.list_offsets(request).into(),
            RequestKind::Metadata(request) => self.metadata(request).into(),
            RequestKind::OffsetCommit(request) => self.commit_offsets(request).into(),
            RequestKind::OffsetFetch(request) => self.committed_offsets(request).into(),
            RequestKind::FindCoordinator(_) => self.coordinator().into(),
            RequestKind::JoinGroup(request) => self.join_group(request, version).await.into(),
            RequestKind::SyncGroup(request) => self.sync_group(request).await.into(),
            RequestKind::Heartbeat(request) => self.heartbeat(request).into(),
            RequestKind::LeaveGroup(request) => self.leave_group(request).into(),
            RequestKind::DescribeGroups(request) => self.describe_groups(request).into(),
            RequestKind::ListGroups(_) => self.list_groups().into(),
            RequestKind::ApiVersions(_) => api_versions().into(),
            RequestKind::CreateTopics(request) => self.create_topics(request).into(),
            RequestKind::DeleteTopics(request) => self.delete_topics(request).into(),
            RequestKind::InitProducerId(request) => self.init_producer(request).into(),
            RequestKind::DescribeConfigs(request) => self.describe_configs(request).into(),
            _ => return None,
        };
        Some(answer)
    }

    fn host(&self) -> StrBytes {
        self.0.address.ip().to_string().into()
    }

    fn metadata(&self, request: MetadataRequest) -> MetadataResponse {
        let topics = lock(&self.0.topics);
        let described = match request.topics {
            None => topics.all().map(|(name, topic)| self.describe_topic(name.clone(), Some(topic))).collect(),
            Some(wanted) => {
                let names = wanted.into_iter().map(|topic| topic.name.unwrap_or_default().0.to_string());
                names.map(|name| self.describe_topic(name.clone(), topics.get(&name).as_deref())).collect()
            }
        };
        let node = MetadataResponseBroker::default()
            .with_node_id(BrokerId(NODE))
            .with_host(self.host())
            .with_port(self.0.address.port().into());
        MetadataResponse::default()
            .with_brokers(vec![node])
            .with_cluster_id(Some(self.0.cluster.clone().into()))
            .with_controller_id(BrokerId(NODE))
            .with_topics(described)
    }

    fn describe_topic(&self, name: String, topic: Option<&Topic>) -> MetadataResponseTopic {
        let answer = MetadataResponseTopic::default().with_name(Some(TopicName(name.clone().into())));
        let Some(topic) = topic else {
            return answer.with_error_code(ResponseError::UnknownTopicOrPartition.code());
        };
        let partitions = (0..topic.description.partitions.cast_signed()).map(|number| {
            let answer = MetadataResponsePartition::default()
                .with_partition_index(number)
                .with_leader_epoch(0)
                .with_replica_nodes(vec![BrokerId(NODE)])
                .with_isr_nodes(vec![BrokerId(NODE)]);
            match self.check_leader(&name, number) {
                Ok(()) => answer.with_leader_id(BrokerId(NODE)),
                Err(_) => answer.with_leader_id(BrokerId(-1)).with_error_code(ResponseError::LeaderNotAvailable.code()),
            }
        });
        answer.with_topic_id(topic.description.id).with_partitions(partitions.collect())
    }

    fn coordinator(&self) -> FindCoordinatorResponse {
        FindCoordinatorResponse::default()
            .with_node_id(BrokerId(NODE))
            .with_host(self.host())
            .with_port(self.0.address.port().into())
    }

    fn create_topics(&self, request: CreateTopicsRequest) -> CreateTopicsResponse {
        let mut topics = lock(&self.0.topics);
        let results = request.topics.into_iter().map(|topic| {
            let create = |()| create(&mut topics, &topic, request.validate_only);
            let created = self.check_creation().and_then(create);
            CreatableTopicResult::default().with_name(topic.name).with_error_code(code(created))
        });
        let answer = CreateTopicsResponse::default().with_topics(results.collect());
        self.0.changed.send_replace(());
        answer
    }

    fn delete_topics(&self, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
        let (mut topics, mut offsets) = (lock(&self.0.topics), lock(&self.0.offsets));
        let results = request.topic_names.into_iter().map(|name| {
            let forget = |()| offsets.forget(&name).map_err(|_| ResponseError::KafkaStorageError);
            let deleted = topics.delete(&name).and_then(forget);
            DeletableTopicResult::default().with_name(Some(name)).with_error_code(code(deleted))
        });
        let answer = DeleteTopicsResponse::default().with_responses(results.collect());
        self.0.changed.send_replace(());
        answer
    }

    /// The only setting is that of topics.
    fn describe_configs(&self, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
        let results = request.resources.into_iter().map(|resource| {
            let topic = lock(&self.0.topics).get(&resource.resource_name).filter(|_| resource.resource_type == TOPIC);
            let answer = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name);
            let Some(topic) = topic else {
                return answer.with_error_code(ResponseError::UnknownTopicOrPartition.code());
            };
            let setting = DescribeConfigsResourceResult::default()
                .with_name(MAX_MESSAGE_BYTES.into())
                .with_value(Some(topic.description.max_message_bytes.to_string().into()))
                .with_config_source(OF_THE_TOPIC);
            answer.with_configs(vec![setting])
        });
        DescribeConfigsResponse::default().with_results(results.collect())
    }

    fn init_producer(&self, request: InitProducerIdRequest) -> InitProducerIdResponse {
        let answer = InitProducerIdResponse::default().with_producer_id(ProducerId(-1)).with_producer_epoch(-1);
        if request.transactional_id.is_some() {
            return answer.with_error_code(ResponseError::TransactionalIdAuthorizationFailed.code());
        }
        match lock(&self.0.producers).next() {
            Ok(id) => answer.with_producer_id(ProducerId(id)).with_producer_epoch(0),
            Err(_) => answer.with_error_code(ResponseError::KafkaStorageError.code()),
        }
    }
}

fn create(topics: &mut Topics, topic: &CreatableTopic, only_checks: bool) -> Result<(), ResponseError> {
    if !topic.assignments.is_empty() {
        return Err(ResponseError::InvalidReplicaAssignment);
    }
    if ![-1, 1].contains(&topic.replication_factor) {
        return Err(ResponseError::InvalidReplicationFactor);
    }
    let partitions = match topic.num_partitions {
        -1 => None,
        count => Some(u32::try_from(count).map_err(|_| ResponseError::InvalidPartitions)?),
    };
    let setting = topic.configs.iter().find(|config| &*config.name == MAX_MESSAGE_BYTES);
    let bytes = setting.and_then(|config| config.value.as_ref()).map(|value| value.parse());
    let description = Description::new(partitions, bytes.transpose().map_err(|_| ResponseError::InvalidConfig)?)?;
    if only_checks { topics.check(&topic.name) } else { topics.create(&topic.name, &description) }
}
