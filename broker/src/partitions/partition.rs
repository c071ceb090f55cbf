//! One replica of a partition on this node: the lock around its log and the machine that leads or follows, and what
//! both have in common. Who leads is in `leading`, who follows in `following`.

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use config::TopicConfig;
use record::ProducerSnapshotEntry;
use replication::{
    Bounds, Effect, Event, Follower, FollowerEvent, Leader, PartitionState, ReplicaLog, WaiterId,
};
use storage::{Checkpoint, CheckpointKind, Log, LogReader};
use tokio::sync::{oneshot, watch};
use types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Monotonic, Now, Offset, TopicPartition};

pub(super) use following::producers;
pub(crate) use leading::{Append, AppendTicket};

use published::{Followers, Published};

use super::role::Role;
use super::{Errands, LogDir, log_config};
use crate::sabotage::{Rule, is_broken};
use leading::Answer;

mod cleaning;
mod following;
mod leading;
mod published;

/// A replica's log, its role and those who wait for it.
#[derive(Debug)]
pub(crate) struct Partition {
    topic_name: Arc<str>,
    id: TopicPartition,
    reader: Arc<LogReader>,
    /// What readers may see, published after every change, so that a reader never takes the lock.
    bounds: watch::Sender<Bounds>,
    /// Published like the bounds.
    published: Published,
    log_dir: Arc<LogDir>,
    errands: Arc<Errands>,
    shell: Mutex<Shell>,
}

/// What the metadata image says of a partition, as far as a replica has to know.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    /// Who leads, who replicates, who is in sync.
    pub(crate) state: PartitionState,
    /// Of each replica its registered epoch, if it may be in sync.
    pub(crate) eligible: Vec<(BrokerId, Option<BrokerEpoch>)>,
}

/// What the lock holds.
#[derive(Debug)]
struct Shell {
    role: Role,
    /// Absent once the partition is closed.
    log: Option<Log>,
    config: Arc<TopicConfig>,
    waiters: BTreeMap<WaiterId, oneshot::Sender<Answer>>,
    next_waiter: u64,
    /// Everything before is on the platter, as far as a disk keeps its promises.
    synced_end: Offset,
    /// An fsync that began before a truncation says nothing of what was written after it.
    truncations: u64,
    flush: Flush,
    /// Since when there is something that the disk may not have (`flush.ms`).
    dirty_since: Option<Monotonic>,
    /// The log's end when it was looked at last for files to close.
    end_at_last_look: Offset,
    /// What is published of the followers.
    followers: Followers,
}

/// Whether an fsync of the log is asked for or on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flush {
    Idle,
    Requested,
    /// Whoever asks `again` meanwhile goes with the next.
    Running {
        again: bool,
    },
}

impl Partition {
    /// A replica whose log is open. It follows nobody until it is told what the image says.
    pub(super) fn new(
        topic_name: Arc<str>,
        id: TopicPartition,
        log_dir: Arc<LogDir>,
        log: Log,
        known: ReplicaLog,
        config: Arc<TopicConfig>,
        errands: Arc<Errands>,
    ) -> Partition {
        let follower =
            Follower::new(None, LeaderEpoch::NONE, errands.settings.follower_config(&config), known);
        let bounds = follower.bounds();
        Partition {
            topic_name,
            id,
            reader: log.reader(),
            bounds: watch::Sender::new(bounds),
            published: Published::new(config.min_insync_replicas),
            log_dir,
            errands,
            shell: Mutex::new(Shell {
                role: Role::Following(follower),
                log: Some(log),
                config,
                waiters: BTreeMap::new(),
                next_waiter: 0,
                synced_end: bounds.log_end,
                truncations: 0,
                flush: Flush::Idle,
                dirty_since: None,
                end_at_last_look: bounds.log_end,
                followers: None,
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

    /// The directory that its log lies in.
    pub(crate) fn log_dir(&self) -> &Arc<LogDir> {
        &self.log_dir
    }

    /// The newest leader epoch that this replica has heard of.
    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.bounds().leader_epoch
    }

    /// Whether this node leads it.
    pub(crate) fn is_leading(&self) -> bool {
        self.published.is_leading.load(Ordering::Acquire)
    }

    /// Whom this replica follows; nobody if it leads, or there is no leader, or its disk failed.
    pub(crate) fn followed(&self) -> Option<BrokerId> {
        let shell = self.lock();
        shell.log.as_ref().and_then(|_| shell.role.followed())
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

    /// Whether its log is open; one whose disk failed is not.
    pub(crate) fn is_online(&self) -> bool {
        self.published.is_online.load(Ordering::Acquire)
    }

    /// How many idempotent producers are remembered.
    pub(crate) fn producer_count(&self) -> usize {
        self.published.producers.load(Ordering::Relaxed)
    }

    /// `min.insync.replicas` of its topic.
    pub(crate) fn min_insync_replicas(&self) -> usize {
        self.published.min_isr.load(Ordering::Relaxed)
    }

    /// Who follows, as far as this node leads.
    pub(crate) fn followers(&self) -> Followers {
        self.published.followers()
    }

    /// Takes in what the metadata image says: leads, follows, or goes on with what it was told of others.
    pub(crate) fn apply(&self, now: Now, assignment: Assignment) {
        let Assignment { state, eligible } = assignment;
        let mut shell = self.lock();
        if shell.log.is_none() || state.leader_epoch < shell.role.bounds().leader_epoch {
            return;
        }
        let before = (shell.role.is_leading(), shell.role.followed());
        let in_sync = shell.role.isr_len();
        let replicas = state.replicas.clone();
        let mut effects = Vec::new();
        self.take_role(&mut shell, now, state, &mut effects);
        if let Role::Leading(leader) = &mut shell.role {
            for (broker, eligible) in eligible {
                leader.handle(now, Event::BrokerChanged { broker, eligible }, &mut effects);
            }
        }
        self.carry_out(&mut shell, now, effects);
        self.errands.count_isr(in_sync, shell.role.isr_len());
        let (leads, me) = (shell.role.is_leading(), self.errands.settings.me);
        let others = replicas.into_iter().filter(|id| leads && *id != me);
        shell.followers = self.published.set_followers(now.monotonic, others);
        self.publish(&shell);
        if before != (shell.role.is_leading(), shell.role.followed()) {
            self.errands.stir();
        }
    }

    fn take_role(&self, shell: &mut Shell, now: Now, state: PartitionState, effects: &mut Vec<Effect>) {
        let leads = state.leader == Some(self.errands.settings.me);
        // What a former life of this node led is over: nobody leads until the image says who.
        let (leader, leader_epoch) = (state.leader.filter(|_| !leads), state.leader_epoch);
        shell.role = match mem::replace(&mut shell.role, Role::nobody()) {
            Role::Leading(mut leading) if leads => {
                leading.handle(now, Event::Changed(state), effects);
                Role::Leading(leading)
            }
            Role::Leading(mut leading) => {
                leading.handle(now, Event::Changed(state), effects);
                let error = ErrorCode::NotLeaderOrFollower;
                leading.handle(now, Event::Resigned { error }, effects);
                let config = self.errands.settings.follower_config(&shell.config);
                Role::Following(Follower::new(leader, leader_epoch, config, leading.into_log()))
            }
            Role::Following(following) if leads => {
                let start = following.bounds().log_end;
                effects.push(Effect::AssignEpoch { leader_epoch, start });
                let Errands { settings, .. } = &*self.errands;
                let config = settings.leader_config(&shell.config);
                Role::Leading(Leader::new(now, settings.me, state, config, following.into_log()))
            }
            Role::Following(mut following) => {
                let changed = FollowerEvent::LeaderChanged { leader, leader_epoch };
                following.handle(now, changed, &mut Vec::new());
                Role::Following(following)
            }
        };
    }

    /// Lets what is due by time happen.
    pub(crate) fn tick(&self, now: Now) {
        self.lead(now, Event::Tick);
    }

    /// Takes a changed topic configuration.
    pub(crate) fn configure(&self, now: Now, config: Arc<TopicConfig>) {
        let mut shell = self.lock();
        if let Some(log) = &mut shell.log {
            log.configure(log_config(&self.topic_name, &config));
        }
        shell.config = Arc::clone(&config);
        let min_isr = usize::try_from(config.min_insync_replicas).unwrap_or(1);
        self.published.min_isr.store(min_isr, Ordering::Relaxed);
        let settings = &self.errands.settings;
        let mut effects = Vec::new();
        match &mut shell.role {
            Role::Leading(leader) => {
                leader.handle(now, Event::Configured(settings.leader_config(&config)), &mut effects);
            }
            Role::Following(follower) => {
                let event = FollowerEvent::Configured(settings.follower_config(&config));
                follower.handle(now, event, &mut Vec::new());
            }
        }
        self.carry_out(&mut shell, now, effects);
        self.publish(&shell);
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
        shell.role.expire_producers(now, producer_expiration);
        let high_watermark = shell.role.bounds().high_watermark;
        let Shell { role, log: Some(log), .. } = &mut *shell else { return };
        match log.apply_retention(now.wall, high_watermark, &|| role.producer_snapshot()) {
            Ok(deleted) if deleted.segments > 0 => {
                tracing::info!(partition = %self.label(), segments = deleted.segments, "retention deleted segments");
                self.log_start_moved(&mut shell, now);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(partition = %self.label(), %error, "retention failed");
                self.log_dir.look_at(&error);
            }
        }
    }

    /// A checkpoint that is due because enough was appended or `flush.ms` has passed; its work needs no lock.
    pub(crate) fn begin_due_checkpoint(&self, now: Now) -> Option<Checkpoint> {
        let mut shell = self.lock();
        let flush_ms = u64::try_from(shell.config.flush_ms).unwrap_or(u64::MAX);
        let Shell { role, log: Some(log), dirty_since, .. } = &mut *shell else { return None };
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
        Some(log.begin_checkpoint(kind, &role.producer_snapshot()))
    }

    /// Closes the files of a log that was not written since the last time: a node has more logs than files.
    pub(crate) fn close_idle_files(&self) {
        let mut shell = self.lock();
        let end = self.reader.log_end();
        let is_idle = mem::replace(&mut shell.end_at_last_look, end) == end;
        let is_compacted = shell.config.cleanup_policy.compact;
        if let Some(log) = shell.log.as_mut().filter(|_| is_idle) {
            log.close_files(!is_compacted);
        }
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
    pub(crate) fn flush(self: &Arc<Self>, now: Now) {
        let (handle, end, truncations) = {
            let mut shell = self.lock();
            let Some(log) = &shell.log else { return };
            let begun = (log.sync_handle(), shell.role.bounds().log_end, shell.truncations);
            shell.flush = Flush::Running { again: false };
            begun
        };
        // Outside the lock: appends go on while the disk works, and the next flush takes them together.
        if let Err(error) = handle.sync() {
            tracing::error!(partition = %self.label(), %error, "fsync failed");
            // What the kernel could not write it may have forgotten.
            self.log_dir.fail();
            return self.fail(now);
        }
        let mut shell = self.lock();
        let finished = mem::replace(&mut shell.flush, Flush::Idle);
        if shell.truncations != truncations || finished == (Flush::Running { again: true }) {
            self.request_flush(&mut shell);
        }
        if shell.truncations != truncations {
            return;
        }
        shell.synced_end = shell.synced_end.max(end);
        self.durable(&mut shell, now, end);
        self.publish(&shell);
        if !shell.role.is_leading() {
            self.errands.stir();
        }
    }

    /// Gives up its role and closes the log, with a producer snapshot at its end. Blocks.
    pub(crate) fn close(&self, now: Now) {
        let Some((log, snapshot)) = self.resign(&mut self.lock(), now, ErrorCode::NotLeaderOrFollower) else {
            return;
        };
        if let Err(error) = log.close(&snapshot) {
            tracing::error!(partition = %self.label(), %error, "cannot close the log");
        }
    }

    /// Gives up its role for good, because the topic or this replica is gone; the caller deletes the log.
    pub(crate) fn take_log(&self, now: Now) -> Option<Log> {
        self.resign(&mut self.lock(), now, ErrorCode::UnknownTopicOrPartition).map(|(log, _)| log)
    }

    /// A disk that failed cannot be trusted again before a restart has looked at it.
    pub(super) fn fail(&self, now: Now) {
        self.resign(&mut self.lock(), now, ErrorCode::KafkaStorageError);
    }

    fn resign(
        &self,
        shell: &mut Shell,
        now: Now,
        error: ErrorCode,
    ) -> Option<(Log, Vec<ProducerSnapshotEntry>)> {
        let log = shell.log.take()?;
        if let Role::Leading(leader) = &mut shell.role {
            let mut effects = Vec::new();
            leader.handle(now, Event::Resigned { error }, &mut effects);
            self.carry_out(shell, now, effects);
        }
        self.publish(shell);
        self.errands.stir();
        Some((log, shell.role.producer_snapshot()))
    }

    /// What is written up to `end` is as durable as the topic wants it, at once or after an fsync that is asked for.
    fn written(self: &Arc<Self>, shell: &mut Shell, now: Now, end: Offset, effects: &mut Vec<Effect>) {
        if shell.is_flush_due(end) && !is_broken(Rule::FlushComesFirst) {
            return self.request_flush(shell);
        }
        match &mut shell.role {
            Role::Leading(leader) => leader.handle(now, Event::Durable { end }, effects),
            Role::Following(follower) => {
                follower.handle(now, FollowerEvent::Durable { end }, &mut Vec::new());
            }
        }
    }

    fn durable(&self, shell: &mut Shell, now: Now, end: Offset) {
        let mut effects = Vec::new();
        match &mut shell.role {
            Role::Leading(leader) => leader.handle(now, Event::Durable { end }, &mut effects),
            Role::Following(follower) => {
                follower.handle(now, FollowerEvent::Durable { end }, &mut Vec::new());
            }
        }
        self.carry_out(shell, now, effects);
    }

    fn request_flush(self: &Arc<Self>, shell: &mut Shell) {
        match shell.flush {
            Flush::Idle => {
                shell.flush = Flush::Requested;
                self.errands.flushes.push(Arc::clone(self));
            }
            Flush::Requested => {}
            Flush::Running { .. } => shell.flush = Flush::Running { again: true },
        }
    }

    fn log_start_moved(&self, shell: &mut Shell, now: Now) {
        shell.role.log_start_moved(now, self.reader.log_start());
        self.publish(shell);
    }

    fn lock(&self) -> MutexGuard<'_, Shell> {
        // A panic under the lock is a bug in a pure machine or the log; what they hold is still what is on disk.
        self.shell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, shell: &Shell) {
        let bounds = shell.role.bounds();
        let is_leading = shell.role.is_leading();
        let published = &self.published;
        published.is_online.store(shell.log.is_some(), Ordering::Release);
        published.producers.store(shell.role.producer_count(), Ordering::Relaxed);
        let led = published.is_leading.swap(is_leading, Ordering::AcqRel);
        self.bounds.send_if_modified(|published| {
            let is_changed = *published != bounds || led != is_leading;
            *published = bounds;
            is_changed
        });
    }
}

impl Shell {
    /// Whether `flush.messages` asks for an fsync before what ends at `end` counts as durable.
    fn is_flush_due(&self, end: Offset) -> bool {
        end.since(self.synced_end) >= self.config.flush_messages
    }
}
