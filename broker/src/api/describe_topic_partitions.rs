//! DescribeTopicPartitions: partitions page by page (KIP-966).

use std::collections::BTreeSet;
use std::sync::Arc;

use metadata::{Image, TopicImage};
use protocol::Utf8Bytes;
use protocol::messages::describe_topic_partitions_request::DescribeTopicPartitionsRequest;
use protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use types::{BrokerId, ErrorCode, validate_topic_name};

use super::RequestContext;
use super::topics::{self, NO_OPERATIONS};
use crate::node::Node;

/// Partitions from the cursor on, up to the limit, topics in order of their names.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let image = node.metadata().image();
    let limit = request.response_partition_limit.min(node.broker_config.max_request_partition_size_limit);
    let mut left = usize::try_from(limit).unwrap_or(0);
    let names: BTreeSet<Utf8Bytes> = match request.topics.is_empty() {
        true => image.topic_names().map(|(name, _)| Utf8Bytes::from(&**name)).collect(),
        false => request.topics.into_iter().map(|topic| topic.name).collect(),
    };
    let cursor = request.cursor;
    let from = |name: &Utf8Bytes| match &cursor {
        Some(cursor) if cursor.topic_name == *name => usize::try_from(cursor.partition_index).unwrap_or(0),
        _ => 0,
    };
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names.iter().filter(|name| cursor.as_ref().is_none_or(|cursor| cursor.topic_name <= **name)) {
        if left == 0 {
            response.next_cursor = Some(next(name, 0));
            break;
        }
        let Some(topic) = image.topic_named(name) else {
            response.topics.push(unknown(name));
            continue;
        };
        let (first, end) = (from(name), topic.partitions.len());
        let taken = left.min(end.saturating_sub(first));
        response.topics.push(page(&image, topic, first, taken));
        left -= taken;
        if first + taken < end {
            response.next_cursor = Some(next(name, first + taken));
            break;
        }
    }
    response
}

fn page(
    image: &Image,
    topic: &TopicImage,
    first: usize,
    count: usize,
) -> DescribeTopicPartitionsResponseTopic {
    let described = topics::described(image, topic);
    let numbers = |ids: &[BrokerId]| Some(ids.iter().map(|id| id.0).collect());
    let partitions = described.partitions.into_iter().zip(&topic.partitions).skip(first).take(count);
    let partitions = partitions.map(|(partition, state)| DescribeTopicPartitionsResponsePartition {
        error_code: partition.error_code,
        partition_index: partition.partition_index,
        leader_id: partition.leader_id,
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replica_nodes,
        isr_nodes: partition.isr_nodes,
        offline_replicas: partition.offline_replicas,
        eligible_leader_replicas: numbers(&state.elr),
        last_known_elr: numbers(&state.last_known_elr),
        ..DescribeTopicPartitionsResponsePartition::default()
    });
    DescribeTopicPartitionsResponseTopic {
        name: described.name,
        topic_id: described.topic_id,
        is_internal: described.is_internal,
        partitions: partitions.collect(),
        topic_authorized_operations: NO_OPERATIONS,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn unknown(name: &Utf8Bytes) -> DescribeTopicPartitionsResponseTopic {
    let error = match validate_topic_name(name) {
        Ok(()) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    };
    DescribeTopicPartitionsResponseTopic {
        error_code: error.code(),
        name: Some(name.clone()),
        topic_authorized_operations: NO_OPERATIONS,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn next(name: &Utf8Bytes, partition: usize) -> Cursor {
    let partition_index = i32::try_from(partition).unwrap_or(i32::MAX);
    Cursor { topic_name: name.clone(), partition_index, ..Cursor::default() }
}
