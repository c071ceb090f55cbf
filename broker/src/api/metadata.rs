//! Metadata: brokers, topics and their partitions; creates topics that are asked for by name, where that is allowed.

use std::sync::Arc;

use metadata::Image;
use protocol::Utf8Bytes;
use protocol::messages::metadata_response::MetadataResponseTopic;
use protocol::messages::{MetadataRequest, MetadataResponse};
use types::{ErrorCode, TopicId, Uuid, validate_topic_name};

use super::topics::{self, NO_OPERATIONS};
use super::{RequestContext, create_topics};
use crate::node::Node;

/// In version 0 an empty list asks for all topics; later that is the null list.
const FIRST_WITH_NULL_FOR_ALL: i16 = 1;

/// What the cluster is.
pub(crate) async fn handle(
    node: &Arc<Node>,
    context: &RequestContext,
    request: MetadataRequest,
) -> MetadataResponse {
    let asks_for_all = match &request.topics {
        None => true,
        Some(topics) => topics.is_empty() && context.api_version < FIRST_WITH_NULL_FOR_ALL,
    };
    // Who asks because a leader is gone is to hear of the next one.
    node.suspects.settled().await;
    let mut image = node.metadata().image();
    let topics = if asks_for_all {
        image
            .topic_names()
            .filter_map(|(_, id)| image.topic(id))
            .map(|topic| topics::described(&image, topic))
            .collect()
    } else {
        let asked = request.topics.unwrap_or_default();
        if request.allow_auto_topic_creation && node.broker_config.auto_create_topics_enable {
            // Whoever asks by id knows the topic from before: it is gone, and another one would not be it.
            let names =
                asked.iter().filter(|topic| topic.topic_id.is_zero()).filter_map(|topic| topic.name.as_ref());
            let missing: Vec<_> = names.filter(|name| is_missing(&image, name)).cloned().collect();
            if !missing.is_empty() {
                create_topics::create_by_default(node, &missing).await;
                image = node.metadata().image();
            }
        }
        asked.iter().map(|topic| find(&image, topic.name.as_ref(), topic.topic_id)).collect()
    };
    let controller = topics::controller(node, &image);
    let mut brokers = topics::brokers(&image, context);
    let lost = node.suspects.lately_lost(&image);
    for lost in lost.filter_map(|broker| topics::described_broker(broker, context)) {
        if brokers.iter().all(|listed| listed.node_id != lost.node_id) {
            brokers.push(lost);
        }
    }
    MetadataResponse {
        brokers,
        cluster_id: node.cluster_id().map(Utf8Bytes::from),
        controller_id: controller,
        topics,
        cluster_authorized_operations: NO_OPERATIONS,
        ..MetadataResponse::default()
    }
}

fn is_missing(image: &Image, name: &str) -> bool {
    validate_topic_name(name).is_ok() && image.topic_named(name).is_none()
}

fn find(image: &Image, name: Option<&Utf8Bytes>, id: Uuid) -> MetadataResponseTopic {
    let (found, error) = match name {
        _ if !id.is_zero() => (image.topic(TopicId(id)), ErrorCode::UnknownTopicId),
        Some(name) if validate_topic_name(name).is_err() => (None, ErrorCode::InvalidTopicException),
        Some(name) => (image.topic_named(name), ErrorCode::UnknownTopicOrPartition),
        None => (None, ErrorCode::UnknownTopicOrPartition),
    };
    match found {
        Some(topic) => topics::described(image, topic),
        None => MetadataResponseTopic {
            error_code: error.code(),
            // A name is not null in old versions; whoever asks by id gets none.
            name: Some(name.cloned().unwrap_or_default()).filter(|_| id.is_zero()),
            topic_id: id,
            topic_authorized_operations: NO_OPERATIONS,
            ..MetadataResponseTopic::default()
        },
    }
}
