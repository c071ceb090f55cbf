//! Fetch: which partitions a request means (KIP-227 sessions), how long it waits, and what its answer holds. Records
//! travel as ranges of files; nothing here looks at them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::select_all;
use protocol::messages::fetch_request::{FetchRequest, FetchTopic};
use protocol::messages::fetch_response::{
    EpochEndOffset, FetchResponse, FetchableTopicResponse, NodeEndpoint, PartitionData,
};
use protocol::{Records, Utf8Bytes};
use replication::{
    Bounds, FetchContext, FetchRefusal, FetchSessionRequest, FollowerAnswer, FollowerFetch, PartitionAnswer,
    PartitionRequest, SessionPartition, SessionTopic,
};
use storage::{LogSlice, ReadError};
use tokio::time::Instant;
use types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Now, Offset, PartitionId, TopicId};

use super::nearest::Nearest;
use super::{Reply, RequestContext, topics};
use crate::metrics::Waits;
use crate::node::Node;
use crate::partitions::{Partition, TopicRef};
use crate::peers::Limits;

/// From this version on consumers may read from followers (KIP-392).
const FIRST_WITH_FOLLOWERS: i16 = 11;
/// From this version on topics come by id (KIP-516).
const FIRST_WITH_TOPIC_IDS: i16 = 13;
/// From this version on a refusal can say who leads.
const FIRST_WITH_LEADERS: i16 = 16;
/// Kafka's debugging consumer reads without being held at the high watermark; ids from 0 are followers.
const CONSUMER: i32 = -1;
/// The isolation level of consumers that must not see what a transaction has not committed.
pub(super) const READ_COMMITTED: i8 = 1;

/// Answers once there is enough to read, something to report, or the time is over.
pub(crate) async fn handle(
    node: &Arc<Node>,
    context: &RequestContext,
    request: FetchRequest,
) -> Reply<FetchResponse> {
    let by_id = context.api_version >= FIRST_WITH_TOPIC_IDS;
    let session_request = session_request(&request, by_id);
    let opened = node.fetch_sessions.lock().open(node.wall.now().monotonic, &session_request);
    let session = match opened {
        Ok(session) => session,
        Err(error) => {
            return Reply::from(FetchResponse { error_code: error.code(), ..FetchResponse::default() });
        }
    };
    let wanted = match &session {
        FetchContext::Sessionless | FetchContext::Full { .. } => session_request.partitions,
        FetchContext::Incremental { partitions, .. } => partitions.clone(),
    };
    let read = Reading::new(node, context, &request, wanted).finish(node).await;
    let mut reply = answer(node, &session, read);
    name_leaders(node, context, &mut reply.response);
    reply
}

/// Says who leads what was refused because another broker does, so that the client need not ask for metadata (KIP-951).
fn name_leaders(node: &Node, context: &RequestContext, response: &mut FetchResponse) {
    if context.api_version < FIRST_WITH_LEADERS {
        return;
    }
    let image = node.metadata().image();
    let mut leaders = BTreeSet::new();
    for topic in &mut response.responses {
        let topic_ref = TopicRef::Id(TopicId(topic.topic_id));
        let refused = topic.partitions.iter_mut();
        for refused in refused.filter(|answer| topics::is_leader_elsewhere(answer.error_code)) {
            let found = topics::leader_elsewhere(node, &image, topic_ref, refused.partition_index);
            let Some((leader, epoch)) = found else { continue };
            refused.current_leader.leader_id = leader.0;
            refused.current_leader.leader_epoch = epoch.0;
            leaders.insert(leader.0);
        }
    }
    if leaders.is_empty() {
        return;
    }
    let brokers = topics::brokers(&image, context).into_iter();
    let endpoints = brokers.filter(|broker| leaders.contains(&broker.node_id)).map(|broker| NodeEndpoint {
        node_id: broker.node_id,
        host: broker.host,
        port: broker.port,
        rack: broker.rack,
        ..NodeEndpoint::default()
    });
    response.node_endpoints = endpoints.collect();
}

/// One partition of a request, and what was read of it last.
struct Target {
    key: SessionPartition,
    request: PartitionRequest,
    partition: Result<Arc<Partition>, ErrorCode>,
    outcome: Outcome,
}

/// What one partition's part of the answer is made of.
struct Outcome {
    error: ErrorCode,
    bounds: Option<Bounds>,
    slice: LogSlice,
    /// Where a follower's log leaves this one.
    diverging: Option<(LeaderEpoch, Offset)>,
    /// From whom a consumer had better read.
    preferred: Option<BrokerId>,
}

/// Who reads, which decides how far.
#[derive(Clone, Copy)]
enum Asker {
    /// Up to the high watermark, or the last stable offset.
    Consumer { isolation_level: i8, may_read_followers: bool },
    /// Up to the end, and what it asks is its acknowledgement.
    Follower { broker: BrokerId, epoch: BrokerEpoch },
}

/// A request while it waits.
struct Reading {
    targets: Vec<Target>,
    asker: Asker,
    nearest: Option<Nearest>,
    /// What a follower may copy that is not in sync.
    limits: Option<Limits>,
    bytes_min: u32,
    bytes_max: u32,
    deadline: Instant,
}

impl Reading {
    fn new(
        node: &Node,
        context: &RequestContext,
        request: &FetchRequest,
        wanted: Vec<(SessionPartition, PartitionRequest)>,
    ) -> Reading {
        let asker = Asker::of(context, request);
        let (may_read_followers, nearest) = match asker {
            Asker::Consumer { may_read_followers, .. } => {
                (may_read_followers, Nearest::of(node, &request.rack_id).filter(|_| may_read_followers))
            }
            Asker::Follower { .. } => (false, None),
        };
        let target = |(key, request): (SessionPartition, PartitionRequest)| {
            let topic = match &key.topic {
                SessionTopic::Id(id) => TopicRef::Id(*id),
                SessionTopic::Name(name) => TopicRef::Name(name),
            };
            let partition = match may_read_followers {
                true => node.readable_partition(topic, key.partition),
                false => node.led_partition(topic, key.partition),
            };
            Target { key, request, partition, outcome: Outcome::failed(ErrorCode::None) }
        };
        let limit = node.broker_config.fetch_max_bytes.min(request.max_bytes.max(0));
        Reading {
            targets: wanted.into_iter().map(target).collect(),
            asker,
            nearest,
            limits: match asker {
                Asker::Consumer { .. } => None,
                Asker::Follower { .. } => node.throttle.limits(),
            },
            bytes_min: u32::try_from(request.min_bytes).unwrap_or(0),
            bytes_max: u32::try_from(limit).unwrap_or(0),
            deadline: Instant::now() + Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        }
    }

    async fn finish(mut self, node: &Node) -> Reading {
        loop {
            // Subscribed before reading, so that what comes in meanwhile wakes the wait below.
            let mut watches: Vec<_> = self
                .targets
                .iter()
                .filter_map(|target| target.partition.as_ref().ok())
                .map(|p| p.watch())
                .collect();
            if self.read(node) || watches.is_empty() {
                return self;
            }
            let _waits = Waits::for_more(&node.metrics.waiting.fetch);
            let moved = select_all(watches.iter_mut().map(|watch| Box::pin(watch.changed())));
            tokio::select! {
                _ = moved => {}
                () = tokio::time::sleep_until(self.deadline) => {
                    self.read(node);
                    return self;
                }
                () = node.stopping.cancelled() => return self,
            }
        }
    }

    /// Reads all partitions, the size limit permitting; whether that is an answer.
    fn read(&mut self, node: &Node) -> bool {
        let now = node.wall.now();
        let mut left = self.bytes_max;
        let mut total = 0u32;
        let mut is_notable = false;
        for target in &mut self.targets {
            let (left_for_it, is_first) =
                match target.is_held_back(node, now, self.asker, self.limits.as_ref()) {
                    true => (0, false),
                    false => (left, total == 0),
                };
            target.outcome = target.read(now, self.asker, self.nearest.as_ref(), left_for_it, is_first);
            is_notable |= !target.outcome.error.is_none() || target.outcome.is_notable();
            let len = target.outcome.slice.len();
            left = left.saturating_sub(len);
            total = total.saturating_add(len);
        }
        is_notable || total >= self.bytes_min
    }
}

impl Asker {
    fn of(context: &RequestContext, request: &FetchRequest) -> Asker {
        let (old, new) = (request.replica_id, &request.replica_state);
        match (old > CONSUMER, new.replica_id > CONSUMER) {
            (_, true) => {
                Asker::Follower { broker: BrokerId(new.replica_id), epoch: BrokerEpoch(new.replica_epoch) }
            }
            (true, false) => Asker::Follower { broker: BrokerId(old), epoch: BrokerEpoch(-1) },
            (false, false) => Asker::Consumer {
                isolation_level: request.isolation_level,
                may_read_followers: context.api_version >= FIRST_WITH_FOLLOWERS,
            },
        }
    }
}

impl Target {
    /// Whether a follower gets nothing of this partition now, as it has had its share (KIP-73).
    fn is_held_back(&self, node: &Node, now: Now, asker: Asker, limits: Option<&Limits>) -> bool {
        match (limits, &self.partition, asker) {
            (Some(limits), Ok(partition), Asker::Follower { broker, .. }) => {
                !node.throttle.allows(now.monotonic, limits, partition.id(), broker)
            }
            _ => false,
        }
    }

    /// `is_first`: nothing was read yet for this answer, so that the first batch is given however large it is.
    fn read(
        &self,
        now: Now,
        asker: Asker,
        nearest: Option<&Nearest>,
        bytes_left: u32,
        is_first: bool,
    ) -> Outcome {
        let partition = match &self.partition {
            Ok(partition) => partition,
            Err(error) => return Outcome::failed(*error),
        };
        let bytes_max = u32::try_from(self.request.max_bytes).unwrap_or(0).min(bytes_left);
        match asker {
            Asker::Consumer { isolation_level, may_read_followers } => {
                let is_leading = partition.is_leading();
                let is_readable = is_leading || (may_read_followers && partition.followed().is_some());
                if !is_readable {
                    return Outcome::failed(ErrorCode::NotLeaderOrFollower);
                }
                let bounds = partition.bounds();
                if let Err(error) = check_epoch(self.request.current_leader_epoch, bounds.leader_epoch) {
                    return Outcome::failed(error);
                }
                if let Some(preferred) =
                    nearest.filter(|_| is_leading).and_then(|n| n.replica(partition.id()))
                {
                    let preferred = Some(preferred);
                    return Outcome { preferred, bounds: Some(bounds), ..Outcome::failed(ErrorCode::None) };
                }
                let upto = match isolation_level {
                    READ_COMMITTED => bounds.last_stable,
                    _ => bounds.high_watermark,
                };
                self.slice(partition, upto, bytes_max, is_first)
            }
            Asker::Follower { broker, epoch } => {
                let request = &self.request;
                let fetch = FollowerFetch {
                    broker,
                    broker_epoch: epoch,
                    leader_epoch: request.current_leader_epoch,
                    fetch_offset: request.fetch_offset,
                    last_fetched_epoch: request.last_fetched_epoch,
                    log_start: request.log_start,
                };
                match partition.follower_fetch(now, &fetch) {
                    Ok(FollowerAnswer::Read { upto, .. }) => self.slice(partition, upto, bytes_max, is_first),
                    Ok(FollowerAnswer::Diverging { epoch, end_offset }) => Outcome {
                        diverging: Some((epoch, end_offset)),
                        bounds: Some(partition.bounds()),
                        ..Outcome::failed(ErrorCode::None)
                    },
                    Err(refusal) => Outcome::refused(partition, refusal),
                }
            }
        }
    }

    fn slice(&self, partition: &Partition, upto: Offset, bytes_max: u32, is_first: bool) -> Outcome {
        let bounds = Some(partition.bounds());
        match partition.reader().read(self.request.fetch_offset, upto, bytes_max, is_first) {
            Ok(slice) => Outcome { bounds, slice, ..Outcome::failed(ErrorCode::None) },
            Err(error) => {
                if let ReadError::Io(error) = &error {
                    tracing::error!(partition = %partition.label(), %error, "cannot read");
                }
                Outcome { bounds, ..Outcome::failed(error.code()) }
            }
        }
    }
}

impl Outcome {
    fn failed(error: ErrorCode) -> Outcome {
        Outcome { error, bounds: None, slice: LogSlice::default(), diverging: None, preferred: None }
    }

    /// Whether the asker has to hear of it at once, records or not.
    fn is_notable(&self) -> bool {
        self.diverging.is_some() || self.preferred.is_some()
    }

    fn refused(partition: &Partition, refusal: FetchRefusal) -> Outcome {
        let bounds = matches!(refusal, FetchRefusal::OutOfRange { .. }).then(|| partition.bounds());
        Outcome { bounds, ..Outcome::failed(refusal.code()) }
    }
}

/// A request's idea of the leader epoch against ours; -1 is no idea.
pub(crate) fn check_epoch(requested: LeaderEpoch, current: LeaderEpoch) -> Result<(), ErrorCode> {
    if requested == LeaderEpoch::NONE || requested == current {
        Ok(())
    } else if requested > current {
        Err(ErrorCode::UnknownLeaderEpoch)
    } else {
        Err(ErrorCode::FencedLeaderEpoch)
    }
}

fn session_request(request: &FetchRequest, by_id: bool) -> FetchSessionRequest {
    let topic_of = |name: &Utf8Bytes, id| match by_id {
        true => SessionTopic::Id(TopicId(id)),
        false => SessionTopic::Name(name.as_str().into()),
    };
    let wanted = |topic: &FetchTopic| {
        let key = topic_of(&topic.topic, topic.topic_id);
        topic
            .partitions
            .iter()
            .map(move |partition| {
                let key =
                    SessionPartition { topic: key.clone(), partition: PartitionId(partition.partition) };
                let request = PartitionRequest {
                    fetch_offset: Offset(partition.fetch_offset),
                    log_start: Offset(partition.log_start_offset),
                    max_bytes: partition.partition_max_bytes,
                    current_leader_epoch: LeaderEpoch(partition.current_leader_epoch),
                    last_fetched_epoch: LeaderEpoch(partition.last_fetched_epoch),
                };
                (key, request)
            })
            .collect::<Vec<_>>()
    };
    let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
        let key = topic_of(&topic.topic, topic.topic_id);
        topic
            .partitions
            .iter()
            .map(move |&index| SessionPartition { topic: key.clone(), partition: PartitionId(index) })
    });
    FetchSessionRequest {
        session_id: request.session_id,
        epoch: request.session_epoch,
        uses_topic_ids: by_id,
        is_follower: request.replica_id > CONSUMER || request.replica_state.replica_id > CONSUMER,
        partitions: request.topics.iter().flat_map(wanted).collect(),
        forgotten: forgotten.collect(),
        fresh_id: crate::seams::random_positive(),
    }
}

fn answer(node: &Node, session: &FetchContext, read: Reading) -> Reply<FetchResponse> {
    let Reading { targets, asker, limits, .. } = read;
    let facts: Vec<_> = targets.iter().map(|target| (target.key.clone(), target.outcome.facts())).collect();
    let selected = node.fetch_sessions.lock().answer(session, &facts);
    let mut reply =
        Reply::from(FetchResponse { session_id: session.session_id(), ..FetchResponse::default() });
    for (target, _) in targets.into_iter().zip(selected).filter(|(_, is_selected)| *is_selected) {
        let Target { key, outcome, partition, .. } = target;
        match (&partition, asker) {
            (Ok(partition), Asker::Consumer { .. }) => {
                node.metrics.fetched(partition.topic_name(), outcome.slice.len(), outcome.error);
            }
            (Ok(partition), Asker::Follower { broker, .. }) => {
                let bytes = outcome.slice.len();
                node.metrics.copying.gave(bytes);
                if let Some(limits) = &limits {
                    node.throttle.took(limits, partition.id(), broker, bytes as usize);
                }
            }
            (Err(_), _) => {}
        }
        let data = outcome.into_wire(key.partition, asker, &mut reply);
        topic_response(&mut reply.response, key.topic).partitions.push(data);
    }
    reply
}

/// The part of the response for a topic; a topic's partitions mostly come one after the other.
fn topic_response(response: &mut FetchResponse, topic: SessionTopic) -> &mut FetchableTopicResponse {
    let (name, id) = match topic {
        SessionTopic::Id(id) => (Utf8Bytes::default(), id.0),
        SessionTopic::Name(name) => (Utf8Bytes::from(&*name), types::Uuid::ZERO),
    };
    let is_last = response.responses.last().is_some_and(|last| last.topic == name && last.topic_id == id);
    if !is_last {
        let topic = FetchableTopicResponse { topic: name, topic_id: id, ..FetchableTopicResponse::default() };
        response.responses.push(topic);
    }
    response.responses.last_mut().expect("there is one now")
}

impl Outcome {
    fn facts(&self) -> PartitionAnswer {
        PartitionAnswer {
            error: self.error,
            has_records: !self.slice.is_empty(),
            is_notable: self.is_notable(),
            high_watermark: self.bounds.map_or(Offset(-1), |bounds| bounds.high_watermark),
            log_start: self.bounds.map_or(Offset(-1), |bounds| bounds.log_start),
        }
    }

    fn into_wire(
        self,
        partition: PartitionId,
        asker: Asker,
        reply: &mut Reply<FetchResponse>,
    ) -> PartitionData {
        let is_known =
            |offset: fn(&Bounds) -> Offset| self.bounds.as_ref().map_or(-1, |bounds| offset(bounds).0);
        let records = match self.slice.is_empty() {
            true => Records::default(),
            false => reply.attach(self.slice.clone()),
        };
        PartitionData {
            partition_index: partition.0,
            error_code: self.error.code(),
            high_watermark: is_known(|bounds| bounds.high_watermark),
            last_stable_offset: is_known(|bounds| bounds.last_stable),
            log_start_offset: is_known(|bounds| bounds.log_start),
            diverging_epoch: self.diverging.map_or_else(EpochEndOffset::default, |(epoch, end)| {
                EpochEndOffset { epoch: epoch.0, end_offset: end.0, ..EpochEndOffset::default() }
            }),
            preferred_read_replica: self.preferred.map_or(-1, |preferred| preferred.0),
            // Nothing is ever aborted here; `None` is for those who did not ask.
            aborted_transactions: matches!(asker, Asker::Consumer { isolation_level: READ_COMMITTED, .. })
                .then(Vec::new),
            records: Some(records),
            ..PartitionData::default()
        }
    }
}
