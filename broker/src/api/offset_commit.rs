//! OffsetCommit: by name, or by id from version 10 on.

use std::sync::Arc;

use coordinator::group::{Command, CommitOffsets, OffsetToCommit, Response};
use metadata::Image;
use protocol::messages::offset_commit_request::{OffsetCommitRequest, OffsetCommitRequestTopic};
use protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use types::{ErrorCode, PartitionId, TopicId, TopicPartition};

use super::{RequestContext, groups};
use crate::node::Node;

/// From this version on topics come by id (KIP-848).
const FIRST_WITH_TOPIC_IDS: i16 = 10;
/// Before this version a group that is not there is a generation that is not there.
const FIRST_WITH_GROUP_NOT_FOUND: i16 = 9;

/// One topic of the request: who it is, and what became of each partition.
struct Topic {
    asked: OffsetCommitRequestTopic,
    name: Option<String>,
    results: Vec<(i32, ErrorCode)>,
}

/// Commits what refers to partitions that are there.
pub(crate) async fn handle(
    node: &Arc<Node>,
    context: &RequestContext,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let image = node.metadata().image();
    let by_id = context.api_version >= FIRST_WITH_TOPIC_IDS;
    let mut topics: Vec<_> = request.topics.into_iter().map(|topic| check(&image, by_id, topic)).collect();
    let known = topics.iter().filter_map(|topic| Some((topic.name.clone()?, topic.to_commit())));
    let group = request.group_id.to_string();
    let command = Command::Commit(CommitOffsets {
        group: group.clone(),
        member: request.member_id.to_string(),
        instance_id: request.group_instance_id.map(|id| id.to_string()),
        generation: request.generation_id_or_member_epoch,
        topics: known.collect(),
    });
    match groups::ask(node, &group, command).await {
        Ok(Response::Offsets(_, committed)) => take(&mut topics, committed),
        Ok(_) => unreachable!("the coordinator answers what it was asked"),
        Err(code) => topics.iter_mut().for_each(|topic| topic.fail(code)),
    }
    if context.api_version < FIRST_WITH_GROUP_NOT_FOUND {
        topics.iter_mut().for_each(Topic::say_it_the_old_way);
    }
    let topics = topics.into_iter().map(Topic::into_response).collect();
    OffsetCommitResponse { topics, ..OffsetCommitResponse::default() }
}

fn check(image: &Image, by_id: bool, asked: OffsetCommitRequestTopic) -> Topic {
    let (found, error) = match by_id {
        true => (image.topic(TopicId(asked.topic_id)), ErrorCode::UnknownTopicId),
        false => (image.topic_named(&asked.name), ErrorCode::UnknownTopicOrPartition),
    };
    let result = |index: i32| match found {
        None => (index, error),
        Some(topic) => {
            let id = TopicPartition { topic: topic.id, partition: PartitionId(index) };
            let is_there = image.partition(id).is_some();
            (index, if is_there { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition })
        }
    };
    let results = asked.partitions.iter().map(|partition| result(partition.partition_index)).collect();
    Topic { name: found.map(|topic| topic.name.to_string()), results, asked }
}

/// Takes the coordinator's results, which are for the known partitions in the same order.
fn take(topics: &mut [Topic], committed: Vec<(String, Vec<(i32, ErrorCode)>)>) {
    let mut committed = committed.into_iter();
    for topic in topics.iter_mut().filter(|topic| topic.name.is_some()) {
        let (_, results) = committed.next().expect("a result for every topic");
        let mut results = results.into_iter();
        for (_, code) in topic.results.iter_mut().filter(|(_, code)| code.is_none()) {
            *code = results.next().expect("a result for every partition").1;
        }
    }
}

impl Topic {
    fn to_commit(&self) -> Vec<OffsetToCommit> {
        let known = self.asked.partitions.iter().zip(&self.results).filter(|(_, (_, code))| code.is_none());
        let offsets = known.map(|(partition, _)| OffsetToCommit {
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_ref().map(|text| text.to_string()).unwrap_or_default(),
        });
        offsets.collect()
    }

    fn fail(&mut self, error: ErrorCode) {
        for (_, code) in self.results.iter_mut().filter(|(_, code)| code.is_none()) {
            *code = error;
        }
    }

    fn say_it_the_old_way(&mut self) {
        for (_, code) in self.results.iter_mut().filter(|(_, code)| *code == ErrorCode::GroupIdNotFound) {
            *code = ErrorCode::IllegalGeneration;
        }
    }

    fn into_response(self) -> OffsetCommitResponseTopic {
        let partitions =
            self.results.into_iter().map(|(partition_index, code)| OffsetCommitResponsePartition {
                partition_index,
                error_code: code.code(),
                ..OffsetCommitResponsePartition::default()
            });
        OffsetCommitResponseTopic {
            name: self.asked.name,
            topic_id: self.asked.topic_id,
            partitions: partitions.collect(),
            ..OffsetCommitResponseTopic::default()
        }
    }
}
