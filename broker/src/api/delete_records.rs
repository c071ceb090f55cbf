//! DeleteRecords: moves the start of partitions forward.

use std::sync::Arc;

use protocol::Utf8Bytes;
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest};
use protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use types::{ErrorCode, Offset, PartitionId};

use super::RequestContext;
use crate::node::Node;
use crate::partitions::TopicRef;

/// Everything that consumers can see now.
const HIGH_WATERMARK: i64 = -1;

/// Answers for each partition on its own, when the new start is on disk.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _: &RequestContext,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let mut response = DeleteRecordsResponse::default();
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let (low_watermark, error_code) = match delete(node, &topic.name, &asked).await {
                Ok(log_start) => (log_start.0, 0),
                Err(error) => (-1, error.code()),
            };
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: asked.partition_index,
                low_watermark,
                error_code,
                ..Default::default()
            });
        }
        let name = topic.name;
        response.topics.push(DeleteRecordsTopicResult { name, partitions, ..Default::default() });
    }
    response
}

async fn delete(
    node: &Arc<Node>,
    topic: &Utf8Bytes,
    asked: &DeleteRecordsPartition,
) -> Result<Offset, ErrorCode> {
    let partition = node.led_partition(TopicRef::Name(topic), PartitionId(asked.partition_index))?;
    if partition.is_internal() {
        return Err(ErrorCode::InvalidTopicException);
    }
    let policy = partition.config().cleanup_policy;
    if policy.compact && !policy.delete {
        // The last value of each key is what such a topic promises to keep.
        return Err(ErrorCode::PolicyViolation);
    }
    let to = match asked.offset {
        HIGH_WATERMARK => None,
        offset => Some(Offset(offset)),
    };
    let now = node.wall.now();
    node.blocking.run(move || partition.delete_records(now, to)).await
}
