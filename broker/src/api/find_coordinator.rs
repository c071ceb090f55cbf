//! FindCoordinator: which broker has a group; one key at a time, or several from version 4 on.

use std::sync::Arc;

use protocol::Utf8Bytes;
use protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use protocol::messages::metadata_response::MetadataResponseBroker;
use types::ErrorCode;

use super::{RequestContext, create_topics, topics};
use crate::coordinators::{OFFSETS_TOPIC, offsets_topic, partition_of};
use crate::node::Node;

/// From this version on a request has several keys.
const FIRST_WITH_SEVERAL: i16 = 4;
const GROUP: i8 = 0;

/// Names the coordinator of each key.
pub(crate) async fn handle(
    node: &Arc<Node>,
    context: &RequestContext,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let several = context.api_version >= FIRST_WITH_SEVERAL;
    let keys = if several { request.coordinator_keys } else { vec![request.key] };
    if request.key_type == GROUP && node.metadata().image().topic_named(OFFSETS_TOPIC).is_none() {
        create_topics::create(node, vec![offsets_topic(node)]).await;
    }
    let mut found: Vec<_> = keys.into_iter().map(|key| find(node, context, request.key_type, key)).collect();
    if several {
        return FindCoordinatorResponse { coordinators: found, ..FindCoordinatorResponse::default() };
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } = found.remove(0);
    FindCoordinatorResponse {
        error_code,
        error_message,
        node_id,
        host,
        port,
        ..FindCoordinatorResponse::default()
    }
}

fn find(node: &Node, context: &RequestContext, key_type: i8, key: Utf8Bytes) -> Coordinator {
    match locate(node, context, key_type, &key) {
        Ok(broker) => Coordinator {
            key,
            node_id: broker.node_id,
            host: broker.host,
            port: broker.port,
            // Kafka has no null here, which old clients rely on.
            error_message: Some(Utf8Bytes::default()),
            ..Coordinator::default()
        },
        Err((code, message)) => Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code: code.code(),
            error_message: Some(message.into()),
            ..Coordinator::default()
        },
    }
}

fn locate(
    node: &Node,
    context: &RequestContext,
    key_type: i8,
    key: &str,
) -> Result<MetadataResponseBroker, (ErrorCode, &'static str)> {
    if key_type != GROUP {
        return Err((ErrorCode::InvalidRequest, "only coordinators of groups are served"));
    }
    if key.is_empty() {
        return Err((ErrorCode::InvalidGroupId, "the group has no name"));
    }
    let not_yet = (ErrorCode::CoordinatorNotAvailable, "the offsets topic is not there yet");
    let image = node.metadata().image();
    let partition = partition_of(&image, key).ok_or(not_yet)?;
    let topic = image.topic_named(OFFSETS_TOPIC).ok_or(not_yet)?;
    let index = usize::try_from(partition.0).unwrap_or(usize::MAX);
    let leader = topic.partitions.get(index).and_then(|partition| partition.leader).ok_or(not_yet)?;
    topics::brokers(&image, context).into_iter().find(|broker| broker.node_id == leader.0).ok_or(not_yet)
}
