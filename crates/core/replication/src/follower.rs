//! A follower of one partition: what to fetch, which of the answer to write, where to cut the log when it is not a part
//! of the leader's. Asks nothing before it fetches: the fetch itself says what the last record is, and the leader answers
//! where the logs part (KIP-595 does so in the metadata quorum).

use std::time::Duration;

use record::{BatchSummary, ProducerSnapshotEntry};
use types::{BrokerId, ErrorCode, LeaderEpoch, Monotonic, Now, Offset};

use crate::{Bounds, FetchRefusal, ReplicaLog};

pub use event::{
    BadAnswer, Fetch, FetchAnswer, FetchId, FollowerConfig, FollowerEffect, FollowerEvent, FollowerState,
};

mod event;

/// The follower of one partition.
#[derive(Debug)]
pub struct Follower {
    leader: Option<BrokerId>,
    leader_epoch: LeaderEpoch,
    config: FollowerConfig,
    log: ReplicaLog,
    phase: Phase,
    outstanding: Option<FetchId>,
    next_id: u64,
}

#[derive(Debug)]
enum Phase {
    Fetching,
    /// Between `Append` and `Written`.
    Writing {
        batches: Vec<BatchSummary>,
        is_complete: bool,
        high_watermark: Offset,
        log_start: Offset,
    },
    /// Between `Truncate` and `Truncated`.
    Truncating,
    /// Between `Restart` and `Restarted`.
    Restarting {
        at: Offset,
    },
    /// After an error; without a time it is the next leader that ends it.
    Paused {
        until: Option<Monotonic>,
    },
}

impl Follower {
    /// A follower of this leader.
    pub fn new(
        leader: Option<BrokerId>,
        leader_epoch: LeaderEpoch,
        config: FollowerConfig,
        log: ReplicaLog,
    ) -> Follower {
        let phase = Phase::Fetching;
        Follower { leader, leader_epoch, config, log, phase, outstanding: None, next_id: 0 }
    }

    /// What is left when this replica goes on as the leader, or closes.
    pub fn into_log(self) -> ReplicaLog {
        self.log
    }

    /// What readers may see who read from a follower (KIP-392).
    pub fn bounds(&self) -> Bounds {
        Bounds {
            log_start: self.log.log_start,
            high_watermark: self.log.high_watermark,
            last_stable: self.log.high_watermark,
            log_end: self.log.log_end,
            leader_epoch: self.leader_epoch,
        }
    }

    /// Checks such a reader's idea of the leader epoch; `NONE` is no idea.
    pub fn check_epoch(&self, epoch: LeaderEpoch) -> Result<(), FetchRefusal> {
        match epoch {
            LeaderEpoch::NONE => Ok(()),
            epoch if epoch < self.leader_epoch => Err(FetchRefusal::FencedEpoch(self.leader_epoch)),
            epoch if epoch > self.leader_epoch => Err(FetchRefusal::UnknownEpoch(self.leader_epoch)),
            _ => Ok(()),
        }
    }

    /// Whom it follows.
    pub fn leader(&self) -> Option<BrokerId> {
        self.leader
    }

    /// What it is about.
    pub fn state(&self) -> FollowerState {
        match self.phase {
            Phase::Fetching | Phase::Writing { .. } if self.leader.is_some() => FollowerState::Fetching,
            Phase::Truncating | Phase::Restarting { .. } => FollowerState::Truncating,
            Phase::Fetching | Phase::Writing { .. } | Phase::Paused { .. } => FollowerState::Paused,
        }
    }

    /// What the next producer snapshot holds.
    pub fn producer_snapshot(&self) -> Vec<ProducerSnapshotEntry> {
        self.log.producers.to_snapshot()
    }

    /// How many idempotent producers are remembered.
    pub fn producer_count(&self) -> usize {
        self.log.producers.len()
    }

    /// Forgets producers that have not written for `expiration`.
    pub fn expire_producers(&mut self, now: Now, expiration: Duration) {
        self.log.producers.expire(now.wall, expiration);
    }

    /// When a rest is over and [`Follower::next_fetch`] has something again.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        match self.phase {
            Phase::Paused { until } => until,
            Phase::Fetching | Phase::Writing { .. } | Phase::Truncating | Phase::Restarting { .. } => None,
        }
    }

    /// What to ask now, if anything. The shell calls this when it builds its next request to the leader; what it was
    /// given before is forgotten.
    pub fn next_fetch(&mut self, now: Now) -> Option<Fetch> {
        if let Phase::Paused { until: Some(until) } = self.phase
            && until <= now.monotonic
        {
            self.phase = Phase::Fetching;
        }
        let leader = self.leader?;
        if !matches!(self.phase, Phase::Fetching) || self.log.durable_end < self.log.log_end {
            return None;
        }
        let id = FetchId(self.next_id);
        self.next_id += 1;
        self.outstanding = Some(id);
        Some(Fetch {
            id,
            leader,
            leader_epoch: self.leader_epoch,
            fetch_offset: self.log.log_end,
            last_fetched_epoch: self.log.latest_epoch(),
            log_start: self.log.log_start,
        })
    }

    /// Takes in an event and adds what it makes necessary to `effects`.
    pub fn handle(&mut self, now: Now, event: FollowerEvent, effects: &mut Vec<FollowerEffect>) {
        match event {
            FollowerEvent::LeaderChanged { leader, leader_epoch } => self.follow(leader, leader_epoch),
            FollowerEvent::Answered { fetch, answer } => {
                if self.outstanding == Some(fetch) {
                    self.outstanding = None;
                    self.answered(now, answer, effects);
                }
            }
            FollowerEvent::Written { count } => self.written(now, count, effects),
            FollowerEvent::Durable { end } => self.log.durable_to(end),
            FollowerEvent::Truncated { end, producers } => {
                self.log.truncated_to(end, producers);
                self.phase = Phase::Fetching;
            }
            FollowerEvent::Restarted => {
                if let Phase::Restarting { at } = self.phase {
                    self.log.restarted_at(at);
                    self.phase = Phase::Fetching;
                }
            }
            FollowerEvent::LogStartMoved { to } => self.log.start_at(to),
            FollowerEvent::Configured(config) => self.config = config,
        }
    }

    /// What was asked of another leader no longer counts; what is being done to the log is finished first.
    fn follow(&mut self, leader: Option<BrokerId>, leader_epoch: LeaderEpoch) {
        if leader_epoch <= self.leader_epoch {
            return;
        }
        self.leader = leader;
        self.leader_epoch = leader_epoch;
        self.outstanding = None;
        if matches!(self.phase, Phase::Paused { .. }) {
            self.phase = Phase::Fetching;
        }
    }

    fn answered(&mut self, now: Now, answer: FetchAnswer, effects: &mut Vec<FollowerEffect>) {
        match answer {
            FetchAnswer::Records { batches, high_watermark, log_start } => {
                self.take(now, batches, high_watermark, log_start, effects);
            }
            FetchAnswer::Diverging { epoch, end_offset } => self.cut(epoch, end_offset, effects),
            FetchAnswer::OutOfRange { log_start, log_end } => {
                self.out_of_range(now, log_start, log_end, effects);
            }
            // Another leader is there, and the image will say so.
            FetchAnswer::Failed(ErrorCode::FencedLeaderEpoch) => self.phase = Phase::Paused { until: None },
            FetchAnswer::Failed(_) => self.rest(now),
        }
    }

    fn take(
        &mut self,
        now: Now,
        mut batches: Vec<BatchSummary>,
        high_watermark: Offset,
        log_start: Offset,
        effects: &mut Vec<FollowerEffect>,
    ) {
        let rebased = batches.first().filter(|first| self.is_rebased(first, log_start)).cloned();
        if let Some(first) = &rebased {
            self.log.restarted_at(self.log.log_end);
            effects.push(FollowerEffect::Restart { at: first.base_offset });
        }
        let (count, problem) = self.acceptable(&batches, rebased.is_some());
        let is_complete = problem.is_none();
        effects.extend(problem.map(FollowerEffect::Report));
        batches.truncate(count);
        self.phase = Phase::Writing { batches, is_complete, high_watermark, log_start };
        if count > 0 {
            effects.push(FollowerEffect::Append { count });
        } else {
            self.written(now, 0, effects);
        }
    }

    /// Whether a log begins within a batch (DeleteRecords) and this one ends there: nothing is here, or all that is here
    /// is deleted there, and the batch becomes the first.
    fn is_rebased(&self, first: &BatchSummary, log_start: Offset) -> bool {
        let end = self.log.log_end;
        let is_within = first.base_offset < end && end <= first.last_offset();
        is_within && (log_start >= end || self.log.log_start == end)
    }

    /// How many of the batches continue this log, and what is wrong with the next one.
    fn acceptable(&self, batches: &[BatchSummary], is_rebased: bool) -> (usize, Option<BadAnswer>) {
        let mut expected = self.log.log_end;
        if is_rebased && let Some(first) = batches.first() {
            expected = first.base_offset;
        }
        let mut last = self.log.latest_epoch();
        for (count, batch) in batches.iter().enumerate() {
            let (offered, epoch) = (batch.base_offset, batch.leader_epoch);
            let continues = offered == expected || (self.config.is_compacted && offered > expected);
            let problem = if !continues {
                BadAnswer::NotContiguous { expected, offered }
            } else if batch.record_count < 1 {
                BadAnswer::Empty { offered }
            } else if epoch < last {
                BadAnswer::EpochWentBack { last, offered: epoch }
            } else if epoch > self.leader_epoch {
                BadAnswer::EpochAhead { current: self.leader_epoch, offered: epoch }
            } else {
                expected = batch.last_offset().plus(1);
                last = epoch;
                continue;
            };
            return (count, Some(problem));
        }
        (batches.len(), None)
    }

    fn written(&mut self, now: Now, count: usize, effects: &mut Vec<FollowerEffect>) {
        let phase = std::mem::replace(&mut self.phase, Phase::Fetching);
        let Phase::Writing { batches, is_complete, high_watermark, log_start } = phase else {
            self.phase = phase;
            return;
        };
        let is_rebased = batches.first().is_some_and(|first| first.base_offset < self.log.log_end);
        if is_rebased && count == 0 {
            // The log was begun at the batch's base, and the batch is not there.
            self.restart(self.log.log_end, effects);
            return;
        }
        batches.iter().take(count).for_each(|batch| self.log.appended(batch));
        if is_rebased {
            effects.push(FollowerEffect::DeleteRecords { before: self.log.log_start });
        }
        // A new leader may know less of what is committed than this replica does: what was committed stays so.
        self.log.high_watermark = self.log.high_watermark.max(high_watermark.min(self.log.log_end));
        if log_start > self.log.log_start && log_start <= self.log.high_watermark {
            effects.push(FollowerEffect::DeleteRecords { before: log_start });
        }
        if !is_complete || count < batches.len() {
            self.rest(now);
        }
    }

    /// Cuts off what the leader does not have: after this epoch, and after its end there. Where this log does not know
    /// the epoch, all after the one before it; the next fetch finds the rest.
    fn cut(&mut self, epoch: LeaderEpoch, end_offset: Offset, effects: &mut Vec<FollowerEffect>) {
        let to = match self.log.epochs.end_offset(epoch, self.log.log_end) {
            Some((known, end)) if known == epoch => end.min(end_offset),
            Some((_, end)) => end,
            None => end_offset,
        };
        let to = to.min(self.log.log_end);
        if to < self.log.log_start {
            self.restart(to, effects);
        } else {
            self.phase = Phase::Truncating;
            effects.push(FollowerEffect::Truncate { to });
        }
    }

    fn out_of_range(
        &mut self,
        now: Now,
        log_start: Offset,
        log_end: Offset,
        effects: &mut Vec<FollowerEffect>,
    ) {
        // All that is here is deleted there, or comes after all that is there.
        if log_start >= self.log.log_end || log_end < self.log.log_start {
            self.restart(log_start, effects);
        } else if log_end < self.log.log_end {
            self.phase = Phase::Truncating;
            effects.push(FollowerEffect::Truncate { to: log_end });
        } else {
            // It was out of range when it asked, and is no longer.
            self.rest(now);
        }
    }

    fn restart(&mut self, at: Offset, effects: &mut Vec<FollowerEffect>) {
        self.phase = Phase::Restarting { at };
        effects.push(FollowerEffect::Restart { at });
    }

    fn rest(&mut self, now: Now) {
        self.phase = Phase::Paused { until: Some(now.monotonic.plus(self.config.fetch_backoff)) };
    }
}

#[cfg(test)]
mod tests;
