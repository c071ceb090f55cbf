//! Fetch: which partitions a request means (KIP-227 sessions), how long it waits, and what its answer holds. Records
//! travel as ranges of files; nothing here looks at them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::select_all;
use protocol::messages::fetch_request::{FetchRequest, FetchTopic};
use protocol::messages::fetch_response::{FetchResponse, FetchableTopicResponse, PartitionData};
use protocol::{Records, Utf8Bytes};
use replication::{
    Bounds, FetchContext, FetchSessionRequest, PartitionAnswer, PartitionRequest, SessionPartition,
    SessionTopic,
};
use storage::{LogSlice, ReadError};
use tokio::time::Instant;
use types::{ErrorCode, LeaderEpoch, Offset, PartitionId, TopicId};

use super::{Reply, RequestContext};
use crate::node::Node;
use crate::partitions::{Partition, TopicRef};

/// From this version on topics come by id (KIP-516).
const FIRST_WITH_TOPIC_IDS: i16 = 13;
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
    let read = Reading::new(node, &request, wanted).finish(node).await;
    answer(node, &session, read, request.isolation_level)
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
}

/// A request while it waits.
struct Reading {
    targets: Vec<Target>,
    isolation_level: i8,
    bytes_min: u32,
    bytes_max: u32,
    deadline: Instant,
}

impl Reading {
    fn new(
        node: &Node,
        request: &FetchRequest,
        wanted: Vec<(SessionPartition, PartitionRequest)>,
    ) -> Reading {
        let follower = request.replica_id >= 0 || request.replica_state.replica_id >= 0;
        let target = |(key, request): (SessionPartition, PartitionRequest)| {
            let topic = match &key.topic {
                SessionTopic::Id(id) => TopicRef::Id(*id),
                SessionTopic::Name(name) => TopicRef::Name(name),
            };
            let partition = match follower {
                // No broker replicates from another one yet, so whoever says that it does is mistaken.
                true => Err(ErrorCode::NotLeaderOrFollower),
                false => node.led_partition(topic, key.partition),
            };
            Target { key, request, partition, outcome: Outcome::failed(ErrorCode::None) }
        };
        let limit = node.broker_config.fetch_max_bytes.min(request.max_bytes.max(0));
        Reading {
            targets: wanted.into_iter().map(target).collect(),
            isolation_level: request.isolation_level,
            bytes_min: u32::try_from(request.min_bytes).unwrap_or(0),
            bytes_max: u32::try_from(limit).unwrap_or(0),
            deadline: Instant::now() + Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        }
    }

    async fn finish(mut self, node: &Node) -> Vec<Target> {
        loop {
            // Subscribed before reading, so that what comes in meanwhile wakes the wait below.
            let mut watches: Vec<_> = self
                .targets
                .iter()
                .filter_map(|target| target.partition.as_ref().ok())
                .map(|p| p.watch())
                .collect();
            if self.read() || watches.is_empty() {
                return self.targets;
            }
            let moved = select_all(watches.iter_mut().map(|watch| Box::pin(watch.changed())));
            tokio::select! {
                _ = moved => {}
                () = tokio::time::sleep_until(self.deadline) => {
                    self.read();
                    return self.targets;
                }
                () = node.stopping.cancelled() => return self.targets,
            }
        }
    }

    /// Reads all partitions, the size limit permitting; whether that is an answer.
    fn read(&mut self) -> bool {
        let mut left = self.bytes_max;
        let mut total = 0u32;
        let mut is_notable = false;
        for target in &mut self.targets {
            target.outcome = target.read(self.isolation_level, left, total == 0);
            is_notable |= !target.outcome.error.is_none();
            let len = target.outcome.slice.len();
            left = left.saturating_sub(len);
            total = total.saturating_add(len);
        }
        is_notable || total >= self.bytes_min
    }
}

impl Target {
    /// `is_first`: nothing was read yet for this answer, so that the first batch is given however large it is.
    fn read(&self, isolation_level: i8, bytes_left: u32, is_first: bool) -> Outcome {
        let partition = match &self.partition {
            Ok(partition) => partition,
            Err(error) => return Outcome::failed(*error),
        };
        let bounds = partition.bounds();
        if let Err(error) = check_epoch(self.request.current_leader_epoch, bounds.leader_epoch) {
            return Outcome::failed(error);
        }
        let upto = match isolation_level {
            READ_COMMITTED => bounds.last_stable,
            _ => bounds.high_watermark,
        };
        let bytes_max = u32::try_from(self.request.max_bytes).unwrap_or(0).min(bytes_left);
        match partition.reader().read(self.request.fetch_offset, upto, bytes_max, is_first) {
            Ok(slice) => Outcome { error: ErrorCode::None, bounds: Some(bounds), slice },
            Err(error) => {
                if let ReadError::Io(error) = &error {
                    tracing::error!(partition = %partition.label(), %error, "cannot read");
                }
                Outcome { error: error.code(), bounds: Some(bounds), slice: LogSlice::default() }
            }
        }
    }
}

impl Outcome {
    fn failed(error: ErrorCode) -> Outcome {
        Outcome { error, bounds: None, slice: LogSlice::default() }
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
        fresh_id: super::random_positive(),
    }
}

fn answer(
    node: &Node,
    session: &FetchContext,
    targets: Vec<Target>,
    isolation_level: i8,
) -> Reply<FetchResponse> {
    let facts: Vec<_> = targets.iter().map(|target| (target.key.clone(), target.outcome.facts())).collect();
    let selected = node.fetch_sessions.lock().answer(session, &facts);
    let mut reply =
        Reply::from(FetchResponse { session_id: session.session_id(), ..FetchResponse::default() });
    for (target, _) in targets.into_iter().zip(selected).filter(|(_, is_selected)| *is_selected) {
        let Target { key, outcome, partition, .. } = target;
        if let Ok(partition) = &partition {
            node.metrics.fetched(partition.topic_name(), outcome.slice.len(), outcome.error);
        }
        let data = outcome.into_wire(key.partition, isolation_level, &mut reply);
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
            is_notable: false,
            high_watermark: self.bounds.map_or(Offset(-1), |bounds| bounds.high_watermark),
            log_start: self.bounds.map_or(Offset(-1), |bounds| bounds.log_start),
        }
    }

    fn into_wire(
        self,
        partition: PartitionId,
        isolation_level: i8,
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
            // Nothing is ever aborted here; `None` is for those who did not ask.
            aborted_transactions: (isolation_level == READ_COMMITTED).then(Vec::new),
            records: Some(records),
            ..PartitionData::default()
        }
    }
}
