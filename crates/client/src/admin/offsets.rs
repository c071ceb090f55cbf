//! Offsets: where partitions begin and end, and what groups have committed.

use std::collections::BTreeMap;

use protocol::Utf8Bytes;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use protocol::messages::{ListOffsetsRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest};
use types::{ErrorCode, Timestamp};

use super::Admin;
use crate::{BrokerError, Error, Purpose};

/// From here on OffsetCommit and OffsetFetch name topics by id, which groups of deleted topics do not have.
const OFFSETS_BY_NAME_MAX: i16 = 9;

/// A partition, by its topic's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartitionName {
    /// The topic.
    pub topic: String,
    /// The index of the partition.
    pub partition: i32,
}

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first that can be read.
    Earliest,
    /// The one that the next record gets.
    Latest,
    /// That of the first record at this time or later.
    AtOrAfter(Timestamp),
    /// That of the record with the largest timestamp.
    MaxTimestamp,
}

/// An offset that was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionOffset {
    /// The offset; -1 if no record is at the time asked for or later.
    pub offset: i64,
    /// The timestamp of its record; -1 if it was not asked for by time.
    pub timestamp: i64,
    /// The epoch of the leader that wrote it; -1 if unknown.
    pub leader_epoch: i32,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to consume.
    pub offset: i64,
    /// The epoch of the leader that wrote the record before it; -1 if unknown.
    pub leader_epoch: i32,
    /// What the group noted beside it.
    pub metadata: String,
}

/// An offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetToCommit {
    /// The partition.
    pub partition: TopicPartitionName,
    /// The next offset to consume.
    pub offset: i64,
    /// The epoch of the leader that wrote the record before it; -1 if unknown.
    pub leader_epoch: i32,
}

impl TopicPartitionName {
    /// A partition of a topic.
    pub fn new(topic: &str, partition: i32) -> TopicPartitionName {
        TopicPartitionName { topic: topic.to_owned(), partition }
    }
}

impl std::fmt::Display for TopicPartitionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl OffsetSpec {
    fn wire(self) -> i64 {
        match self {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::MaxTimestamp => -3,
            OffsetSpec::AtOrAfter(timestamp) => timestamp.0,
        }
    }
}

impl Admin {
    /// Looks one offset up for each of the partitions.
    pub async fn list_offsets(
        &self,
        partitions: &[TopicPartitionName],
        spec: OffsetSpec,
    ) -> Result<BTreeMap<TopicPartitionName, PartitionOffset>, Error> {
        self.client.retry(|| self.list_offsets_once(partitions, spec)).await
    }

    /// What a group has committed, partition by partition.
    pub async fn committed_offsets(
        &self,
        group: &str,
    ) -> Result<BTreeMap<TopicPartitionName, Committed>, Error> {
        self.client.retry(|| self.committed_offsets_once(group)).await
    }

    /// Commits for a group without members.
    pub async fn commit_offsets(&self, group: &str, offsets: &[OffsetToCommit]) -> Result<(), Error> {
        let request = commit_request(group, "", -1, offsets);
        self.client.retry(|| self.commit_once(&request)).await
    }

    /// Sends a commit and looks for the first refusal in the answer.
    pub(crate) async fn commit_once(&self, request: &OffsetCommitRequest) -> Result<(), Error> {
        let group = request.group_id.as_str();
        let response = self.client.ask_coordinator(group, request, OFFSETS_BY_NAME_MAX).await?;
        for topic in &response.topics {
            for partition in &topic.partitions {
                let what = || {
                    format!(
                        "committing {}-{} for group {group}",
                        topic.name.as_str(),
                        partition.partition_index
                    )
                };
                BrokerError::check(partition.error_code, None)
                    .map_err(|error| Error::refused(what(), error))?;
            }
        }
        Ok(())
    }

    /// Deletes a group's committed offsets of partitions that nobody in the group consumes.
    pub async fn delete_offsets(&self, group: &str, partitions: &[TopicPartitionName]) -> Result<(), Error> {
        let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for partition in partitions {
            let index = OffsetDeleteRequestPartition { partition_index: partition.partition };
            topics.entry(&partition.topic).or_default().push(index);
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| OffsetDeleteRequestTopic { name: Utf8Bytes::from(name), partitions });
        let request = OffsetDeleteRequest { group_id: Utf8Bytes::from(group), topics: topics.collect() };
        self.client
            .retry(|| async {
                let response = self.client.ask_coordinator(group, &request, i16::MAX).await?;
                let codes = response.topics.iter().flat_map(|topic| &topic.partitions);
                let codes = codes.map(|partition| partition.error_code);
                std::iter::once(response.error_code).chain(codes).try_for_each(|code| {
                    BrokerError::check(code, None)
                        .map_err(|error| Error::refused(format!("deleting offsets of group {group}"), error))
                })
            })
            .await
    }

    async fn list_offsets_once(
        &self,
        partitions: &[TopicPartitionName],
        spec: OffsetSpec,
    ) -> Result<BTreeMap<TopicPartitionName, PartitionOffset>, Error> {
        let names: Vec<&str> = partitions.iter().map(|partition| partition.topic.as_str()).collect();
        let metadata = self.client.metadata(&names).await?;
        let mut by_leader: BTreeMap<i32, BTreeMap<&str, Vec<ListOffsetsPartition>>> = BTreeMap::new();
        for TopicPartitionName { topic, partition } in partitions {
            let leader = metadata.leader(topic, *partition)?;
            let asked = ListOffsetsPartition {
                partition_index: *partition,
                current_leader_epoch: -1,
                timestamp: spec.wire(),
                ..Default::default()
            };
            by_leader.entry(leader.id).or_default().entry(topic.as_str()).or_default().push(asked);
        }
        let mut found = BTreeMap::new();
        for (leader, topics) in by_leader {
            let topics = topics.into_iter().map(|(name, partitions)| ListOffsetsTopic {
                name: Utf8Bytes::from(name),
                partitions,
                ..Default::default()
            });
            let request =
                ListOffsetsRequest { replica_id: -1, topics: topics.collect(), ..Default::default() };
            let response = self.client.broker_by_id(leader, Purpose::Ask).await?.send(&request).await?;
            for topic in &response.topics {
                for partition in &topic.partitions {
                    let name = TopicPartitionName::new(&topic.name, partition.partition_index);
                    BrokerError::check(partition.error_code, None)
                        .map_err(|error| Error::refused(format!("looking up an offset of {name}"), error))?;
                    let value = PartitionOffset {
                        offset: partition.offset,
                        timestamp: partition.timestamp,
                        leader_epoch: partition.leader_epoch,
                    };
                    found.insert(name, value);
                }
            }
        }
        Ok(found)
    }

    async fn committed_offsets_once(
        &self,
        group: &str,
    ) -> Result<BTreeMap<TopicPartitionName, Committed>, Error> {
        // Version 8 asks for many groups, with the answer in another place than before: older brokers are not asked.
        let groups = vec![OffsetFetchRequestGroup {
            group_id: Utf8Bytes::from(group),
            topics: None,
            member_epoch: -1,
            ..Default::default()
        }];
        let request = OffsetFetchRequest { groups, ..Default::default() };
        let what = || format!("reading the committed offsets of group {group}");
        let response = self.client.ask_coordinator(group, &request, OFFSETS_BY_NAME_MAX).await?;
        let answered = response.groups.first();
        let answered =
            answered.ok_or_else(|| Error::Invalid(format!("{}: the broker's answer is empty", what())))?;
        match BrokerError::check(answered.error_code, None) {
            Err(error) if error.code == ErrorCode::GroupIdNotFound => return Ok(BTreeMap::new()),
            outcome => outcome.map_err(|error| Error::refused(what(), error))?,
        }
        let mut committed = BTreeMap::new();
        for topic in &answered.topics {
            for partition in &topic.partitions {
                BrokerError::check(partition.error_code, None)
                    .map_err(|error| Error::refused(what(), error))?;
                if partition.committed_offset < 0 {
                    continue;
                }
                let name = TopicPartitionName::new(&topic.name, partition.partition_index);
                let metadata = partition.metadata.as_ref().map(super::text).unwrap_or_default();
                let value = Committed {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata,
                };
                committed.insert(name, value);
            }
        }
        Ok(committed)
    }
}

/// A commit of a member, or with generation -1 of a group that has none.
pub(crate) fn commit_request(
    group: &str,
    member_id: &str,
    generation: i32,
    offsets: &[OffsetToCommit],
) -> OffsetCommitRequest {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for offset in offsets {
        topics.entry(&offset.partition.topic).or_default().push(OffsetCommitRequestPartition {
            partition_index: offset.partition.partition,
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch,
            committed_metadata: Some(Utf8Bytes::new()),
            ..Default::default()
        });
    }
    let topics = topics.into_iter().map(|(name, partitions)| OffsetCommitRequestTopic {
        name: Utf8Bytes::from(name),
        partitions,
        ..Default::default()
    });
    OffsetCommitRequest {
        group_id: Utf8Bytes::from(group),
        generation_id_or_member_epoch: generation,
        member_id: Utf8Bytes::from(member_id),
        topics: topics.collect(),
        ..Default::default()
    }
}
