//! OffsetFetch: one group, or several from version 8 on; by name, or by id from version 10 on.

use std::sync::Arc;

use coordinator::group::{Command, CommittedOffset, PartitionOffsets, Response};
use metadata::Image;
use protocol::Utf8Bytes;
use protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use types::{ErrorCode, TopicId, Uuid};

use super::{RequestContext, groups};
use crate::node::Node;

/// From this version on a request may ask for several groups (KIP-709).
const FIRST_WITH_SEVERAL: i16 = 8;
/// From this version on topics come by id (KIP-848).
const FIRST_WITH_TOPIC_IDS: i16 = 10;
const NO_OFFSET: i64 = -1;

/// How far each group has come.
pub(crate) async fn handle(
    node: &Arc<Node>,
    context: &RequestContext,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    let image = node.metadata().image();
    let by_id = context.api_version >= FIRST_WITH_TOPIC_IDS;
    if context.api_version < FIRST_WITH_SEVERAL {
        let topics = request.topics.map(|topics| {
            let topic = |topic: protocol::messages::offset_fetch_request::OffsetFetchRequestTopic| {
                OffsetFetchRequestTopics {
                    name: topic.name,
                    partition_indexes: topic.partition_indexes,
                    ..OffsetFetchRequestTopics::default()
                }
            };
            topics.into_iter().map(topic).collect()
        });
        let group = OffsetFetchRequestGroup {
            group_id: request.group_id,
            topics,
            ..OffsetFetchRequestGroup::default()
        };
        let fetched = fetch(node, &image, by_id, group).await;
        return OffsetFetchResponse {
            error_code: fetched.error_code,
            topics: fetched.topics.into_iter().map(old_topic).collect(),
            ..OffsetFetchResponse::default()
        };
    }
    let mut response = OffsetFetchResponse::default();
    for group in request.groups {
        response.groups.push(fetch(node, &image, by_id, group).await);
    }
    response
}

async fn fetch(
    node: &Node,
    image: &Image,
    by_id: bool,
    group: OffsetFetchRequestGroup,
) -> OffsetFetchResponseGroup {
    let asks_for_all = group.topics.is_none();
    let asked = group.topics.unwrap_or_default();
    let named: Vec<_> = asked.iter().map(|topic| name_of(image, by_id, topic)).collect();
    let topics = asked.iter().zip(&named).filter_map(|(topic, name)| {
        name.as_ref().map(|name| (name.clone(), topic.partition_indexes.clone()))
    });
    let topics = (!asks_for_all).then(|| topics.collect());
    let command = Command::FetchOffsets { group: group.group_id.to_string(), topics };
    let fetched = match groups::ask(node, &group.group_id, command).await {
        Ok(Response::Fetched(fetched)) => fetched,
        Ok(_) => unreachable!("the coordinator answers what it was asked"),
        Err(code) => {
            return OffsetFetchResponseGroup {
                group_id: group.group_id,
                error_code: code.code(),
                ..OffsetFetchResponseGroup::default()
            };
        }
    };
    let topics = match asks_for_all {
        true => fetched.into_iter().filter_map(|offsets| everything(image, by_id, offsets)).collect(),
        false => merge(asked, named, fetched),
    };
    OffsetFetchResponseGroup { group_id: group.group_id, topics, ..OffsetFetchResponseGroup::default() }
}

fn name_of(image: &Image, by_id: bool, topic: &OffsetFetchRequestTopics) -> Option<String> {
    match by_id {
        true => image.topic(TopicId(topic.topic_id)).map(|topic| topic.name.to_string()),
        false => Some(topic.name.to_string()),
    }
}

/// A topic of a group that was asked for all; by id, a topic that is gone has none.
fn everything(image: &Image, by_id: bool, offsets: PartitionOffsets) -> Option<OffsetFetchResponseTopics> {
    let topic_id = match by_id {
        true => image.topic_named(&offsets.topic)?.id.0,
        false => Uuid::ZERO,
    };
    let partitions = offsets.partitions.into_iter().map(|(index, offset)| partition(index, offset));
    Some(OffsetFetchResponseTopics {
        name: offsets.topic.into(),
        topic_id,
        partitions: partitions.collect(),
        ..OffsetFetchResponseTopics::default()
    })
}

/// The topics as they were asked for; one whose id nobody knows says so.
fn merge(
    asked: Vec<OffsetFetchRequestTopics>,
    named: Vec<Option<String>>,
    fetched: Vec<PartitionOffsets>,
) -> Vec<OffsetFetchResponseTopics> {
    let mut fetched = fetched.into_iter();
    let topic = |(topic, name): (OffsetFetchRequestTopics, Option<String>)| {
        let partitions: Vec<_> = match name {
            Some(_) => {
                let offsets = fetched.next().expect("an answer for every known topic");
                offsets.partitions.into_iter().map(|(index, offset)| partition(index, offset)).collect()
            }
            None => topic.partition_indexes.iter().map(|index| unknown(*index)).collect(),
        };
        OffsetFetchResponseTopics {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions,
            ..OffsetFetchResponseTopics::default()
        }
    };
    asked.into_iter().zip(named).map(topic).collect()
}

fn partition(partition_index: i32, offset: Option<CommittedOffset>) -> OffsetFetchResponsePartitions {
    let none = CommittedOffset {
        offset: NO_OFFSET,
        leader_epoch: -1,
        metadata: String::new(),
        committed: types::Timestamp::NONE,
    };
    let offset = offset.unwrap_or(none);
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: offset.offset,
        committed_leader_epoch: offset.leader_epoch,
        metadata: Some(Utf8Bytes::from(offset.metadata)),
        ..OffsetFetchResponsePartitions::default()
    }
}

fn unknown(partition_index: i32) -> OffsetFetchResponsePartitions {
    let error_code = ErrorCode::UnknownTopicId.code();
    OffsetFetchResponsePartitions { error_code, ..partition(partition_index, None) }
}

fn old_topic(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|partition| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
        ..OffsetFetchResponsePartition::default()
    });
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: partitions.collect(),
        ..OffsetFetchResponseTopic::default()
    }
}
