//! Compaction in the background: finds the log with the largest part to compact, and compacts it. Leaders and followers
//! do so each for themselves. What is kept is decided in `storage`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storage::{Backlog, Compacted, CompactionError, filthiest};
use types::{Monotonic, Now, TopicPartition};

use super::{Partition, Partitions};
use crate::node::Node;
use crate::seams::{Blocking, Wall};

/// What the cleaner says of itself, for metrics; and what it leaves alone.
#[derive(Debug, Default)]
pub(crate) struct CleanerState {
    inner: Mutex<CleanerFacts>,
}

/// The facts of the last rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct CleanerFacts {
    /// Partitions that could not be compacted, with the bytes that wait in them: a start tries again.
    pub(crate) uncleanable: BTreeMap<TopicPartition, u64>,
    /// When logs were looked at last.
    pub(crate) last_look: Option<Monotonic>,
    /// The largest part to compact that was seen then.
    pub(crate) max_dirty_ratio: f64,
    /// The longest that a record had waited beyond `max.compaction.lag.ms` then.
    pub(crate) max_delay: Duration,
    /// The last round.
    pub(crate) last_round: Compacted,
    /// How long it took.
    pub(crate) last_duration: Duration,
    /// When it ended.
    pub(crate) last_end: Option<Monotonic>,
    /// What all rounds have read.
    pub(crate) bytes_before: u64,
    /// What all rounds have left of that.
    pub(crate) bytes_after: u64,
}

impl CleanerState {
    /// As they are now.
    pub(crate) fn facts(&self) -> CleanerFacts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, CleanerFacts> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until the node stops.
pub(crate) async fn run_cleaner(node: Arc<Node>) {
    let config = &node.broker_config;
    if !config.log_cleaner_enable {
        return;
    }
    let backoff = Duration::from_millis(u64::try_from(config.log_cleaner_backoff_ms).unwrap_or(0).max(1));
    loop {
        let (partitions, wall, stopping) = (Arc::clone(&node.partitions), node.wall, node.stopping.clone());
        let cleaner = Cleaner {
            partitions,
            wall,
            dedupe_bytes: u64::try_from(config.log_cleaner_dedupe_buffer_size).unwrap_or(0),
            throttle: Throttle::new(config.log_cleaner_io_max_bytes_per_second, node.blocking.clone(), wall),
            is_stopping: Box::new(move || stopping.is_cancelled()),
        };
        let has_cleaned = node.blocking.run(move || cleaner.clean_filthiest()).await;
        let rest = if has_cleaned { Duration::ZERO } else { backoff };
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = node.stopping.cancelled() => return,
        }
    }
}

/// One pass on a thread that may wait for the disk.
pub(super) struct Cleaner {
    pub(super) partitions: Arc<Partitions>,
    pub(super) wall: Wall,
    pub(super) dedupe_bytes: u64,
    pub(super) throttle: Throttle,
    pub(super) is_stopping: Box<dyn Fn() -> bool + Send>,
}

impl Cleaner {
    /// Compacts one log; false if none is worth it.
    pub(super) fn clean_filthiest(&self) -> bool {
        let Some((partition, backlog)) = self.choose() else { return false };
        let begun = self.wall.now().monotonic;
        let pace = |bytes| match (self.is_stopping)() {
            true => ControlFlow::Break(()),
            false => {
                self.throttle.took(bytes);
                ControlFlow::Continue(())
            }
        };
        let result = partition.compact(self.wall.now(), &backlog, self.dedupe_bytes, &pace);
        let mut facts = self.partitions.cleaner().lock();
        match result {
            Ok(round) => {
                tracing::debug!(
                    partition = %partition.label(),
                    upto = %round.upto,
                    bytes_before = round.bytes_before,
                    bytes_after = round.bytes_after,
                    "compacted"
                );
                let now = self.wall.now().monotonic;
                facts.bytes_before += round.bytes_before;
                facts.bytes_after += round.bytes_after;
                facts.last_round = round;
                facts.last_duration = now.0.saturating_sub(begun.0);
                facts.last_end = Some(now);
                true
            }
            Err(CompactionError::Stopped) => false,
            Err(CompactionError::Io(error)) if error.kind() == std::io::ErrorKind::StorageFull => {
                tracing::warn!(partition = %partition.label(), %error, "no space to compact");
                false
            }
            Err(error) => {
                tracing::error!(partition = %partition.label(), %error, "this log is not compacted any more");
                facts.uncleanable.insert(partition.id(), backlog.cleanable_bytes + backlog.uncleanable_bytes);
                true
            }
        }
    }

    fn choose(&self) -> Option<(Arc<Partition>, Backlog)> {
        let now = self.wall.now();
        let known = self.partitions.cleaner().facts().uncleanable;
        let partitions = self.partitions.all().into_iter();
        let backlogs: Vec<(Arc<Partition>, Backlog)> = partitions
            .filter(|partition| !known.contains_key(&partition.id()))
            .filter_map(|partition| {
                let backlog = partition.compaction_backlog(now)?;
                Some((partition, backlog))
            })
            .collect();
        self.note_look(now, &backlogs);
        filthiest(backlogs)
    }

    fn note_look(&self, now: Now, backlogs: &[(Arc<Partition>, Backlog)]) {
        let mut facts = self.partitions.cleaner().lock();
        let delay = backlogs.iter().map(|(_, backlog)| backlog.overdue_ms).max().unwrap_or(0);
        facts.last_look = Some(now.monotonic);
        facts.max_dirty_ratio = backlogs.iter().map(|(_, backlog)| backlog.dirty_ratio()).fold(0.0, f64::max);
        facts.max_delay = Duration::from_millis(u64::try_from(delay).unwrap_or(0));
        facts.uncleanable.retain(|id, _| self.partitions.get(*id).is_some());
    }
}

/// Bytes a second.
pub(super) struct Throttle {
    rate: u64,
    blocking: Blocking,
    wall: Wall,
    begun: Monotonic,
    taken: Mutex<u64>,
}

impl Throttle {
    pub(super) fn new(rate: u64, blocking: Blocking, wall: Wall) -> Throttle {
        Throttle { rate: rate.max(1), blocking, wall, begun: wall.now().monotonic, taken: Mutex::new(0) }
    }

    /// Waits until so many bytes are within the rate. Without one it never waits.
    fn took(&self, bytes: u64) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_add(bytes);
        let due = Duration::from_secs_f64(*taken as f64 / self.rate as f64);
        let elapsed = self.wall.now().monotonic.0.saturating_sub(self.begun.0);
        if let Some(early) = due.checked_sub(elapsed).filter(|early| early.as_millis() > 0) {
            self.blocking.pause(early);
        }
    }
}
