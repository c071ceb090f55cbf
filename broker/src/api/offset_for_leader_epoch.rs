//! OffsetForLeaderEpoch: where an epoch ended, by which a reader finds out that what it read was cut off since (KIP-320).

use std::sync::Arc;

use protocol::Utf8Bytes;
use protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition,
};
use protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use types::{ErrorCode, LeaderEpoch, Offset, PartitionId};

use super::RequestContext;
use super::fetch::check_epoch;
use crate::node::Node;
use crate::partitions::TopicRef;

/// Answers for each partition on its own.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _: &RequestContext,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let mut response = OffsetForLeaderEpochResponse::default();
    for topic in request.topics {
        let partitions = topic.partitions.iter().map(|asked| answer(node, &topic.topic, asked)).collect();
        let topic = topic.topic;
        response.topics.push(OffsetForLeaderTopicResult { topic, partitions, ..Default::default() });
    }
    response
}

fn answer(node: &Node, topic: &Utf8Bytes, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let nothing =
        EpochEndOffset { partition: asked.partition, leader_epoch: -1, end_offset: -1, ..Default::default() };
    match end_offset(node, topic, asked) {
        Ok(Some((epoch, end))) => EpochEndOffset { leader_epoch: epoch.0, end_offset: end.0, ..nothing },
        Ok(None) => nothing,
        Err(error) => EpochEndOffset { error_code: error.code(), ..nothing },
    }
}

fn end_offset(
    node: &Node,
    topic: &Utf8Bytes,
    asked: &OffsetForLeaderPartition,
) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
    let partition = node.led_partition(TopicRef::Name(topic), PartitionId(asked.partition))?;
    check_epoch(LeaderEpoch(asked.current_leader_epoch), partition.leader_epoch())?;
    partition.epoch_end_offset(LeaderEpoch(asked.leader_epoch))
}
