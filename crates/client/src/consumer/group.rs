//! Membership in a classic consumer group: join, take what the leader assigns (range), heartbeat, commit, leave. Knows no
//! other assignor and no static membership.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use protocol::messages::consumer_protocol_assignment::{ConsumerProtocolAssignment, TopicPartition};
use protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use protocol::{Decoder, EncodeError, Encoder, Message, Request, Utf8Bytes};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use types::ErrorCode;

use super::assignor;
use super::{ConsumedRecord, FetchConfig, Fetcher, OffsetReset};
use crate::admin::{Admin, OffsetSpec, OffsetToCommit, TopicPartitionName};
use crate::{BrokerError, Client, Error, Purpose};

const PROTOCOL_TYPE: &str = "consumer";
const ASSIGNOR: &str = "range";

/// How a member behaves.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// The group.
    pub group: String,
    /// What it consumes.
    pub topics: Vec<String>,
    /// Silence after which the coordinator gives its partitions to others.
    pub session_timeout: Duration,
    /// Time for all members to join again when one comes or goes.
    pub rebalance_timeout: Duration,
    /// How often it tells the coordinator that it is there.
    pub heartbeat_interval: Duration,
    /// How it fetches; also where it starts when nothing is committed.
    pub fetch: FetchConfig,
}

/// A member of a group. Commit what is processed; records after the last commit are read again by somebody.
#[derive(Debug)]
pub struct GroupConsumer {
    client: Client,
    admin: Admin,
    config: GroupConfig,
    fetcher: Fetcher,
    member_id: String,
    generation: i32,
    committed: BTreeMap<TopicPartitionName, i64>,
    must_join: Arc<AtomicBool>,
    heartbeat: JoinSet<()>,
}

impl GroupConfig {
    /// Kafka's defaults.
    pub fn new(group: &str, topics: Vec<String>) -> GroupConfig {
        GroupConfig {
            group: group.to_owned(),
            topics,
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(60),
            heartbeat_interval: Duration::from_secs(3),
            fetch: FetchConfig::default(),
        }
    }
}

impl GroupConsumer {
    /// Joins with the first poll.
    pub fn new(client: Client, config: GroupConfig) -> GroupConsumer {
        GroupConsumer {
            admin: Admin::new(client.clone()),
            fetcher: Fetcher::new(client.clone(), config.fetch.clone()),
            client,
            config,
            member_id: String::new(),
            generation: -1,
            committed: BTreeMap::new(),
            must_join: Arc::new(AtomicBool::new(true)),
            heartbeat: JoinSet::new(),
        }
    }

    /// What is assigned now, with the offsets to read next.
    pub fn positions(&self) -> &BTreeMap<TopicPartitionName, i64> {
        self.fetcher.positions()
    }

    /// Counts the group's rebalances that this member took part in; after each, what it was assigned before is void.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// What there is to read of the assigned partitions. Joins, and joins again when the group changes; then what was
    /// read before and not committed may come again.
    pub async fn poll(&mut self) -> Result<Vec<ConsumedRecord>, Error> {
        if self.must_join.load(Ordering::Acquire) {
            Box::pin(self.join()).await?;
        }
        self.fetcher.poll().await
    }

    /// Commits everything that was polled.
    pub async fn commit(&mut self) -> Result<(), Error> {
        let polled = self.fetcher.positions().clone();
        self.commit_offsets(&polled).await
    }

    /// Commits these offsets, each the next one to read; those of partitions that are not assigned are left out.
    pub async fn commit_offsets(&mut self, next: &BTreeMap<TopicPartitionName, i64>) -> Result<(), Error> {
        let assigned = self.fetcher.positions();
        let moved = next.iter().filter(|&(name, offset)| {
            assigned.contains_key(name) && self.committed.get(name) != Some(offset)
        });
        let offsets: Vec<_> = moved
            .map(|(partition, &offset)| OffsetToCommit {
                partition: partition.clone(),
                offset,
                leader_epoch: -1,
            })
            .collect();
        if offsets.is_empty() || self.generation < 0 {
            return Ok(());
        }
        let request =
            crate::admin::commit_request(&self.config.group, &self.member_id, self.generation, &offsets);
        self.client.retry(|| self.admin.commit_once(&request)).await?;
        self.committed.extend(offsets.into_iter().map(|offset| (offset.partition, offset.offset)));
        Ok(())
    }

    /// Leaves, so that the others need not wait for the session to end. Commits nothing.
    pub async fn leave(mut self) -> Result<(), Error> {
        self.heartbeat.shutdown().await;
        if self.member_id.is_empty() {
            return Ok(());
        }
        let member_id = Utf8Bytes::from(&self.member_id);
        let group = self.config.group.clone();
        let node = self.client.group_coordinator(&group).await?;
        let connection = self.client.broker(&node, Purpose::Ask).await?;
        let version = connection.version::<LeaveGroupRequest>(i16::MAX)?;
        let mut request = LeaveGroupRequest { group_id: Utf8Bytes::from(&group), ..Default::default() };
        match version >= 3 {
            true => request.members = vec![MemberIdentity { member_id, ..Default::default() }],
            false => request.member_id = member_id,
        }
        let response = connection.send_version(&request, version, self.client.request_timeout()).await?;
        BrokerError::check(response.error_code, None)
            .map_err(|error| Error::refused(format!("leaving group {group}"), error))
    }

    async fn join(&mut self) -> Result<(), Error> {
        self.heartbeat.shutdown().await;
        // Another member continues where this one was; too late for that, it reads some records again.
        if let Err(error) = self.commit().await {
            tracing::debug!(%error, "commit before joining again");
        }
        let deadline = tokio::time::Instant::now() + self.config.rebalance_timeout * 2;
        let assigned = loop {
            match self.join_once().await {
                Ok(assigned) => break assigned,
                Err(error)
                    if tokio::time::Instant::now() < deadline && self.is_worth_joining_again(&error) =>
                {
                    tracing::debug!(%error, "joining again");
                    tokio::time::sleep(self.client.config().retry_backoff).await;
                }
                Err(error) => return Err(error),
            }
        };
        let positions = self.start_positions(&assigned).await?;
        self.committed = positions.clone();
        self.fetcher.assign(positions);
        self.must_join.store(false, Ordering::Release);
        self.heartbeat.spawn(heartbeats(
            self.client.clone(),
            self.config.clone(),
            self.member_id.clone(),
            self.generation,
            self.must_join.clone(),
        ));
        Ok(())
    }

    /// Forgets what the refusal says is void.
    fn is_worth_joining_again(&mut self, error: &Error) -> bool {
        match error.code() {
            Some(ErrorCode::UnknownMemberId) => self.member_id.clear(),
            Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration) => {}
            Some(_) | None if error.is_retriable() => self.client.forget_coordinator(&self.config.group),
            Some(_) | None => return false,
        }
        true
    }

    async fn join_once(&mut self) -> Result<Vec<TopicPartitionName>, Error> {
        let patience = self.config.rebalance_timeout + self.client.request_timeout();
        let subscription = ConsumerProtocolSubscription {
            topics: self.config.topics.iter().map(Utf8Bytes::from).collect(),
            ..Default::default()
        };
        let metadata = with_version(&subscription, 0).map_err(unencodable)?;
        let protocol = JoinGroupRequestProtocol {
            name: Utf8Bytes::from_static(ASSIGNOR),
            metadata,
            ..Default::default()
        };
        let mut request = JoinGroupRequest {
            group_id: Utf8Bytes::from(&self.config.group),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.rebalance_timeout),
            member_id: Utf8Bytes::from(&self.member_id),
            protocol_type: Utf8Bytes::from_static(PROTOCOL_TYPE),
            protocols: vec![protocol],
            ..Default::default()
        };
        let mut response = self.ask(&request, patience).await?;
        if response.error_code == ErrorCode::MemberIdRequired.code() {
            // From here on the group may wait for this member: whoever gives up while it waits has to leave.
            self.member_id = response.member_id.as_str().to_owned();
            request.member_id = response.member_id;
            response = self.ask(&request, patience).await?;
        }
        self.check(response.error_code, "joining")?;
        self.member_id = response.member_id.as_str().to_owned();
        self.generation = response.generation_id;
        self.sync(&response, patience).await
    }

    async fn sync(
        &self,
        joined: &JoinGroupResponse,
        patience: Duration,
    ) -> Result<Vec<TopicPartitionName>, Error> {
        let is_leader = joined.leader == joined.member_id && !joined.skip_assignment;
        let request = SyncGroupRequest {
            group_id: Utf8Bytes::from(&self.config.group),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            protocol_type: Some(Utf8Bytes::from_static(PROTOCOL_TYPE)),
            protocol_name: Some(Utf8Bytes::from_static(ASSIGNOR)),
            assignments: if is_leader { self.assignments(joined).await? } else { Vec::new() },
            ..Default::default()
        };
        let response = self.ask(&request, patience).await?;
        self.check(response.error_code, "syncing")?;
        Ok(crate::admin::decode_assignment(&response.assignment))
    }

    /// What the leader of the group gives to each member.
    async fn assignments(
        &self,
        joined: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, Error> {
        let subscriptions: BTreeMap<String, Vec<String>> = joined
            .members
            .iter()
            .map(|member| (member.member_id.as_str().to_owned(), subscribed(&member.metadata)))
            .collect();
        let topics: Vec<&str> = subscriptions.values().flatten().map(String::as_str).collect();
        let metadata = self.client.refresh(&topics).await?;
        let known = metadata.topics.values().filter(|topic| topic.error.is_none());
        let partitions = known.map(|topic| (topic.name.clone(), topic.partitions.len())).collect();
        let assigned = assignor::range(&subscriptions, &partitions);
        assigned.iter().map(|(member, partitions)| assignment(member, partitions)).collect()
    }

    /// Where to start: at what is committed, or where the configuration says.
    async fn start_positions(
        &self,
        assigned: &[TopicPartitionName],
    ) -> Result<BTreeMap<TopicPartitionName, i64>, Error> {
        let committed = self.admin.committed_offsets(&self.config.group).await?;
        let fresh: Vec<_> = assigned.iter().filter(|name| !committed.contains_key(*name)).cloned().collect();
        let spec = match self.config.fetch.reset {
            OffsetReset::Earliest => OffsetSpec::Earliest,
            OffsetReset::Latest => OffsetSpec::Latest,
            OffsetReset::Fail if fresh.is_empty() => OffsetSpec::Latest,
            OffsetReset::Fail => {
                let group = &self.config.group;
                return Err(Error::Invalid(format!("group {group} has committed no offset of {}", fresh[0])));
            }
        };
        let started = self.admin.list_offsets(&fresh, spec).await?;
        let mut positions: BTreeMap<_, _> =
            started.into_iter().map(|(name, found)| (name, found.offset)).collect();
        for name in assigned {
            if let Some(found) = committed.get(name) {
                positions.insert(name.clone(), found.offset);
            }
        }
        Ok(positions)
    }

    async fn ask<R: Request>(&self, request: &R, patience: Duration) -> Result<R::Response, Error> {
        let node = self.client.group_coordinator(&self.config.group).await?;
        let connection = self.client.broker(&node, Purpose::Join).await?;
        connection.send_version(request, connection.version::<R>(i16::MAX)?, patience).await
    }

    fn check(&self, code: i16, doing: &str) -> Result<(), Error> {
        BrokerError::check(code, None)
            .map_err(|error| Error::refused(format!("{doing} group {}", self.config.group), error))
    }
}

/// Tells the coordinator that the member is there, until it says that the group changes.
async fn heartbeats(
    client: Client,
    config: GroupConfig,
    member_id: String,
    generation: i32,
    must_join: Arc<AtomicBool>,
) {
    let request = HeartbeatRequest {
        group_id: Utf8Bytes::from(&config.group),
        generation_id: generation,
        member_id: Utf8Bytes::from(&member_id),
        ..Default::default()
    };
    let mut ticks = interval(config.heartbeat_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let sent = client.ask_coordinator(&config.group, &request, i16::MAX);
        let code = match timeout(config.session_timeout, sent).await {
            Ok(Ok(response)) => response.error_code,
            // The coordinator may be away for a moment; the session tells when it was too long.
            Ok(Err(_)) | Err(_) => continue,
        };
        match ErrorCode::from_code(code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) => {
                client.forget_coordinator(&config.group);
            }
            Some(ErrorCode::CoordinatorLoadInProgress) => {}
            Some(_) | None => {
                tracing::debug!(group = config.group, code, "the group changes");
                return must_join.store(true, Ordering::Release);
            }
        }
    }
}

fn assignment(member: &str, partitions: &[TopicPartitionName]) -> Result<SyncGroupRequestAssignment, Error> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for name in partitions {
        topics.entry(&name.topic).or_default().push(name.partition);
    }
    let assigned_partitions = topics
        .into_iter()
        .map(|(topic, partitions)| TopicPartition { topic: Utf8Bytes::from(topic), partitions });
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: assigned_partitions.collect(),
        ..Default::default()
    };
    Ok(SyncGroupRequestAssignment {
        member_id: Utf8Bytes::from(member),
        assignment: with_version(&assignment, 0).map_err(unencodable)?,
        ..Default::default()
    })
}

/// The topics in a member's metadata, whatever version it has: the later ones only add to the end.
fn subscribed(metadata: &Bytes) -> Vec<String> {
    let mut decoder = Decoder::new(metadata.clone());
    let Ok(version) = decoder.int16() else { return Vec::new() };
    let version = version.clamp(0, ConsumerProtocolSubscription::VERSIONS.max);
    let Ok(subscription) = ConsumerProtocolSubscription::decode(&mut decoder, version) else {
        return Vec::new();
    };
    subscription.topics.iter().map(|topic| topic.as_str().to_owned()).collect()
}

/// The consumer protocol's own framing: the version, then the message.
fn with_version<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::new();
    encoder.int16(version);
    message.encode(&mut encoder, version)?;
    Ok(encoder.into_bytes())
}

fn unencodable(source: EncodeError) -> Error {
    Error::Unencodable { api: "JoinGroup", source }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
