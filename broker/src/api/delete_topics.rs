//! DeleteTopics, by name or by id.

use std::sync::Arc;

use metadata::{Command, Response, TopicRef};
use protocol::Utf8Bytes;
use protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use protocol::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use types::{ErrorCode, TopicId, Uuid};

use super::RequestContext;
use crate::node::Node;

/// From this version on topics may come by id, and errors with words.
const FIRST_WITH_IDS: i16 = 6;

/// Deletes each topic, or says why not.
pub(crate) async fn handle(
    node: &Arc<Node>,
    context: &RequestContext,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let asked: Vec<_> = match context.api_version >= FIRST_WITH_IDS {
        true => request.topics,
        false => request.topic_names.into_iter().map(by_name).collect(),
    };
    let responses = match node.broker_config.delete_topic_enable {
        true => delete(node, asked).await,
        false => {
            let message = "delete.topic.enable is false";
            asked.into_iter().map(|topic| refused(topic, ErrorCode::TopicDeletionDisabled, message)).collect()
        }
    };
    DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() }
}

async fn delete(node: &Node, asked: Vec<DeleteTopicState>) -> Vec<DeletableTopicResult> {
    let topics = asked.iter().map(|topic| match &topic.name {
        Some(name) => TopicRef::Name(name.to_string()),
        None => TopicRef::Id(TopicId(topic.topic_id)),
    });
    let command = Command::DeleteTopics { topics: topics.collect() };
    let deleted = match node.metadata().submit(command).await {
        Ok(Response::DeletedTopics(deleted)) => deleted,
        Ok(_) => unreachable!("the controller answers what it was asked"),
        Err(error) => {
            let message = error.to_string();
            return asked.into_iter().map(|topic| refused(topic, error.code(), &message)).collect();
        }
    };
    let results = asked.into_iter().zip(deleted).map(|(asked, deleted)| match deleted {
        Ok((id, name)) => DeletableTopicResult {
            name: Some(name.into()),
            topic_id: id.0,
            ..DeletableTopicResult::default()
        },
        Err(failure) => refused(asked, failure.code, &failure.message),
    });
    results.collect()
}

fn by_name(name: Utf8Bytes) -> DeleteTopicState {
    DeleteTopicState { name: Some(name), topic_id: Uuid::ZERO, ..DeleteTopicState::default() }
}

fn refused(topic: DeleteTopicState, code: ErrorCode, message: &str) -> DeletableTopicResult {
    DeletableTopicResult {
        name: topic.name,
        topic_id: topic.topic_id,
        error_code: code.code(),
        error_message: Some(message.into()),
        ..DeletableTopicResult::default()
    }
}
