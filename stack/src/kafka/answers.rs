//! The answers about the cluster itself: its node, its topics, its coordinator, numbers for producers.

use std::collections::BTreeSet;

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
use uuid::Uuid;

use super::{
    Kafka, NODE, lock,
    topics::{Settings, Topic, Topics},
};

/// The kind of a resource that has settings, and where such a setting comes from.
const TOPIC: i8 = 2;
const OF_THE_TOPIC: i8 = 1;
/// From this version of Metadata on, a topic may have no name.
const NAMELESS: i16 = 12;

/// As errors are numbered; 0 without one.
pub(super) fn code(result: Result<(), ResponseError>) -> i16 {
    result.err().map_or(0, |error| error.code())
}

impl Kafka {
    fn host(&self) -> StrBytes {
        self.0.address.ip().to_string().into()
    }

    pub(super) fn metadata(&self, request: MetadataRequest, version: i16) -> MetadataResponse {
        let topics = lock(&self.0.topics);
        let described = match request.topics {
            None => topics.all().map(|(name, topic)| self.describe(name, topic)).collect(),
            Some(wanted) => {
                // Each once, or a few bytes would ask for more than there is memory for.
                let wanted: BTreeSet<_> = wanted.into_iter().map(|wanted| (wanted.name, wanted.topic_id)).collect();
                wanted.iter().map(|(name, id)| self.look_up(&topics, name.as_ref(), *id, version)).collect()
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

    /// What is told of the topic that a client names, or of whose id it knows.
    fn look_up(&self, topics: &Topics, name: Option<&TopicName>, id: Uuid, version: i16) -> MetadataResponseTopic {
        let answer = MetadataResponseTopic::default();
        match name {
            Some(name) => match topics.get(name) {
                Some(topic) => self.describe(name, topic),
                None => {
                    answer.with_name(Some(name.clone())).with_error_code(ResponseError::UnknownTopicOrPartition.code())
                }
            },
            None => match topics.named(id) {
                Some((name, topic)) => self.describe(name, topic),
                None => answer
                    .with_name((version < NAMELESS).then(TopicName::default))
                    .with_topic_id(id)
                    .with_error_code(ResponseError::UnknownTopicId.code()),
            },
        }
    }

    fn describe(&self, name: &str, topic: &Topic) -> MetadataResponseTopic {
        let partitions = topic.partitions().map(|number| {
            let answer = MetadataResponsePartition::default()
                .with_partition_index(number)
                .with_leader_epoch(topic.description.epoch)
                .with_replica_nodes(vec![BrokerId(NODE)])
                .with_isr_nodes(vec![BrokerId(NODE)]);
            match self.check_leader(name, number) {
                Ok(()) => answer.with_leader_id(BrokerId(NODE)),
                Err(_) => answer.with_leader_id(BrokerId(-1)).with_error_code(ResponseError::LeaderNotAvailable.code()),
            }
        });
        MetadataResponseTopic::default()
            .with_name(Some(TopicName(name.to_owned().into())))
            .with_topic_id(topic.description.id)
            .with_partitions(partitions.collect())
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
            let created = self.create(&mut topics, &topic, request.validate_only);
            CreatableTopicResult::default().with_name(topic.name).with_error_code(code(created))
        });
        CreateTopicsResponse::default().with_topics(results.collect())
    }

    fn create(&self, topics: &mut Topics, topic: &CreatableTopic, only_checks: bool) -> Result<(), ResponseError> {
        self.check_creation()?;
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
        let mut settings = Settings::default();
        for config in &topic.configs {
            if let Some(value) = &config.value {
                settings.set(&config.name, value)?;
            }
        }
        let mut description = topics.check(&topic.name, partitions, settings)?;
        if !only_checks {
            description.epoch = lock(&self.0.epochs).next()?;
            topics.create(&topic.name, description)?;
        }
        Ok(())
    }

    pub(super) fn delete_topics(&self, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
        let mut topics = lock(&self.0.topics);
        let results = request.topic_names.into_iter().map(|name| {
            let deleted = topics.delete(&name);
            if deleted.is_ok() {
                // After a kill they are not missed: they are those of another epoch.
                lock(&self.0.offsets).retain(|key, _| key.topic != *name.0);
            }
            DeletableTopicResult::default().with_name(Some(name)).with_error_code(code(deleted))
        });
        DeleteTopicsResponse::default().with_responses(results.collect())
    }

    /// The only settings are those of topics.
    pub(super) fn describe_configs(&self, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
        let results = request.resources.into_iter().map(|resource| {
            let topic = lock(&self.0.topics).get(&resource.resource_name).cloned();
            let answer = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name);
            let Some(topic) = topic.filter(|_| resource.resource_type == TOPIC) else {
                return answer.with_error_code(ResponseError::UnknownTopicOrPartition.code());
            };
            let wanted = resource.configuration_keys;
            let is_wanted =
                |name: &str| wanted.as_ref().is_none_or(|names| names.iter().any(|wanted| **wanted == *name));
            let settings = topic.description.settings.all().into_iter().filter(|(name, _)| is_wanted(name));
            let settings = settings.map(|(name, value)| {
                let setting = DescribeConfigsResourceResult::default().with_name(name.into());
                setting.with_value(Some(value.into())).with_config_source(OF_THE_TOPIC)
            });
            answer.with_configs(settings.collect())
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
