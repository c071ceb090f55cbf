//! The consumer's side of the sink: a topic without end, and a group of one.

use std::time::SystemTime;

use anyhow::{Result, bail};
use bytes::{Bytes, BytesMut};
use protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use protocol::messages::join_group_response::JoinGroupResponseMember;
use protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use protocol::messages::offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponseTopic};
use protocol::messages::{
    FetchRequest, FetchResponse, FindCoordinatorResponse, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupResponse, ListOffsetsRequest, ListOffsetsResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest, SyncGroupResponse,
};
use protocol::{ApiKey, Decoder, Message, Records};
use record::{BatchBuilder, Compression};
use types::Timestamp;

use super::{Connection, NODE_ID, Reply};

/// As producers of 64 KiB batches leave them.
const RECORDS_A_BATCH: i64 = 63;
const RECORD_BYTES: usize = 1024;
const END: i64 = i64::MAX / 2;
const EARLIEST: i64 = -2;

/// A batch of incompressible records at offset 0.
pub(super) fn batch() -> Result<Bytes> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    let mut builder = BatchBuilder::new(Compression::None);
    let value: Vec<u8> = (0..RECORD_BYTES).map(|i| (i.wrapping_mul(167) >> 3) as u8).collect();
    for _ in 0..RECORDS_A_BATCH {
        builder.push(Timestamp(i64::try_from(now)?), None, Some(&value), &[]);
    }
    Ok(builder.build()?)
}

impl Connection {
    pub(super) fn consume(&self, key: ApiKey, decoder: &mut Decoder, reply: Reply) -> Result<Bytes> {
        let version = reply.version;
        match key {
            ApiKey::Fetch => reply.encode(&self.fetch(&FetchRequest::decode(decoder, version)?)),
            ApiKey::ListOffsets => reply.encode(&list_offsets(ListOffsetsRequest::decode(decoder, version)?)),
            ApiKey::FindCoordinator => reply.encode(&FindCoordinatorResponse {
                node_id: NODE_ID,
                host: "127.0.0.1".into(),
                port: i32::from(self.port),
                ..Default::default()
            }),
            ApiKey::JoinGroup => reply.encode(&join(JoinGroupRequest::decode(decoder, version)?)),
            ApiKey::SyncGroup => reply.encode(&sync(SyncGroupRequest::decode(decoder, version)?)),
            ApiKey::Heartbeat => reply.encode(&HeartbeatResponse::default()),
            ApiKey::LeaveGroup => reply.encode(&LeaveGroupResponse::default()),
            ApiKey::OffsetFetch => reply.encode(&offset_fetch(OffsetFetchRequest::decode(decoder, version)?)),
            ApiKey::OffsetCommit => {
                reply.encode(&offset_commit(OffsetCommitRequest::decode(decoder, version)?))
            }
            other => bail!("the sink does not serve {}", other.name()),
        }
    }

    /// As many whole batches as are asked for, from wherever they are asked for.
    fn fetch(&self, request: &FetchRequest) -> FetchResponse {
        let mut left = usize::try_from(request.max_bytes).unwrap_or(0);
        let mut responses = Vec::new();
        for topic in &request.topics {
            let mut partitions = Vec::new();
            for partition in &topic.partitions {
                let most = usize::try_from(partition.partition_max_bytes).unwrap_or(0).min(left);
                let records = self.batches(partition.fetch_offset, most / self.batch.len());
                left -= records.len().min(left);
                partitions.push(PartitionData {
                    partition_index: partition.partition,
                    high_watermark: END,
                    last_stable_offset: END,
                    records: Some(Records::Inline(records)),
                    ..Default::default()
                });
            }
            let topic =
                FetchableTopicResponse { topic: topic.topic.clone(), partitions, ..Default::default() };
            responses.push(topic);
        }
        FetchResponse { responses, ..Default::default() }
    }

    /// The base offset stands before the checksum: the rest of each copy is the same.
    fn batches(&self, from: i64, count: usize) -> Bytes {
        let mut records = BytesMut::with_capacity(count * self.batch.len());
        let bases = (0..count).filter_map(|i| Some(from + i64::try_from(i).ok()? * RECORDS_A_BATCH));
        for base_offset in bases {
            records.extend_from_slice(&base_offset.to_be_bytes());
            records.extend_from_slice(&self.batch[size_of::<i64>()..]);
        }
        records.freeze()
    }
}

fn list_offsets(request: ListOffsetsRequest) -> ListOffsetsResponse {
    let topics = request.topics.into_iter().map(|topic| ListOffsetsTopicResponse {
        name: topic.name,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| ListOffsetsPartitionResponse {
                partition_index: partition.partition_index,
                timestamp: -1,
                offset: if partition.timestamp == EARLIEST { 0 } else { END },
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
}

/// Whoever joins leads, alone.
fn join(request: JoinGroupRequest) -> JoinGroupResponse {
    let protocol = request.protocols.into_iter().next().unwrap_or_default();
    let member_id = protocol::Utf8Bytes::from("the-only-one");
    let member = JoinGroupResponseMember {
        member_id: member_id.clone(),
        metadata: protocol.metadata,
        ..Default::default()
    };
    JoinGroupResponse {
        generation_id: 1,
        protocol_type: Some(request.protocol_type),
        protocol_name: Some(protocol.name),
        leader: member_id.clone(),
        member_id,
        members: vec![member],
        ..Default::default()
    }
}

fn sync(request: SyncGroupRequest) -> SyncGroupResponse {
    let assignment = request.assignments.into_iter().next().unwrap_or_default();
    SyncGroupResponse {
        protocol_type: request.protocol_type,
        protocol_name: request.protocol_name,
        assignment: assignment.assignment,
        ..Default::default()
    }
}

fn offset_fetch(request: OffsetFetchRequest) -> OffsetFetchResponse {
    let topics = request.topics.unwrap_or_default().into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic
            .partition_indexes
            .into_iter()
            .map(|partition_index| OffsetFetchResponsePartition {
                partition_index,
                committed_offset: -1,
                metadata: Some(protocol::Utf8Bytes::default()),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    OffsetFetchResponse { topics: topics.collect(), ..Default::default() }
}

fn offset_commit(request: OffsetCommitRequest) -> OffsetCommitResponse {
    let topics = request.topics.into_iter().map(|topic| OffsetCommitResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    OffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}
