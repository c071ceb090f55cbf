//! ListOffsets: where a partition begins and ends for a reader, and which record is the first of a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::Utf8Bytes;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use storage::{ReadError, TimestampedOffset};
use types::{ErrorCode, LeaderEpoch, Offset, PartitionId, Timestamp};

use super::RequestContext;
use super::fetch::{READ_COMMITTED, check_epoch};
use crate::node::Node;
use crate::partitions::{Partition, TopicRef};

/// Consumers and other clients; replicas give their broker's id.
const CONSUMER: i32 = -1;
/// From this version on an offset comes with its epoch (KIP-320).
const FIRST_WITH_EPOCHS: i16 = 4;

/// Answers for each partition on its own.
pub(crate) async fn handle(
    node: &Arc<Node>,
    context: &RequestContext,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let visibility = match (request.replica_id, request.isolation_level) {
        (CONSUMER, READ_COMMITTED) => Visibility::Stable,
        (CONSUMER, _) => Visibility::Committed,
        _ => Visibility::Written,
    };
    let mut seen = BTreeSet::new();
    let mut response = ListOffsetsResponse::default();
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let is_new = seen.insert((topic.name.clone(), asked.partition_index));
            let answer = match is_new {
                true => find(node, context.api_version, &topic.name, &asked, visibility).await,
                false => Err(ErrorCode::InvalidRequest),
            };
            partitions.push(into_wire(asked.partition_index, context.api_version, answer));
        }
        let name = topic.name;
        response.topics.push(ListOffsetsTopicResponse { name, partitions, ..Default::default() });
    }
    response
}

/// Before this version clients do not know OFFSET_NOT_AVAILABLE.
const FIRST_WITH_NOT_AVAILABLE: i16 = 5;

/// How far the asker sees.
#[derive(Clone, Copy, Debug)]
enum Visibility {
    /// What is in all in-sync replicas.
    Committed,
    /// Of that, what belongs to no open transaction.
    Stable,
    /// Everything.
    Written,
}

/// What a request's timestamp asks for: its negative values are questions of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Latest,
    Earliest,
    /// The record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// The earliest offset on this broker's disk (KIP-405).
    EarliestLocal,
    /// The end, or the begin of what is missing, of a remote tier (KIP-1005, KIP-1023): there is none.
    Tiered,
    /// The first record that is not older.
    At(Timestamp),
}

impl Question {
    /// `None` if the request's version does not have it.
    fn from_wire(timestamp: i64, version: i16) -> Option<Question> {
        let (question, since) = match timestamp {
            0.. => (Question::At(Timestamp(timestamp)), 1),
            -1 => (Question::Latest, 1),
            -2 => (Question::Earliest, 1),
            -3 => (Question::MaxTimestamp, 7),
            -4 => (Question::EarliestLocal, 8),
            -5 => (Question::Tiered, 9),
            -6 => (Question::Tiered, 11),
            _ => return None,
        };
        (version >= since).then_some(question)
    }
}

async fn find(
    node: &Arc<Node>,
    version: i16,
    topic: &Utf8Bytes,
    asked: &ListOffsetsPartition,
    visibility: Visibility,
) -> Result<Option<TimestampedOffset>, ErrorCode> {
    let question = Question::from_wire(asked.timestamp, version).ok_or(ErrorCode::UnsupportedVersion)?;
    let partition = node.led_partition(TopicRef::Name(topic), PartitionId(asked.partition_index))?;
    let bounds = partition.bounds();
    check_epoch(LeaderEpoch(asked.current_leader_epoch), bounds.leader_epoch)?;
    let upto = match visibility {
        Visibility::Committed => bounds.high_watermark,
        Visibility::Stable => bounds.last_stable,
        Visibility::Written => bounds.log_end,
    };
    // A new leader may know less of what is committed than the one before has shown (KIP-207).
    let is_settled = matches!(visibility, Visibility::Written) || partition.is_high_watermark_settled();
    let not_yet = match version >= FIRST_WITH_NOT_AVAILABLE {
        true => ErrorCode::OffsetNotAvailable,
        false => ErrorCode::LeaderNotAvailable,
    };
    match question {
        Question::Latest if !is_settled => Err(not_yet),
        Question::Latest => Ok(Some(untimed(upto, bounds.leader_epoch))),
        Question::Earliest | Question::EarliestLocal => {
            let epoch = partition.epoch_at(bounds.log_start).unwrap_or(LeaderEpoch::NONE);
            Ok(Some(untimed(bounds.log_start, epoch)))
        }
        Question::Tiered => Ok(None),
        Question::MaxTimestamp | Question::At(_) => {
            let timestamp = match question {
                Question::At(timestamp) => Some(timestamp),
                _ => None,
            };
            match search(node, &partition, timestamp, upto).await? {
                None if !is_settled => Err(not_yet),
                found => Ok(found),
            }
        }
    }
}

fn untimed(offset: Offset, leader_epoch: LeaderEpoch) -> TimestampedOffset {
    TimestampedOffset { timestamp: Timestamp::NONE, offset, leader_epoch }
}

/// Looks into the log's files. `None`: the largest timestamp.
async fn search(
    node: &Arc<Node>,
    partition: &Arc<Partition>,
    timestamp: Option<Timestamp>,
    upto: Offset,
) -> Result<Option<TimestampedOffset>, ErrorCode> {
    let reader = Arc::clone(partition.reader());
    let found = node
        .blocking
        .run(move || match timestamp {
            Some(timestamp) => reader.offset_for_timestamp(timestamp, upto),
            None => reader.max_timestamp_offset(upto),
        })
        .await;
    // The batch that holds the record may reach past what the asker sees.
    found.map(|found| found.filter(|found| found.offset < upto)).map_err(|error: ReadError| {
        tracing::error!(partition = %partition.label(), %error, "cannot look for a timestamp");
        error.code()
    })
}

fn into_wire(
    partition_index: i32,
    version: i16,
    answer: Result<Option<TimestampedOffset>, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let nothing =
        ListOffsetsPartitionResponse { partition_index, timestamp: -1, offset: -1, ..Default::default() };
    match answer {
        Ok(None) => nothing,
        Ok(Some(found)) => ListOffsetsPartitionResponse {
            timestamp: found.timestamp.0,
            offset: found.offset.0,
            leader_epoch: if version >= FIRST_WITH_EPOCHS { found.leader_epoch.0 } else { -1 },
            ..nothing
        },
        Err(error) => ListOffsetsPartitionResponse { error_code: error.code(), ..nothing },
    }
}

#[cfg(test)]
mod tests {
    use protocol::{ApiKey, frame};

    use super::*;

    #[test]
    fn an_answer_has_a_form_in_every_version() {
        let found =
            TimestampedOffset { timestamp: Timestamp(5), offset: Offset(7), leader_epoch: LeaderEpoch(3) };
        let versions = ApiKey::ListOffsets.versions();
        for version in versions.min..=versions.max {
            for answer in [Ok(Some(found)), Ok(None), Err(ErrorCode::UnknownTopicOrPartition)] {
                let topic = ListOffsetsTopicResponse {
                    partitions: vec![into_wire(0, version, answer)],
                    ..Default::default()
                };
                let response = ListOffsetsResponse { topics: vec![topic], ..Default::default() };
                frame::encode_response(ApiKey::ListOffsets, version, 1, &response).unwrap();
            }
        }
    }

    #[test]
    fn special_timestamps_are_questions_from_their_version_on() {
        for (timestamp, version, expected) in [
            (0, 1, Some(Question::At(Timestamp(0)))),
            (-1, 1, Some(Question::Latest)),
            (-2, 1, Some(Question::Earliest)),
            (-3, 6, None),
            (-3, 7, Some(Question::MaxTimestamp)),
            (-4, 7, None),
            (-4, 8, Some(Question::EarliestLocal)),
            (-5, 9, Some(Question::Tiered)),
            (-6, 10, None),
            (-7, 11, None),
        ] {
            assert_eq!(Question::from_wire(timestamp, version), expected, "{timestamp} in {version}");
        }
    }
}
