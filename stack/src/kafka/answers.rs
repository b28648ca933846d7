//! The answers about the cluster itself: its node, its topics, its coordinator, numbers for producers.

use kafka_protocol::{
    ResponseError,
    messages::{
        BrokerId, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
        DescribeConfigsRequest, DescribeConfigsResponse, FindCoordinatorResponse, InitProducerIdRequest,
        InitProducerIdResponse, MetadataRequest, MetadataResponse, ProducerId, TopicName,
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

const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
/// The kind of a resource that has settings, and where such a setting comes from.
const TOPIC: i8 = 2;
const OF_THE_TOPIC: i8 = 1;

/// As errors are numbered; 0 without one.
pub(super) fn code(result: Result<(), ResponseError>) -> i16 {
    result.err().map_or(0, |error| error.code())
}

impl Kafka {
    fn host(&self) -> StrBytes {
        self.0.address.ip().to_string().into()
    }

    pub(super) fn metadata(&self, request: MetadataRequest) -> MetadataResponse {
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

    pub(super) fn coordinator(&self) -> FindCoordinatorResponse {
        FindCoordinatorResponse::default()
            .with_node_id(BrokerId(NODE))
            .with_host(self.host())
            .with_port(self.0.address.port().into())
    }

    pub(super) fn create_topics(&self, request: CreateTopicsRequest) -> CreateTopicsResponse {
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

    pub(super) fn delete_topics(&self, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
        let (mut topics, mut offsets) = (lock(&self.0.topics), lock(&self.0.offsets));
        let results = request.topic_names.into_iter().map(|name| {
            let deleted = topics.delete(&name);
            if deleted.is_ok() {
                offsets.retain(|key, _| key.topic != *name.0);
            }
            DeletableTopicResult::default().with_name(Some(name)).with_error_code(code(deleted))
        });
        let answer = DeleteTopicsResponse::default().with_responses(results.collect());
        self.0.changed.send_replace(());
        answer
    }

    /// The only setting is that of topics.
    pub(super) fn describe_configs(&self, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
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

    pub(super) fn init_producer(&self, request: InitProducerIdRequest) -> InitProducerIdResponse {
        let answer = InitProducerIdResponse::default().with_producer_id(ProducerId(-1)).with_producer_epoch(-1);
        if request.transactional_id.is_some() {
            return answer.with_error_code(ResponseError::TransactionalIdAuthorizationFailed.code());
        }
        match lock(&self.0.producers).next() {
            Ok(id) => answer.with_producer_id(ProducerId(id.into())).with_producer_epoch(0),
            Err(error) => answer.with_error_code(error.code()),
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
