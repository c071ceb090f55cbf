//! CreatePartitions: topics get more of them.

use std::sync::Arc;

use metadata::{Command, NewPartitions, Response};
use protocol::Utf8Bytes;
use protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use protocol::messages::create_partitions_response::{CreatePartitionsResponse, CreatePartitionsTopicResult};
use types::BrokerId;

use super::RequestContext;
use crate::node::Node;

/// Grows each topic, or says why not.
pub(crate) async fn handle(
    node: &Arc<Node>,
    _context: &RequestContext,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let names: Vec<_> = request.topics.iter().map(|topic| topic.name.clone()).collect();
    let topics = request.topics.into_iter().map(new_partitions).collect();
    let command = Command::CreatePartitions { topics, validate_only: request.validate_only };
    let outcomes: Vec<_> = match node.metadata().submit(command).await {
        Ok(Response::CreatedPartitions(created)) => created
            .into_iter()
            .map(|result| result.map_err(|failure| (failure.code, failure.message)))
            .collect(),
        Ok(_) => unreachable!("the controller answers what it was asked"),
        Err(error) => names.iter().map(|_| Err((error.code(), error.to_string()))).collect(),
    };
    let results = names.into_iter().zip(outcomes).map(|(name, outcome)| match outcome {
        Ok(()) => CreatePartitionsTopicResult { name, ..CreatePartitionsTopicResult::default() },
        Err((code, message)) => CreatePartitionsTopicResult {
            name,
            error_code: code.code(),
            error_message: Some(Utf8Bytes::from(message)),
            ..CreatePartitionsTopicResult::default()
        },
    });
    CreatePartitionsResponse { results: results.collect(), ..CreatePartitionsResponse::default() }
}

fn new_partitions(topic: CreatePartitionsTopic) -> NewPartitions {
    let assignments = topic.assignments.map(|assignments| {
        assignments.into_iter().map(|one| one.broker_ids.into_iter().map(BrokerId).collect()).collect()
    });
    NewPartitions { topic: topic.name.to_string(), count: topic.count, assignments }
}
