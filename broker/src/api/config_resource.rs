//! What the three APIs for configurations share: whose configuration is meant.

use metadata::ConfigTarget;
use protocol::Utf8Bytes;
use types::{BrokerId, ErrorCode, validate_topic_name};

use crate::node::Node;

/// `ConfigResource.Type` of Kafka.
pub(super) const TOPIC: i8 = 2;
/// `ConfigResource.Type` of Kafka.
pub(super) const BROKER: i8 = 4;

/// An error and what to do about it.
pub(super) type Refusal = (ErrorCode, String);

/// The code and message of an answer.
pub(super) fn wire(refusal: Option<Refusal>) -> (i16, Option<Utf8Bytes>) {
    match refusal {
        None => (ErrorCode::None.code(), None),
        Some((code, message)) => (code.code(), Some(Utf8Bytes::from(message))),
    }
}

/// A resource whose configuration can be changed.
pub(super) fn target(node: &Node, kind: i8, name: &Utf8Bytes) -> Result<ConfigTarget, Refusal> {
    let invalid = |message: String| Err((ErrorCode::InvalidRequest, message));
    match kind {
        TOPIC => match validate_topic_name(name) {
            Ok(()) => Ok(ConfigTarget::Topic(name.to_string())),
            Err(error) => Err((ErrorCode::InvalidTopicException, error.to_string())),
        },
        BROKER if name.is_empty() => Ok(ConfigTarget::Cluster),
        BROKER => match name.parse::<i32>() {
            Ok(id) if id == node.config.node_id => Ok(ConfigTarget::Broker(BrokerId(id))),
            Ok(id) => invalid(format!("broker {id} is not this broker, {}: ask it", node.config.node_id)),
            Err(_) => invalid(format!("{:?} is no broker id", name.as_str())),
        },
        other => invalid(format!("configurations of resource type {other} are not served")),
    }
}
