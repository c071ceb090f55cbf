//! OffsetDelete: forgets how far a group has come in topics that it no longer reads (KIP-496).

use std::sync::Arc;

use coordinator::group::{Command, Response};
use protocol::messages::offset_delete_request::OffsetDeleteRequest;
use protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::{RequestContext, groups};
use crate::node::Node;

/// Forgets each partition, or says why not.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let group = request.group_id.to_string();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| partition.partition_index);
        (topic.name.to_string(), partitions.collect())
    });
    let command = Command::DeleteOffsets { group: group.clone(), topics: topics.collect() };
    let (whole, results) = match groups::ask(node, &group, command).await {
        Ok(Response::Offsets(whole, results)) => (whole, results),
        Ok(_) => unreachable!("the coordinator answers what it was asked"),
        Err(code) => (code, Vec::new()),
    };
    let topics = results.into_iter().map(|(name, partitions)| OffsetDeleteResponseTopic {
        name: name.into(),
        partitions: partitions
            .into_iter()
            .map(|(partition_index, code)| OffsetDeleteResponsePartition {
                partition_index,
                error_code: code.code(),
            })
            .collect(),
    });
    OffsetDeleteResponse { throttle_time_ms: 0, error_code: whole.code(), topics: topics.collect() }
}
