//! One partition that this node leads: carries out what `replication::Leader` decides.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use config::TopicConfig;
use record::{BatchHeader, BatchSummary, ProducerSnapshotEntry, patched_prefix};
use replication::{Acks, Appended, Bounds, Effect, Event, Leader, WaiterId};
use storage::{Checkpoint, CheckpointKind, Log, LogReader};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use types::{ErrorCode, LeaderEpoch, Monotonic, Now, Offset, TopicPartition};

use super::flusher::Flusher;
use crate::seams::Wall;

type Answer = Result<Appended, ErrorCode>;

/// A partition's log, its leader and those who wait for it.
#[derive(Debug)]
pub(crate) struct Partition {
    topic_name: Arc<str>,
    id: TopicPartition,
    reader: Arc<LogReader>,
    /// What readers may see, published after every change, so that a reader never takes the lock.
    bounds: watch::Sender<Bounds>,
    flusher: Arc<Flusher>,
    shell: Mutex<Shell>,
}

/// A produce request's answer: there, or on its way.
#[derive(Debug)]
pub(crate) enum AppendTicket {
    /// Decided.
    Done(Answer),
    /// It comes once the high watermark has passed the batch.
    Waiting(oneshot::Receiver<Answer>),
}

impl AppendTicket {
    /// Waits for the answer, at most until the deadline: then the leader says what became of it.
    pub(crate) async fn wait(self, partition: &Partition, wall: &Wall, deadline: Instant) -> Answer {
        let mut answer = match self {
            AppendTicket::Done(answer) => return answer,
            AppendTicket::Waiting(answer) => answer,
        };
        match tokio::time::timeout_at(deadline, &mut answer).await {
            Ok(answer) => answer.unwrap_or(Err(ErrorCode::NotLeaderOrFollower)),
            Err(_) => {
                partition.tick(wall.now());
                answer.await.unwrap_or(Err(ErrorCode::RequestTimedOut))
            }
        }
    }
}

/// A batch to append, and how.
#[derive(Debug)]
pub(crate) struct Append {
    /// What the batch is; its base offset has no meaning yet.
    pub(crate) batch: BatchSummary,
    /// Its bytes, as they came.
    pub(crate) bytes: Bytes,
    /// When to answer.
    pub(crate) acks: Acks,
    /// How long to wait for the answer.
    pub(crate) timeout: Duration,
}

/// What the lock holds.
#[derive(Debug)]
struct Shell {
    leader: Leader,
    /// Absent once the partition is closed.
    log: Option<Log>,
    config: Arc<TopicConfig>,
    waiters: BTreeMap<WaiterId, oneshot::Sender<Answer>>,
    next_waiter: u64,
    /// Everything before is on the platter, as far as a disk keeps its promises.
    synced_end: Offset,
    flush_is_requested: bool,
    /// Since when there is something that the disk may not have (`flush.ms`).
    dirty_since: Option<Monotonic>,
}

impl Partition {
    /// A partition whose log is open and whose leader has taken in what recovery found.
    pub(crate) fn new(
        topic_name: Arc<str>,
        id: TopicPartition,
        log: Log,
        leader: Leader,
        config: Arc<TopicConfig>,
        flusher: Arc<Flusher>,
    ) -> Partition {
        let bounds = leader.bounds();
        Partition {
            topic_name,
            id,
            reader: log.reader(),
            bounds: watch::Sender::new(bounds),
            flusher,
            shell: Mutex::new(Shell {
                leader,
                log: Some(log),
                config,
                waiters: BTreeMap::new(),
                next_waiter: 0,
                synced_end: bounds.log_end,
                flush_is_requested: false,
                dirty_since: None,
            }),
        }
    }

    /// The topic's name, for people and for the wire.
    pub(crate) fn topic_name(&self) -> &Arc<str> {
        &self.topic_name
    }

    /// The partition's identity.
    pub(crate) fn id(&self) -> TopicPartition {
        self.id
    }

    /// The epoch in which this node leads.
    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.bounds().leader_epoch
    }

    /// What readers may see now.
    pub(crate) fn bounds(&self) -> Bounds {
        *self.bounds.borrow()
    }

    /// What readers may see, as it changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Bounds> {
        self.bounds.subscribe()
    }

    /// The way to the records.
    pub(crate) fn reader(&self) -> &Arc<LogReader> {
        &self.reader
    }

    /// The topic's configuration.
    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        self.lock().config.clone()
    }

    /// Whether it takes records; a log whose disk failed does not.
    pub(crate) fn is_online(&self) -> bool {
        self.lock().log.is_some()
    }

    /// How many idempotent producers are remembered.
    pub(crate) fn producer_count(&self) -> usize {
        self.lock().leader.producer_count()
    }

    /// Decides on a batch and, if it is new, writes it. Does not wait: a caller that appends before its first await
    /// keeps the order of its connection.
    pub(crate) fn append(self: &Arc<Self>, now: Now, append: Append) -> AppendTicket {
        let mut shell = self.lock();
        let waiter = WaiterId(shell.next_waiter);
        shell.next_waiter += 1;
        let Append { batch, bytes, acks, timeout } = append;
        let mut effects = Vec::with_capacity(2);
        let event = Event::Append { batch: batch.clone(), acks, waiter, timeout };
        shell.leader.handle(now, event, &mut effects);
        if let [Effect::Write { base_offset, leader_epoch }] = effects[..] {
            effects.clear();
            let batch = BatchSummary { base_offset, leader_epoch, ..batch };
            self.write(&mut shell, now, batch, &bytes, &mut effects);
        }
        let answer = shell.answer(effects, waiter);
        self.publish(&shell);
        match answer {
            Some(answer) => AppendTicket::Done(answer),
            None => {
                let (sender, receiver) = oneshot::channel();
                shell.waiters.insert(waiter, sender);
                AppendTicket::Waiting(receiver)
            }
        }
    }

    /// Appends a batch that this node made.
    pub(crate) fn append_as_leader(
        self: &Arc<Self>,
        now: Now,
        bytes: Bytes,
        timeout: Duration,
    ) -> AppendTicket {
        let header = BatchHeader::parse(&bytes).expect("a batch that this node built");
        self.append(now, Append { batch: header.summary(), bytes, acks: Acks::All, timeout })
    }

    /// Tells those whose time is over so.
    pub(crate) fn tick(&self, now: Now) {
        self.handle(now, Event::Tick);
    }

    /// Takes a changed topic configuration.
    pub(crate) fn configure(&self, now: Now, config: Arc<TopicConfig>) {
        let mut shell = self.lock();
        if let Some(log) = &mut shell.log {
            log.configure(super::log_config(&self.topic_name, &config));
        }
        shell.config = config.clone();
        let mut effects = Vec::new();
        shell.leader.handle(now, Event::Configured(super::leader_config(&config)), &mut effects);
        shell.answer_all(effects);
        self.publish(&shell);
    }

    /// Deletes the records before `to`; `None` is the high watermark. Gives back the new log start.
    pub(crate) fn delete_records(&self, now: Now, to: Option<Offset>) -> Result<Offset, ErrorCode> {
        let mut shell = self.lock();
        let bounds = shell.leader.bounds();
        let to = to.unwrap_or(bounds.high_watermark);
        if to < Offset::ZERO || to > bounds.high_watermark {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let log = shell.log.as_mut().ok_or(ErrorCode::NotLeaderOrFollower)?;
        log.delete_records_before(to).map_err(|error| {
            tracing::error!(partition = %self.label(), %error, "cannot delete records");
            ErrorCode::KafkaStorageError
        })?;
        self.log_start_moved(&mut shell, now);
        Ok(shell.leader.bounds().log_start)
    }

    /// The epoch of the record at `offset`, as far as it is known.
    pub(crate) fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.lock().log.as_ref()?.epoch_at(offset)
    }

    /// The largest epoch up to `asked`, and where it ended.
    pub(crate) fn epoch_end_offset(
        &self,
        asked: LeaderEpoch,
    ) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
        let shell = self.lock();
        let log = shell.log.as_ref().ok_or(ErrorCode::NotLeaderOrFollower)?;
        Ok(log.epoch_end_offset(asked))
    }

    /// Retention by time and by size, and producers that have not written for `producer_expiration`.
    pub(crate) fn maintain(&self, now: Now, producer_expiration: Duration) {
        let mut shell = self.lock();
        shell.leader.expire_producers(now, producer_expiration);
        let high_watermark = shell.leader.bounds().high_watermark;
        let Shell { leader, log: Some(log), .. } = &mut *shell else { return };
        match log.apply_retention(now.wall, high_watermark, &|| leader.producer_snapshot()) {
            Ok(deleted) if deleted.segments > 0 => {
                tracing::info!(partition = %self.label(), segments = deleted.segments, "retention deleted segments");
                self.log_start_moved(&mut shell, now);
            }
            Ok(_) => {}
            Err(error) => tracing::error!(partition = %self.label(), %error, "retention failed"),
        }
    }

    /// A checkpoint that is due because enough was appended or `flush.ms` has passed; its work needs no lock.
    pub(crate) fn begin_due_checkpoint(&self, now: Now) -> Option<Checkpoint> {
        let mut shell = self.lock();
        let flush_ms = u64::try_from(shell.config.flush_ms).unwrap_or(u64::MAX);
        let Shell { leader, log: Some(log), dirty_since, .. } = &mut *shell else { return None };
        if !log.is_dirty() {
            *dirty_since = None;
            return None;
        }
        let since = *dirty_since.get_or_insert(now.monotonic);
        let is_flush_due = now.monotonic.since(since) >= Duration::from_millis(flush_ms);
        let kind = if is_flush_due { CheckpointKind::Sync } else { log.needs_checkpoint()? };
        if kind == CheckpointKind::Sync {
            *dirty_since = None;
        }
        Some(log.begin_checkpoint(kind, &leader.producer_snapshot()))
    }

    /// Whether clients may read but not write it.
    pub(crate) fn is_internal(&self) -> bool {
        super::is_internal(&self.topic_name)
    }

    /// `TOPIC-N`, for logs.
    pub(crate) fn label(&self) -> String {
        format!("{}-{}", self.topic_name, self.id.partition)
    }

    /// Everything that is written now is made durable; whoever waited for that is answered. Blocks.
    pub(crate) fn flush(&self, now: Now) {
        let (handle, end) = {
            let mut shell = self.lock();
            shell.flush_is_requested = false;
            let Some(log) = &shell.log else { return };
            (log.sync_handle(), shell.leader.bounds().log_end)
        };
        // Outside the lock: appends go on while the disk works, and the next flush takes them together.
        if let Err(error) = handle.sync() {
            tracing::error!(partition = %self.label(), %error, "fsync failed");
            return self.fail(now);
        }
        let mut shell = self.lock();
        shell.synced_end = shell.synced_end.max(end);
        let mut effects = Vec::new();
        shell.leader.handle(now, Event::Durable { end }, &mut effects);
        shell.answer_all(effects);
        self.publish(&shell);
    }

    /// Stops leading and closes the log, with a producer snapshot at its end. Blocks.
    pub(crate) fn close(&self, now: Now) {
        let Some((log, snapshot)) = self.resign(now, ErrorCode::NotLeaderOrFollower) else { return };
        if let Err(error) = log.close(&snapshot) {
            tracing::error!(partition = %self.label(), %error, "cannot close the log");
        }
    }

    /// Stops leading for good, because the topic is gone; the caller deletes the log.
    pub(crate) fn take_log(&self, now: Now) -> Option<Log> {
        self.resign(now, ErrorCode::UnknownTopicOrPartition).map(|(log, _)| log)
    }

    /// A disk that failed cannot be trusted again before a restart has looked at it.
    fn fail(&self, now: Now) {
        self.resign(now, ErrorCode::KafkaStorageError);
    }

    fn resign(&self, now: Now, error: ErrorCode) -> Option<(Log, Vec<ProducerSnapshotEntry>)> {
        let mut shell = self.lock();
        let log = shell.log.take()?;
        let mut effects = Vec::new();
        shell.leader.handle(now, Event::Resigned { error }, &mut effects);
        shell.answer_all(effects);
        self.publish(&shell);
        Some((log, shell.leader.producer_snapshot()))
    }

    /// Carries out `Effect::Write`.
    fn write(
        self: &Arc<Self>,
        shell: &mut Shell,
        now: Now,
        batch: BatchSummary,
        bytes: &Bytes,
        effects: &mut Vec<Effect>,
    ) {
        let Shell { leader, log, .. } = shell;
        let Some(log) = log else {
            return leader.handle(now, Event::WriteFailed { error: ErrorCode::KafkaStorageError }, effects);
        };
        let prefix = patched_prefix(&batch, batch.base_offset, batch.leader_epoch);
        let written =
            log.append(&batch, &prefix, &bytes[prefix.len()..], now.wall, &|| leader.producer_snapshot());
        if let Err(error) = written {
            tracing::error!(partition = %self.label(), %error, "cannot append");
            return leader.handle(now, Event::WriteFailed { error: ErrorCode::KafkaStorageError }, effects);
        }
        leader.handle(now, Event::Written { batch }, effects);
        let end = leader.bounds().log_end;
        if shell.is_flush_due(end) {
            if !std::mem::replace(&mut shell.flush_is_requested, true) {
                self.flusher.request(self.clone());
            }
            return;
        }
        shell.leader.handle(now, Event::Durable { end }, effects);
    }

    fn log_start_moved(&self, shell: &mut Shell, now: Now) {
        let to = self.reader.log_start();
        shell.leader.handle(now, Event::LogStartMoved { to }, &mut Vec::new());
        self.publish(shell);
    }

    fn lock(&self) -> MutexGuard<'_, Shell> {
        // A panic under the lock is a bug in the pure leader or the log; what they hold is still what is on disk.
        self.shell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, shell: &Shell) {
        let bounds = shell.leader.bounds();
        self.bounds.send_if_modified(|published| {
            let is_changed = *published != bounds;
            *published = bounds;
            is_changed
        });
    }

    fn handle(&self, now: Now, event: Event) {
        let mut shell = self.lock();
        let mut effects = Vec::new();
        shell.leader.handle(now, event, &mut effects);
        shell.answer_all(effects);
        self.publish(&shell);
    }
}

impl Shell {
    /// Whether `flush.messages` asks for an fsync before what ends at `end` counts as durable.
    fn is_flush_due(&self, end: Offset) -> bool {
        end.since(self.synced_end) >= self.config.flush_messages
    }

    /// Sends the answers of others and gives back the answer of `own`, if it is among them.
    fn answer(&mut self, effects: Vec<Effect>, own: WaiterId) -> Option<Answer> {
        let mut answer = None;
        for effect in effects {
            let Effect::Complete { waiter, result } = effect else {
                unreachable!("only an append leads to a write, and it was carried out")
            };
            if waiter == own {
                answer = Some(result);
            } else if let Some(sender) = self.waiters.remove(&waiter) {
                // Nobody listens any more when the client has hung up.
                sender.send(result).ok();
            }
        }
        answer
    }

    fn answer_all(&mut self, effects: Vec<Effect>) {
        self.answer(effects, WaiterId(u64::MAX));
    }
}
