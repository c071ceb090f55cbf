//! A partition that another node leads: carries out what `replication::Follower` decides.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use record::{Batch, ProducerSnapshotEntry, patched_prefix};
use replication::{Fetch, FetchAnswer, FetchId, Follower, FollowerEffect, FollowerEvent, ProducerStates};
use storage::{AppendError, Log, Recovered};
use types::{ErrorCode, Monotonic, Now, Offset};

use super::{Partition, Shell};
use crate::partitions::role::Role;
use crate::sabotage::{Rule, is_broken};

impl Partition {
    /// What to ask of the leader now, if anything.
    pub(crate) fn next_fetch(&self, now: Now) -> Option<Fetch> {
        match &mut *self.lock() {
            Shell { role: Role::Following(follower), log: Some(_), .. } => follower.next_fetch(now),
            _ => None,
        }
    }

    /// When a rest is over, and there is something to ask again.
    pub(crate) fn rests_until(&self) -> Option<Monotonic> {
        match &*self.lock() {
            Shell { role: Role::Following(follower), log: Some(_), .. } => follower.next_deadline(),
            _ => None,
        }
    }

    /// Takes in the leader's answer; `batches` are those of the answer, with their bytes. Blocks: it writes.
    pub(crate) fn fetched(
        self: &Arc<Self>,
        now: Now,
        fetch: FetchId,
        answer: FetchAnswer,
        batches: &[Batch],
    ) {
        let mut shell = self.lock();
        let Shell { role: Role::Following(follower), log: Some(_), .. } = &mut *shell else { return };
        let mut effects = Vec::new();
        follower.handle(now, FollowerEvent::Answered { fetch, answer }, &mut effects);
        let mut done = 0;
        while let Some(effect) = effects.get(done).cloned() {
            done += 1;
            if let Err(error) = self.follow(&mut shell, now, effect, batches, &mut effects) {
                // Where the log ends is not known any more.
                tracing::error!(partition = %self.label(), %error, "cannot follow: the log failed, and is offline until the node is started again");
                self.log_dir.look_at(&error);
                self.errands.has_failed_log.store(true, Ordering::Relaxed);
                self.resign(&mut shell, now, ErrorCode::KafkaStorageError);
                return;
            }
        }
        self.publish(&shell);
    }

    fn follow(
        self: &Arc<Self>,
        shell: &mut Shell,
        now: Now,
        effect: FollowerEffect,
        batches: &[Batch],
        effects: &mut Vec<FollowerEffect>,
    ) -> io::Result<()> {
        let Shell { role: Role::Following(follower), log: Some(log), .. } = &mut *shell else {
            return Ok(());
        };
        match effect {
            FollowerEffect::Append { count } => {
                let count = self.take_in(log, follower, now, &batches[..count.min(batches.len())]);
                follower.handle(now, FollowerEvent::Written { count }, effects);
                let end = follower.bounds().log_end;
                self.written(shell, now, end, &mut Vec::new());
            }
            FollowerEffect::Truncate { to } => {
                let from = log.reader().log_end();
                let end = log.truncate_to(to, now.wall)?;
                let producers = producers(&log.recover_producers()?);
                if end < from {
                    tracing::info!(partition = %self.label(), %from, %end, "cut what the leader does not have");
                }
                follower.handle(now, FollowerEvent::Truncated { end, producers }, effects);
                shell.cut_to(end);
            }
            FollowerEffect::Restart { at } => {
                if log.reader().log_end() > log.reader().log_start() {
                    tracing::info!(partition = %self.label(), %at, "begins again: the leader has nothing of this log");
                }
                log.restart_at(at, now.wall)?;
                follower.handle(now, FollowerEvent::Restarted, effects);
                shell.cut_to(at);
            }
            FollowerEffect::DeleteRecords { before } => {
                let is_refused = |error: &io::Error| error.kind() == io::ErrorKind::StorageFull;
                match log.delete_records_before(before) {
                    // The leader's next answer asks again; what is there meanwhile is only more than there should be.
                    Err(error) if is_refused(&error) && before > follower.bounds().log_start => {
                        tracing::error!(partition = %self.label(), %error, "cannot delete what the leader deleted");
                        return Ok(());
                    }
                    deleted => deleted?,
                }
                let to = log.reader().log_start();
                follower.handle(now, FollowerEvent::LogStartMoved { to }, effects);
            }
            FollowerEffect::Report(problem) => {
                tracing::warn!(partition = %self.label(), %problem, "the leader's answer cannot be right");
            }
        }
        Ok(())
    }

    /// Writes batches as they are; how many were written.
    fn take_in(&self, log: &mut Log, follower: &Follower, now: Now, batches: &[Batch]) -> usize {
        for (index, batch) in batches.iter().enumerate() {
            let summary = batch.header().summary();
            let prefix = patched_prefix(&summary, summary.base_offset, summary.leader_epoch);
            let rest = &batch.bytes()[prefix.len()..];
            let producers = || producers_after(follower, &batches[..index]);
            if let Err(error) = log.append(&summary, &prefix, rest, now.wall, &producers) {
                tracing::error!(partition = %self.label(), %error, "cannot append what the leader has");
                if let AppendError::Io(error) = &error {
                    self.log_dir.look_at(error);
                }
                return index;
            }
        }
        batches.len()
    }
}

impl Shell {
    /// What lies past the cut is not on the disk, whatever was said of it.
    fn cut_to(&mut self, end: Offset) {
        self.synced_end = self.synced_end.min(end);
        self.truncations += 1;
    }
}

/// Only asked for when a batch begins a new segment.
fn producers_after(follower: &Follower, batches: &[Batch]) -> Vec<ProducerSnapshotEntry> {
    let mut producers = ProducerStates::from_snapshot(&follower.producer_snapshot());
    batches.iter().for_each(|batch| producers.record(&batch.header().summary()));
    producers.to_snapshot()
}

/// The producers of a log, as storage found them in it.
pub(in crate::partitions) fn producers(recovered: &Recovered) -> ProducerStates {
    if is_broken(Rule::ProducersAreRecovered) {
        return ProducerStates::default();
    }
    let mut producers = ProducerStates::from_snapshot(&recovered.producers);
    recovered.batches_after_snapshot.iter().for_each(|batch| producers.record(batch));
    producers
}
