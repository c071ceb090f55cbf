//! The fetch loop: asks the leaders of the assigned partitions for what lies past their positions. Knows no group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use protocol::messages::fetch_response::PartitionData;
use protocol::messages::{FetchRequest, FetchResponse};
use protocol::{Records, Utf8Bytes};
use record::{Batches, RecordHeader, TimestampType};
use tokio::time::sleep;
use types::{ErrorCode, Offset, Timestamp, TopicId};

use crate::admin::{Admin, OffsetSpec, TopicPartitionName};
use crate::{BrokerError, Client, ClusterMetadata, Error, Node, Purpose};

/// The last version that names topics.
const FETCH_BY_NAME_MAX: i16 = 12;

/// How much is asked for at once.
#[derive(Clone, Debug)]
pub struct FetchConfig {
    /// How long a broker waits for something to answer with.
    pub max_wait: Duration,
    /// An answer of this size does not wait.
    pub min_bytes: i32,
    /// The size of one answer.
    pub max_bytes: i32,
    /// The size of one partition's part of it.
    pub partition_max_bytes: i32,
    /// Where to go on when a position is not there any more.
    pub reset: OffsetReset,
}

/// Where to go on when a position is not there, because its records were deleted or never committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the first record.
    Earliest,
    /// Behind the last one.
    Latest,
    /// Nowhere: it is an error.
    Fail,
}

/// A record that was read.
#[derive(Clone, Debug)]
pub struct ConsumedRecord {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its time.
    pub timestamp: Timestamp,
    /// Who set the time.
    pub timestamp_type: TimestampType,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Vec<RecordHeader>,
}

/// Reads assigned partitions.
#[derive(Debug)]
pub struct Fetcher {
    client: Client,
    config: FetchConfig,
    positions: BTreeMap<TopicPartitionName, i64>,
}

impl Default for FetchConfig {
    fn default() -> FetchConfig {
        FetchConfig {
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 50 << 20,
            partition_max_bytes: 1 << 20,
            reset: OffsetReset::Latest,
        }
    }
}

impl Fetcher {
    /// Reads through this client; nothing is assigned yet.
    pub fn new(client: Client, config: FetchConfig) -> Fetcher {
        Fetcher { client, config, positions: BTreeMap::new() }
    }

    /// Replaces what is assigned: each partition with the offset to read next.
    pub fn assign(&mut self, positions: BTreeMap<TopicPartitionName, i64>) {
        self.positions = positions;
    }

    /// The offset to read next, by partition.
    pub fn positions(&self) -> &BTreeMap<TopicPartitionName, i64> {
        &self.positions
    }

    /// What there is to read, in the order of each partition; empty if nothing came within `max_wait`.
    pub async fn poll(&mut self) -> Result<Vec<ConsumedRecord>, Error> {
        if self.positions.is_empty() {
            sleep(self.config.max_wait).await;
            return Ok(Vec::new());
        }
        let names: Vec<&str> = self.positions.keys().map(|partition| partition.topic.as_str()).collect();
        let metadata = self.client.retry(|| self.client.metadata(&names)).await?;
        let mut by_leader: BTreeMap<i32, (Node, Vec<TopicPartitionName>)> = BTreeMap::new();
        let mut is_settled = true;
        for name in self.positions.keys() {
            match metadata.leader(&name.topic, name.partition) {
                Ok(node) => {
                    let group = by_leader.entry(node.id).or_insert_with(|| (node.clone(), Vec::new()));
                    group.1.push(name.clone());
                }
                Err(error) if error.is_retriable() => {
                    self.client.forget_topic(&name.topic);
                    is_settled = false;
                }
                Err(error) => return Err(error),
            }
        }
        let fetches = by_leader.values().map(|(node, names)| self.fetch(node, names, &metadata));
        let mut records = Vec::new();
        for answered in join_all(fetches).await {
            match answered {
                Ok(response) => is_settled &= self.take(&metadata, response, &mut records).await?,
                Err(error) if error.is_retriable() => {
                    tracing::debug!(%error, "fetching again");
                    names_of(&self.positions).for_each(|topic| self.client.forget_topic(topic));
                    is_settled = false;
                }
                Err(error) => return Err(error),
            }
        }
        if !is_settled && records.is_empty() {
            sleep(self.client.config().retry_backoff).await;
        }
        Ok(records)
    }

    async fn fetch(
        &self,
        node: &Node,
        names: &[TopicPartitionName],
        metadata: &ClusterMetadata,
    ) -> Result<FetchResponse, Error> {
        let connection = self.client.broker(node, Purpose::Fetch).await?;
        let mut topics: BTreeMap<&str, FetchTopic> = BTreeMap::new();
        let mut have_ids = true;
        for name in names {
            let topic_id = metadata.topic(&name.topic)?.topic_id;
            have_ids &= topic_id != TopicId::ZERO;
            let topic = topics.entry(&name.topic).or_insert_with(|| FetchTopic {
                topic: Utf8Bytes::from(&name.topic),
                topic_id: topic_id.0,
                ..Default::default()
            });
            topic.partitions.push(FetchPartition {
                partition: name.partition,
                current_leader_epoch: -1,
                fetch_offset: self.positions.get(name).copied().unwrap_or(0),
                partition_max_bytes: self.config.partition_max_bytes,
                ..Default::default()
            });
        }
        let version =
            connection.version::<FetchRequest>(if have_ids { i16::MAX } else { FETCH_BY_NAME_MAX })?;
        let request = FetchRequest {
            max_wait_ms: i32::try_from(self.config.max_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: self.config.min_bytes,
            max_bytes: self.config.max_bytes,
            session_epoch: -1,
            topics: topics.into_values().collect(),
            ..Default::default()
        };
        let patience = self.config.max_wait + self.client.request_timeout();
        let response = connection.send_version(&request, version, patience).await?;
        BrokerError::check(response.error_code, None).map_err(|error| Error::refused("fetching", error))?;
        Ok(response)
    }

    /// Takes the records out of an answer; false if a partition has to be asked again elsewhere.
    async fn take(
        &mut self,
        metadata: &ClusterMetadata,
        response: FetchResponse,
        records: &mut Vec<ConsumedRecord>,
    ) -> Result<bool, Error> {
        let mut is_settled = true;
        for topic in response.responses {
            let by_id = || metadata.topics.values().find(|known| known.topic_id.0 == topic.topic_id);
            let name = match topic.topic.is_empty() {
                true => by_id().map(|known| known.name.clone()).unwrap_or_default(),
                false => topic.topic.as_str().to_owned(),
            };
            let shared: Arc<str> = Arc::from(name.as_str());
            for partition in topic.partitions {
                let name = TopicPartitionName::new(&name, partition.partition_index);
                let Some(&position) = self.positions.get(&name) else { continue };
                match BrokerError::check(partition.error_code, None) {
                    Ok(()) => {
                        let next = read(&shared, partition, position, records)?;
                        self.positions.insert(name, next);
                    }
                    Err(error) if error.code == ErrorCode::OffsetOutOfRange => self.reset(&name).await?,
                    Err(error) if error.code.is_retriable() => {
                        self.client.forget_topic(&name.topic);
                        is_settled = false;
                    }
                    Err(error) => return Err(Error::refused(format!("fetching {name}"), error)),
                }
            }
        }
        Ok(is_settled)
    }

    async fn reset(&mut self, name: &TopicPartitionName) -> Result<(), Error> {
        let spec = match self.config.reset {
            OffsetReset::Earliest => OffsetSpec::Earliest,
            OffsetReset::Latest => OffsetSpec::Latest,
            OffsetReset::Fail => {
                let position = self.positions.get(name).copied().unwrap_or(-1);
                return Err(Error::Invalid(format!(
                    "{name} has no offset {position}: its records were deleted, or never written"
                )));
            }
        };
        let found = Admin::new(self.client.clone()).list_offsets(std::slice::from_ref(name), spec).await?;
        let offset = found.get(name).map_or(0, |found| found.offset);
        self.positions.insert(name.clone(), offset);
        Ok(())
    }
}

fn names_of(positions: &BTreeMap<TopicPartitionName, i64>) -> impl Iterator<Item = &str> {
    positions.keys().map(|name| name.topic.as_str())
}

/// Appends the records from `position` on and answers the offset behind them. A broker sends whole batches: the first
/// may begin before the position, and the last may be cut short.
fn read(
    topic: &Arc<str>,
    partition: PartitionData,
    position: i64,
    records: &mut Vec<ConsumedRecord>,
) -> Result<i64, Error> {
    let mut next = position;
    let index = partition.partition_index;
    let damaged = |at: i64, reason: String| {
        Error::Invalid(format!("the records of {topic}-{index} at offset {at} are damaged: {reason}"))
    };
    let Some(Records::Inline(bytes)) = partition.records else { return Ok(next) };
    for batch in Batches::new(bytes) {
        let batch = batch.map_err(|error| damaged(next, error.to_string()))?;
        if !batch.is_intact() {
            return Err(damaged(next, "the checksum does not match".to_owned()));
        }
        let summary = batch.header().summary();
        if summary.last_offset() < Offset(position) {
            continue;
        }
        if !summary.is_control {
            for record in batch.records().map_err(|error| damaged(next, error.to_string()))? {
                let record = record.map_err(|error| damaged(next, error.to_string()))?;
                if record.offset < Offset(position) {
                    continue;
                }
                records.push(ConsumedRecord {
                    topic: topic.clone(),
                    partition: index,
                    offset: record.offset.0,
                    timestamp: record.timestamp,
                    timestamp_type: summary.timestamp_type,
                    key: record.key,
                    value: record.value,
                    headers: record.headers,
                });
            }
        }
        next = summary.last_offset().0 + 1;
    }
    Ok(next)
}
