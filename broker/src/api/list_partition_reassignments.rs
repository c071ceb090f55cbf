//! ListPartitionReassignments: which partitions are being given other replicas (KIP-455).

use std::sync::Arc;

use metadata::PartitionImage;
use protocol::Utf8Bytes;
use protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use protocol::messages::list_partition_reassignments_response::{
    ListPartitionReassignmentsResponse, OngoingPartitionReassignment, OngoingTopicReassignment,
};
use types::BrokerId;

use super::RequestContext;
use crate::node::Node;

/// Those that were asked for, or all. What does not exist is not being reassigned.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    let image = node.metadata().image();
    let is_asked = |name: &str, index: i32| {
        request.topics.as_ref().is_none_or(|topics| {
            topics.iter().any(|topic| *topic.name == *name && topic.partition_indexes.contains(&index))
        })
    };
    let mut topics: Vec<OngoingTopicReassignment> = Vec::new();
    for (topic, index, state) in
        image.reassigning().filter(|(topic, index, _)| is_asked(&topic.name, index.0))
    {
        let partition = ongoing(index.0, state);
        match topics.last_mut().filter(|last| *last.name == *topic.name) {
            Some(last) => last.partitions.push(partition),
            None => topics.push(OngoingTopicReassignment {
                name: Utf8Bytes::from(&*topic.name),
                partitions: vec![partition],
                ..OngoingTopicReassignment::default()
            }),
        }
    }
    ListPartitionReassignmentsResponse { topics, ..ListPartitionReassignmentsResponse::default() }
}

fn ongoing(partition_index: i32, state: &PartitionImage) -> OngoingPartitionReassignment {
    let numbers = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect();
    OngoingPartitionReassignment {
        partition_index,
        replicas: numbers(&state.replicas),
        adding_replicas: numbers(&state.adding),
        removing_replicas: numbers(&state.removing),
        ..OngoingPartitionReassignment::default()
    }
}
