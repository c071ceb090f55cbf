//! AlterPartitionReassignments: partitions get other replicas, or keep those that they had (KIP-455).

use std::sync::Arc;

use metadata::{Command, Failure, Reassignment, Response};
use protocol::Utf8Bytes;
use protocol::messages::alter_partition_reassignments_request::AlterPartitionReassignmentsRequest;
use protocol::messages::alter_partition_reassignments_response::{
    AlterPartitionReassignmentsResponse, ReassignablePartitionResponse, ReassignableTopicResponse,
};
use types::{BrokerId, ErrorCode, PartitionId};

use super::RequestContext;
use crate::node::Node;

/// Begins, changes or takes back, each partition for itself.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let allows_factor_change = request.allow_replication_factor_change;
    let asked: Vec<(Utf8Bytes, Vec<i32>)> = request
        .topics
        .iter()
        .map(|topic| (topic.name.clone(), topic.partitions.iter().map(|p| p.partition_index).collect()))
        .collect();
    let reassignments = request.topics.into_iter().flat_map(|topic| {
        let name = topic.name.to_string();
        topic.partitions.into_iter().map(move |partition| Reassignment {
            topic: name.clone(),
            partition: PartitionId(partition.partition_index),
            replicas: partition.replicas.map(|ids| ids.into_iter().map(BrokerId).collect()),
        })
    });
    let command =
        Command::AlterReassignments { reassignments: reassignments.collect(), allows_factor_change };
    let response = AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: allows_factor_change,
        ..AlterPartitionReassignmentsResponse::default()
    };
    match node.metadata().submit(command).await {
        Ok(Response::AlteredReassignments(results)) => {
            AlterPartitionReassignmentsResponse { responses: answers(asked, results), ..response }
        }
        Ok(_) => unreachable!("the controller answers what it was asked"),
        Err(error) => AlterPartitionReassignmentsResponse {
            error_code: error.code().code(),
            error_message: Some(Utf8Bytes::from(error.to_string())),
            ..response
        },
    }
}

/// Results come in the order of what was asked.
fn answers(
    asked: Vec<(Utf8Bytes, Vec<i32>)>,
    results: Vec<Result<(), Failure>>,
) -> Vec<ReassignableTopicResponse> {
    let mut results = results.into_iter();
    let mut partition = |partition_index| {
        let (code, error_message) = match results.next() {
            Some(Ok(())) => (ErrorCode::None, None),
            Some(Err(failure)) => (failure.code, Some(Utf8Bytes::from(failure.message))),
            None => (ErrorCode::UnknownServerError, None),
        };
        ReassignablePartitionResponse {
            partition_index,
            error_code: code.code(),
            error_message,
            ..ReassignablePartitionResponse::default()
        }
    };
    let topics = asked.into_iter().map(|(name, indexes)| ReassignableTopicResponse {
        name,
        partitions: indexes.into_iter().map(&mut partition).collect(),
        ..ReassignableTopicResponse::default()
    });
    topics.collect()
}
