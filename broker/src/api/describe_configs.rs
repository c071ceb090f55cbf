//! DescribeConfigs: every key with its value, where the value comes from, and what it would be otherwise.

use std::sync::Arc;

use config::{BrokerLayers, Described, describe_broker, describe_topic};
use metadata::{ConfigResource, ConfigTarget, Image};
use protocol::Utf8Bytes;
use protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use types::{BrokerId, ErrorCode};

use super::RequestContext;
use super::config_resource::{Refusal, target, wire};
use crate::node::Node;

/// Describes each resource, or says why not.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let image = node.metadata().image();
    let (synonyms, documentation) = (request.include_synonyms, request.include_documentation);
    let describe = |resource: DescribeConfigsResource| {
        let described = describe(node, &image, &resource);
        let (configs, error) = match described {
            Ok(described) => (described, None),
            Err(refusal) => (Vec::new(), Some(refusal)),
        };
        let is_asked = |one: &Described| match &resource.configuration_keys {
            Some(keys) => keys.iter().any(|key| **key == *one.definition.name),
            None => true,
        };
        let configs = configs.into_iter().filter(is_asked).map(|one| to_wire(one, synonyms, documentation));
        let (error_code, error_message) = wire(error);
        DescribeConfigsResult {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            configs: configs.collect(),
            resource_name: resource.resource_name,
            ..DescribeConfigsResult::default()
        }
    };
    let results = request.resources.into_iter().map(describe).collect();
    DescribeConfigsResponse { results, ..DescribeConfigsResponse::default() }
}

fn describe(
    node: &Node,
    image: &Image,
    resource: &DescribeConfigsResource,
) -> Result<Vec<Described>, Refusal> {
    let broker = BrokerId(node.config.node_id);
    let layers = BrokerLayers {
        broker: image.config(&ConfigResource::Broker(broker)),
        cluster: image.config(&ConfigResource::Cluster),
        fixed: &node.static_config,
    };
    match target(node, resource.resource_type, &resource.resource_name)? {
        ConfigTarget::Topic(name) => {
            let topic = image
                .topic_named(&name)
                .ok_or_else(|| (ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name:?}")))?;
            Ok(describe_topic(image.config(&ConfigResource::Topic(topic.id)), &layers))
        }
        ConfigTarget::Broker(_) => Ok(describe_broker(&layers)),
        // The default of all brokers shows what was set for it, and nothing else.
        ConfigTarget::Cluster => {
            let set = BrokerLayers { cluster: layers.cluster, ..BrokerLayers::none() };
            let mut described = describe_broker(&set);
            described.retain(|one| layers.cluster.contains_key(one.definition.name));
            Ok(described)
        }
    }
}

fn to_wire(described: Described, synonyms: bool, documentation: bool) -> DescribeConfigsResourceResult {
    let synonym = |synonym: config::SynonymValue| DescribeConfigsSynonym {
        name: synonym.name.into(),
        value: Some(Utf8Bytes::from(synonym.value)),
        source: synonym.source.code(),
        ..DescribeConfigsSynonym::default()
    };
    let definition = described.definition;
    DescribeConfigsResourceResult {
        name: definition.name.into(),
        value: described.value.map(Utf8Bytes::from),
        read_only: described.is_read_only,
        config_source: described.source.code(),
        synonyms: described.synonyms.into_iter().filter(|_| synonyms).map(synonym).collect(),
        config_type: definition.kind.code(),
        documentation: documentation.then(|| definition.doc.into()),
        ..DescribeConfigsResourceResult::default()
    }
}
