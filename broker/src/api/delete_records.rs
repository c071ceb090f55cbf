//! DeleteRecords: moves the start of partitions forward.

use std::sync::Arc;
use std::time::Duration;

use protocol::Utf8Bytes;
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest};
use protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use tokio::time::Instant;
use types::{ErrorCode, Offset, PartitionId};

use super::RequestContext;
use crate::node::Node;
use crate::partitions::{Partition, TopicRef};

/// Everything that consumers can see now.
const HIGH_WATERMARK: i64 = -1;

/// How often it is looked whether the followers have deleted too.
const LOOK: Duration = Duration::from_millis(20);

/// Answers for each partition on its own, when the new start is on disk and every replica that may lead next has it: before
/// that, a change of leader would bring the records back.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _: &RequestContext,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let patience = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let deadline = Instant::now() + patience;
    let mut deleted = Vec::new();
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let result = delete(node, &topic.name, &asked).await;
            partitions.push((asked.partition_index, result));
        }
        deleted.push((topic.name, partitions));
    }
    let mut response = DeleteRecordsResponse::default();
    for (name, deleted) in deleted {
        let mut partitions = Vec::with_capacity(deleted.len());
        for (partition_index, deleted) in deleted {
            let result = match deleted {
                Ok((partition, start)) => deleted_everywhere(&partition, start, deadline).await,
                Err(error) => Err(error),
            };
            let (low_watermark, error_code) = match result {
                Ok(low_watermark) => (low_watermark.0, 0),
                Err(error) => (-1, error.code()),
            };
            partitions.push(DeleteRecordsPartitionResult {
                partition_index,
                low_watermark,
                error_code,
                ..Default::default()
            });
        }
        response.topics.push(DeleteRecordsTopicResult { name, partitions, ..Default::default() });
    }
    response
}

async fn deleted_everywhere(
    partition: &Partition,
    start: Offset,
    deadline: Instant,
) -> Result<Offset, ErrorCode> {
    loop {
        if let Some(low_watermark) = partition.low_watermark()?.filter(|low| *low >= start) {
            return Ok(low_watermark);
        }
        if Instant::now() >= deadline {
            return Err(ErrorCode::RequestTimedOut);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn delete(
    node: &Arc<Node>,
    topic: &Utf8Bytes,
    asked: &DeleteRecordsPartition,
) -> Result<(Arc<Partition>, Offset), ErrorCode> {
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
    let (now, deleting) = (node.wall.now(), Arc::clone(&partition));
    let log_start = node.blocking.run(move || deleting.delete_records(now, to)).await?;
    // The log may begin later already: then nothing is to be waited for that was not asked for.
    Ok((partition, to.unwrap_or(log_start)))
}
