//! One fetcher: asks one leader for many partitions in one request after the other, and has the answers written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::Utf8Bytes;
use protocol::messages::fetch_request::ReplicaState;
use protocol::messages::fetch_response::PartitionData;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::{FetchRequest, FetchResponse, ListOffsetsRequest};
use record::{Batch, Batches};
use replication::{Fetch, FetchAnswer};
use tokio::sync::watch;
use types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition};

use super::connection::{LeaderConnection, PeerError};
use super::fetch_session::FetchSession;
use super::replica_fetchers::ReplicaFetchers;
use crate::partitions::Partition;

/// More than a fetch waits for records: by then a leader that lives has answered.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);
/// A fetcher with nothing to ask looks again at the latest then.
const IDLE: Duration = Duration::from_millis(500);
/// Up to so much is written by the task that received it, as a producer's batches are: about a millisecond's work.
const INLINE_BYTES_MAX: usize = 1 << 20;
/// The timestamps that ask for the ends of a log.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// The partitions of one fetcher.
pub(super) type Followed = Arc<Vec<Arc<Partition>>>;

/// Fetches from one leader.
#[derive(Debug)]
pub(super) struct Fetcher {
    pub(super) leader: BrokerId,
    pub(super) followed: watch::Receiver<Followed>,
    pub(super) shared: Arc<ReplicaFetchers>,
    connection: Option<Box<dyn LeaderConnection>>,
    session: FetchSession,
    /// Said once, not with every attempt.
    is_failing: bool,
}

/// What is asked for one partition.
type Asked = BTreeMap<TopicPartition, (Arc<Partition>, Fetch)>;

/// What one partition is told.
struct Told {
    partition: Arc<Partition>,
    fetch: Fetch,
    answer: FetchAnswer,
    batches: Vec<Batch>,
}

impl Fetcher {
    pub(super) fn new(
        leader: BrokerId,
        followed: watch::Receiver<Followed>,
        shared: Arc<ReplicaFetchers>,
    ) -> Fetcher {
        Fetcher {
            leader,
            followed,
            shared,
            connection: None,
            session: FetchSession::default(),
            is_failing: false,
        }
    }

    /// Runs until it is dropped: everything that it waits for can be given up.
    pub(super) async fn run(mut self) {
        let mut stirred = self.shared.partitions.errands().stirred();
        let mut registration = self.shared.registration.clone();
        loop {
            // Seen before looking, so that what happens meanwhile ends the wait.
            stirred.borrow_and_update();
            let epoch = *registration.borrow_and_update();
            let asked = self.next_fetches();
            let Some(epoch) = epoch.filter(|_| !asked.is_empty()) else {
                self.rest(&mut stirred, &mut registration).await;
                continue;
            };
            let mut followed = self.followed.clone();
            let answer = tokio::select! {
                answer = self.exchange(&asked, epoch) => answer,
                // A partition that has just come is not to wait until the leader has news of the others.
                Ok(()) = followed.changed() => {
                    self.disconnect();
                    continue;
                }
            };
            match answer {
                Ok(response) => {
                    if std::mem::take(&mut self.is_failing) {
                        self.shared.suspects.answered(self.leader);
                    }
                    self.take_in(asked, response).await;
                }
                Err(error) => {
                    self.shared.copying.failed(self.leader);
                    if !std::mem::replace(&mut self.is_failing, true) {
                        tracing::info!(leader = %self.leader, %error, "cannot fetch from a leader");
                        self.shared.suspects.broke(self.leader);
                    }
                    self.disconnect();
                    self.tell_all(asked, ErrorCode::NetworkException).await;
                    tokio::time::sleep(self.shared.settings.backoff).await;
                }
            }
        }
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.session.restart();
    }

    fn next_fetches(&mut self) -> Asked {
        let (now, leader) = (self.shared.wall.now(), self.leader);
        let followed = self.followed.borrow_and_update().clone();
        let (throttle, me) = (&self.shared.throttle, self.shared.me());
        let limits = throttle.limits();
        let may_ask = |partition: &&Arc<Partition>| {
            limits.as_ref().is_none_or(|limits| throttle.allows(now.monotonic, limits, partition.id(), me))
        };
        let fetches = followed.iter().filter(may_ask).filter_map(|partition| {
            let fetch = partition.next_fetch(now).filter(|fetch| fetch.leader == leader)?;
            Some((partition.id(), (Arc::clone(partition), fetch)))
        });
        fetches.collect()
    }

    async fn rest(
        &mut self,
        stirred: &mut watch::Receiver<()>,
        registration: &mut watch::Receiver<Option<BrokerEpoch>>,
    ) {
        let followed = self.followed.borrow().clone();
        let until = followed.iter().filter_map(|partition| partition.rests_until()).min();
        let idle = tokio::time::Instant::now() + IDLE;
        let until = until.map_or(idle, |until| self.shared.wall.instant(until).min(idle));
        tokio::select! {
            _ = stirred.changed() => {}
            _ = registration.changed() => {}
            _ = self.followed.changed() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    /// How long the leader may wait for records: no longer than the next of the others rests.
    fn patience(&self) -> Duration {
        let followed = self.followed.borrow();
        let rested = followed.iter().filter_map(|partition| partition.rests_until()).min();
        let left = rested.map(|until| until.0.saturating_sub(self.shared.wall.now().monotonic.0));
        left.map_or(self.shared.settings.wait_max, |left| left.min(self.shared.settings.wait_max))
    }

    async fn exchange(&mut self, asked: &Asked, epoch: BrokerEpoch) -> Result<FetchResponse, PeerError> {
        let settings = self.shared.settings;
        let mut request = FetchRequest {
            replica_state: ReplicaState {
                replica_id: self.shared.me().0,
                replica_epoch: epoch.0,
                ..ReplicaState::default()
            },
            max_wait_ms: i32::try_from(self.patience().as_millis()).unwrap_or(i32::MAX),
            min_bytes: settings.bytes_min,
            max_bytes: settings.response_bytes_max,
            ..FetchRequest::default()
        };
        let wanted: Vec<_> = asked.iter().map(|(id, (_, fetch))| (*id, *fetch)).collect();
        self.session.fill(&mut request, &wanted, settings.bytes_max);
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.shared.leaders.connect(self.leader).await?,
        };
        let response = connection.fetch(request, settings.wait_max + ANSWER_MARGIN).await?;
        self.connection = Some(connection);
        self.session.answered(response.session_id, response.error_code);
        Ok(response)
    }

    async fn take_in(&mut self, mut asked: Asked, response: FetchResponse) {
        if response.error_code != ErrorCode::None.code() {
            // The session is gone, mostly; the next request makes another. Who asked rests a little.
            return self.tell_all(asked, error_of(response.error_code)).await;
        }
        let mut told = Vec::new();
        let limits = self.shared.throttle.limits();
        for topic in response.responses {
            for data in topic.partitions {
                let id = TopicPartition {
                    topic: TopicId(topic.topic_id),
                    partition: PartitionId(data.partition_index),
                };
                let Some((partition, fetch)) = asked.remove(&id) else { continue };
                let (answer, batches) = match error_of(data.error_code) {
                    ErrorCode::OffsetOutOfRange => (self.out_of_range(&partition, &fetch).await, Vec::new()),
                    _ => read(data),
                };
                let one = Told { partition, fetch, answer, batches };
                let bytes = one.bytes();
                if let Some(limits) = &limits {
                    self.shared.throttle.took(limits, id, self.shared.me(), bytes);
                }
                self.shared.copying.took_in(one.records(), bytes as u64);
                told.push(one);
            }
        }
        // Those that the answer leaves out have nothing new.
        self.tell(told).await;
    }

    /// The answer says that there is nothing, not what there is.
    async fn out_of_range(&self, partition: &Partition, fetch: &Fetch) -> FetchAnswer {
        match (
            self.ask_offset(partition, fetch, EARLIEST).await,
            self.ask_offset(partition, fetch, LATEST).await,
        ) {
            (Ok(log_start), Ok(log_end)) => FetchAnswer::OutOfRange { log_start, log_end },
            (Err(error), _) | (_, Err(error)) => FetchAnswer::Failed(error),
        }
    }

    async fn ask_offset(
        &self,
        partition: &Partition,
        fetch: &Fetch,
        timestamp: i64,
    ) -> Result<Offset, ErrorCode> {
        let connection = self.connection.as_ref().ok_or(ErrorCode::NetworkException)?;
        let asked = ListOffsetsPartition {
            partition_index: partition.id().partition.0,
            current_leader_epoch: fetch.leader_epoch.0,
            timestamp,
            ..ListOffsetsPartition::default()
        };
        let name = Utf8Bytes::from(&**partition.topic_name());
        let topic = ListOffsetsTopic { name, partitions: vec![asked], ..ListOffsetsTopic::default() };
        let request = ListOffsetsRequest {
            replica_id: self.shared.me().0,
            topics: vec![topic],
            ..ListOffsetsRequest::default()
        };
        let response = connection.list_offsets(request, ANSWER_MARGIN).await;
        let answer = response.map_err(|_| ErrorCode::NetworkException)?;
        let answer = answer.topics.first().and_then(|topic| topic.partitions.first());
        match answer.map(|answer| (error_of(answer.error_code), answer.offset)) {
            Some((ErrorCode::None, offset)) if offset >= 0 => Ok(Offset(offset)),
            Some((ErrorCode::None, _)) | None => Err(ErrorCode::UnknownServerError),
            Some((error, _)) => Err(error),
        }
    }

    async fn tell_all(&self, asked: Asked, error: ErrorCode) {
        let told = asked.into_values().map(|(partition, fetch)| Told {
            partition,
            fetch,
            answer: FetchAnswer::Failed(error),
            batches: Vec::new(),
        });
        self.tell(told.collect()).await;
    }

    async fn tell(&self, told: Vec<Told>) {
        if told.is_empty() {
            return;
        }
        let wall = self.shared.wall;
        // A thread of its own for each small answer would cost more than writing it.
        let is_quick = told.iter().all(Told::is_appended)
            && told.iter().map(Told::bytes).sum::<usize>() <= INLINE_BYTES_MAX;
        let work = move || {
            for Told { partition, fetch, answer, batches } in told {
                partition.fetched(wall.now(), fetch.id, answer, &batches);
            }
        };
        match is_quick {
            true => work(),
            false => self.shared.blocking.run(work).await,
        }
    }
}

impl Told {
    /// Whether nothing is done but writing to the end of the log, as for a producer.
    fn is_appended(&self) -> bool {
        matches!(self.answer, FetchAnswer::Records { .. })
    }

    fn records(&self) -> u64 {
        let counts = self.batches.iter().map(|batch| batch.header().summary().record_count);
        counts.map(|count| u64::from(count.unsigned_abs())).sum()
    }

    fn bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes().len()).sum()
    }
}

fn error_of(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

/// What a partition's part of an answer says, with its whole batches whose checksum is right.
fn read(data: PartitionData) -> (FetchAnswer, Vec<Batch>) {
    let error = error_of(data.error_code);
    if !error.is_none() {
        return (FetchAnswer::Failed(error), Vec::new());
    }
    if data.diverging_epoch.end_offset >= 0 {
        let epoch = LeaderEpoch(data.diverging_epoch.epoch);
        let end_offset = Offset(data.diverging_epoch.end_offset);
        return (FetchAnswer::Diverging { epoch, end_offset }, Vec::new());
    }
    let bytes = data.records.and_then(|records| records.inline().cloned()).unwrap_or_default();
    let has_bytes = !bytes.is_empty();
    let batches: Vec<Batch> =
        Batches::new(bytes).map_while(Result::ok).take_while(Batch::is_intact).collect();
    if has_bytes && batches.is_empty() {
        return (FetchAnswer::Failed(ErrorCode::CorruptMessage), batches);
    }
    let answer = FetchAnswer::Records {
        batches: batches.iter().map(|batch| batch.header().summary()).collect(),
        high_watermark: Offset(data.high_watermark),
        log_start: Offset(data.log_start_offset),
    };
    (answer, batches)
}
