//! CreateTopics, and topics that come into being because somebody asked for them.

use std::sync::Arc;

use config::{BrokerLayers, describe_topic};
use metadata::{Command, ConfigResource, CreatedTopic, Failure, NewTopic, Response};
use protocol::Utf8Bytes;
use protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};
use types::{BrokerId, ErrorCode, PartitionId, TopicId, Uuid};

use super::RequestContext;
use crate::node::Node;
use crate::partitions::is_internal;
use crate::seams::random_uuid;

/// Creates each topic, or says why not.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let names: Vec<_> = request.topics.iter().map(|topic| topic.name.clone()).collect();
    let is_twice = |name: &Utf8Bytes| names.iter().filter(|other| *other == name).count() > 1;
    let (twice, once): (Vec<_>, Vec<_>) = request.topics.into_iter().partition(|topic| is_twice(&topic.name));
    let mut results: Vec<_> = twice.into_iter().map(|topic| duplicate(topic.name)).collect();
    results.dedup_by(|a, b| a.name == b.name);
    let once_names: Vec<_> = once.iter().map(|topic| topic.name.clone()).collect();
    let command = Command::CreateTopics {
        topics: once.into_iter().map(new_topic).collect(),
        validate_only: request.validate_only,
    };
    match node.metadata().submit(command).await {
        Ok(Response::CreatedTopics(created)) => {
            results.extend(
                once_names.into_iter().zip(created).map(|(name, created)| result(node, name, created)),
            );
        }
        Ok(_) => unreachable!("the controller answers what it was asked"),
        Err(error) => {
            let failure = |name| refused(name, error.code(), Some(error.to_string()));
            results.extend(once_names.into_iter().map(failure));
        }
    }
    CreateTopicsResponse { topics: results, ..CreateTopicsResponse::default() }
}

/// Creates topics as the broker's defaults have them; whether that worked shows in the metadata afterwards.
pub(super) async fn create_by_default(node: &Node, names: &[Utf8Bytes]) {
    let topics = names.iter().filter(|name| !is_internal(name)).map(|name| NewTopic {
        name: name.to_string(),
        id: TopicId(random_uuid()),
        partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    });
    create(node, topics.collect()).await;
}

/// Creates topics and logs what did not work.
pub(crate) async fn create(node: &Node, topics: Vec<NewTopic>) {
    let command = Command::CreateTopics { topics, validate_only: false };
    match node.metadata().submit(command).await {
        Ok(Response::CreatedTopics(results)) => {
            for failure in results.into_iter().filter_map(Result::err) {
                // Two clients that ask at once are one topic.
                if failure.code != ErrorCode::TopicAlreadyExists {
                    tracing::warn!(error = failure.message, "cannot create a topic");
                }
            }
        }
        Ok(_) => unreachable!("the controller answers what it was asked"),
        Err(error) => tracing::warn!(%error, "cannot create a topic"),
    }
}

fn new_topic(topic: CreatableTopic) -> NewTopic {
    let assignment = |assignment: protocol::messages::create_topics_request::CreatableReplicaAssignment| {
        let brokers = assignment.broker_ids.into_iter().map(BrokerId).collect();
        (PartitionId(assignment.partition_index), brokers)
    };
    let config = |config: protocol::messages::create_topics_request::CreatableTopicConfig| {
        (config.name.to_string(), config.value.map(|value| value.to_string()))
    };
    NewTopic {
        name: topic.name.to_string(),
        id: TopicId(random_uuid()),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic.assignments.into_iter().map(assignment).collect(),
        configs: topic.configs.into_iter().map(config).collect(),
    }
}

fn result(node: &Node, name: Utf8Bytes, created: Result<CreatedTopic, Failure>) -> CreatableTopicResult {
    let created = match created {
        Ok(created) => created,
        Err(failure) => return refused(name, failure.code, Some(failure.message)),
    };
    let image = node.metadata().image();
    let layers = BrokerLayers {
        broker: image.config(&ConfigResource::Broker(BrokerId(node.config.node_id))),
        cluster: image.config(&ConfigResource::Cluster),
        fixed: &node.static_config,
    };
    let configs =
        describe_topic(&created.configs, &layers).into_iter().map(|described| CreatableTopicConfigs {
            name: described.definition.name.into(),
            value: described.value.map(Utf8Bytes::from),
            read_only: described.is_read_only,
            config_source: described.source.code(),
            ..Default::default()
        });
    CreatableTopicResult {
        name,
        topic_id: created.id.0,
        num_partitions: created.partitions,
        replication_factor: created.replication_factor,
        configs: Some(configs.collect()),
        ..CreatableTopicResult::default()
    }
}

fn duplicate(name: Utf8Bytes) -> CreatableTopicResult {
    refused(name, ErrorCode::InvalidRequest, Some("the request names the topic twice".to_owned()))
}

fn refused(name: Utf8Bytes, code: ErrorCode, message: Option<String>) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        topic_id: Uuid::ZERO,
        error_code: code.code(),
        error_message: message.map(Utf8Bytes::from),
        num_partitions: -1,
        replication_factor: -1,
        configs: None,
        ..CreatableTopicResult::default()
    }
}
