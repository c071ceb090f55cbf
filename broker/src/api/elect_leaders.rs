//! ElectLeaders: leaders go back to where they were placed, or somebody leads at the price of records (KIP-460).

use std::sync::Arc;

use metadata::{Command, ElectedLeader, ElectionType, Response};
use protocol::Utf8Bytes;
use protocol::messages::elect_leaders_request::ElectLeadersRequest;
use protocol::messages::elect_leaders_response::{
    ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};
use types::{ErrorCode, PartitionId};

use super::RequestContext;
use crate::node::Node;

/// `election_type`: the first replica, or whoever lives.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// Elects, each partition for itself.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    let partitions = request.topic_partitions.map(|topics| {
        let named = topics.into_iter().flat_map(|topic| {
            let name = topic.topic.to_string();
            topic.partitions.into_iter().map(move |index| (name.clone(), PartitionId(index)))
        });
        named.collect::<Vec<_>>()
    });
    let election = match request.election_type {
        PREFERRED => ElectionType::Preferred,
        UNCLEAN => ElectionType::Unclean,
        _ => return failed(partitions, ErrorCode::InvalidRequest, "there is no such type of election"),
    };
    let command = Command::ElectLeaders { election, partitions: partitions.clone() };
    match node.metadata().submit(command).await {
        Ok(Response::ElectedLeaders(elected)) => answer(ErrorCode::None, elected),
        Ok(_) => unreachable!("the controller answers what it was asked"),
        Err(error) => failed(partitions, error.code(), &error.to_string()),
    }
}

/// Old versions have no place for an error of the whole: each partition has it.
fn failed(
    partitions: Option<Vec<(String, PartitionId)>>,
    code: ErrorCode,
    message: &str,
) -> ElectLeadersResponse {
    let refused = |(topic, partition)| ElectedLeader {
        topic,
        partition,
        result: Err(metadata::Failure { code, message: message.to_owned() }),
    };
    answer(code, partitions.unwrap_or_default().into_iter().map(refused).collect())
}

fn answer(code: ErrorCode, elected: Vec<ElectedLeader>) -> ElectLeadersResponse {
    let mut topics: Vec<ReplicaElectionResult> = Vec::new();
    for ElectedLeader { topic, partition, result } in elected {
        let (error_code, error_message) = match result {
            Ok(()) => (ErrorCode::None, None),
            Err(failure) => (failure.code, Some(Utf8Bytes::from(failure.message))),
        };
        let result = PartitionResult {
            partition_id: partition.0,
            error_code: error_code.code(),
            error_message,
            ..PartitionResult::default()
        };
        match topics.last_mut().filter(|last| *last.topic == *topic) {
            Some(last) => last.partition_result.push(result),
            None => topics.push(ReplicaElectionResult {
                topic: Utf8Bytes::from(topic),
                partition_result: vec![result],
                ..ReplicaElectionResult::default()
            }),
        }
    }
    ElectLeadersResponse {
        error_code: code.code(),
        replica_election_results: topics,
        ..ElectLeadersResponse::default()
    }
}
