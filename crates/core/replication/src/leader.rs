//! The leader of one partition: assigns offsets, recognises repeated batches, answers followers, keeps the in-sync
//! replicas and the high watermark, and says when a produce request is answered.

use std::collections::BTreeMap;
use std::time::Duration;

use record::{BatchSummary, ProducerSnapshotEntry};
use types::{BrokerEpoch, BrokerId, ErrorCode, Monotonic, Now, Offset, ProducerId};

use crate::producer_state::SequenceCheck;
use crate::{PartitionState, ReplicaLog};

pub use event::{Acks, Appended, Bounds, Effect, Event, LeaderConfig, WaiterId};
pub use fetch::{FetchRefusal, FollowerAnswer};
pub use isr::{CommittedIsr, InSync, IsrProposal, ProposalId};
pub use remote::{FollowerFetch, RemoteReplica};

use isr::Isr;
use remote::Remote;

mod event;
mod fetch;
mod in_sync;
mod isr;
mod remote;

/// The leader of one partition.
#[derive(Debug)]
pub struct Leader {
    me: BrokerId,
    /// This node's registration.
    broker_epoch: Option<BrokerEpoch>,
    /// As committed, but for the in-sync replicas: those are in `isr`.
    state: PartitionState,
    isr: Isr,
    remotes: BTreeMap<BrokerId, Remote>,
    config: LeaderConfig,
    log: ReplicaLog,
    /// Where this epoch began.
    epoch_start: Offset,
    is_resigned: bool,
    writing: Option<Writing>,
    /// Requests that wait for the high watermark, by the offset that it has to reach. The waiter's id keeps the order
    /// of arrival among equals.
    waiting: BTreeMap<(Offset, WaiterId), Waiting>,
}

/// The one write between `Write` and `Written`: the shell holds the partition's lock in between.
#[derive(Clone, Copy, Debug)]
struct Writing {
    acks: Acks,
    waiter: WaiterId,
    deadline: Monotonic,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    appended: Appended,
    deadline: Monotonic,
}

impl Leader {
    /// A leader that begins the epoch of `state` at the end of its log; the shell notes that in the epoch checkpoint.
    pub fn new(
        now: Now,
        me: BrokerId,
        state: PartitionState,
        config: LeaderConfig,
        log: ReplicaLog,
    ) -> Leader {
        let mut leader = Leader {
            me,
            broker_epoch: None,
            isr: Isr::new(state.isr.clone()),
            state,
            remotes: BTreeMap::new(),
            config,
            epoch_start: log.log_end,
            log,
            is_resigned: false,
            writing: None,
            waiting: BTreeMap::new(),
        };
        leader.begin_epoch(now);
        // Nobody waits yet, so nothing comes of it but the high watermark of a replica that is alone.
        leader.advance(now, &mut Vec::new());
        leader
    }

    /// What is left when this replica goes on as a follower, or closes.
    pub fn into_log(self) -> ReplicaLog {
        self.log
    }

    /// What readers may see.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            log_start: self.log.log_start,
            high_watermark: self.log.high_watermark,
            // Transactional batches are refused where requests come in, so nothing can be open.
            last_stable: self.log.high_watermark,
            log_end: self.log.log_end,
            leader_epoch: self.state.leader_epoch,
        }
    }

    /// What the next producer snapshot holds.
    pub fn producer_snapshot(&self) -> Vec<ProducerSnapshotEntry> {
        self.log.producers.to_snapshot()
    }

    /// Whether an idempotent producer is remembered.
    pub fn knows_producer(&self, producer: ProducerId) -> bool {
        self.log.producers.knows(producer)
    }

    /// How many idempotent producers are remembered.
    pub fn producer_count(&self) -> usize {
        self.log.producers.len()
    }

    /// Forgets producers that have not written for `expiration`.
    pub fn expire_producers(&mut self, now: Now, expiration: Duration) {
        self.log.producers.expire(now.wall, expiration);
    }

    /// How many produce requests wait for the high watermark.
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// When `Tick` is due.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let waiting = self.waiting.values().map(|waiting| waiting.deadline).min();
        waiting.into_iter().chain(self.isr_deadline()).min()
    }

    /// Takes in an event and adds what it makes necessary to `effects`.
    pub fn handle(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Append { batch, acks, waiter, timeout } => {
                let writing = Writing { acks, waiter, deadline: now.monotonic.plus(timeout) };
                self.append(&batch, writing, effects);
            }
            Event::Written { batch } => self.written(&batch, effects),
            Event::WriteFailed { error } => {
                if let Some(Writing { waiter, .. }) = self.writing.take() {
                    effects.push(Effect::Complete { waiter, result: Err(error) });
                }
            }
            Event::Durable { end } => {
                self.log.durable_to(end);
                self.advance(now, effects);
            }
            Event::LogStartMoved { to } => self.log.start_at(to),
            Event::Configured(config) => {
                self.config = config;
                self.advance(now, effects);
            }
            Event::Changed(state) => self.change(now, state, effects),
            Event::BrokerChanged { broker, eligible } => self.broker_changed(now, broker, eligible, effects),
            Event::IsrAnswered { proposal, result } => self.isr_answered(now, proposal, result, effects),
            Event::Tick => {
                self.expire_waiting(now, effects);
                self.tend_isr(now, None, effects);
                self.advance(now, effects);
            }
            Event::Resigned { error } => self.resign(error, effects),
        }
    }

    fn append(&mut self, batch: &BatchSummary, writing: Writing, effects: &mut Vec<Effect>) {
        debug_assert!(self.writing.is_none(), "one write at a time");
        let reject = |error| Effect::Complete { waiter: writing.waiter, result: Err(error) };
        if self.is_resigned {
            effects.push(reject(ErrorCode::NotLeaderOrFollower));
            return;
        }
        if writing.acks == Acks::All && self.is_under_min_isr() {
            effects.push(reject(ErrorCode::NotEnoughReplicas));
            return;
        }
        if batch.producer_id != ProducerId::NONE {
            match self.log.producers.check(batch) {
                Ok(SequenceCheck::InOrder) => {}
                Ok(SequenceCheck::Duplicate { base_offset, last_offset, timestamp }) => {
                    let appended = Appended { base_offset, max_timestamp: timestamp };
                    self.answer(writing, appended, last_offset.plus(1), effects);
                    return;
                }
                Err(rejection) => {
                    effects.push(reject(rejection.code()));
                    return;
                }
            }
        }
        self.writing = Some(writing);
        effects.push(Effect::Write { base_offset: self.log.log_end, leader_epoch: self.state.leader_epoch });
    }

    fn written(&mut self, batch: &BatchSummary, effects: &mut Vec<Effect>) {
        debug_assert_eq!(batch.base_offset, self.log.log_end, "written where it was to be");
        self.log.appended(batch);
        if let Some(writing) = self.writing.take() {
            let appended = Appended { base_offset: batch.base_offset, max_timestamp: batch.max_timestamp };
            self.answer(writing, appended, self.log.log_end, effects);
        }
    }

    /// Answers now, or once the high watermark has reached `required`.
    fn answer(&mut self, writing: Writing, appended: Appended, required: Offset, effects: &mut Vec<Effect>) {
        if writing.acks == Acks::All && self.log.high_watermark < required {
            let waiting = Waiting { appended, deadline: writing.deadline };
            self.waiting.insert((required, writing.waiter), waiting);
            return;
        }
        effects.push(Effect::Complete { waiter: writing.waiter, result: Ok(appended) });
    }

    /// Answers whom the high watermark releases.
    fn release(&mut self, effects: &mut Vec<Effect>) {
        while let Some(entry) = self.waiting.first_entry() {
            if entry.key().0 > self.log.high_watermark {
                break;
            }
            let ((_, waiter), waiting) = entry.remove_entry();
            effects.push(Effect::Complete { waiter, result: Ok(waiting.appended) });
        }
    }

    fn resign(&mut self, error: ErrorCode, effects: &mut Vec<Effect>) {
        self.is_resigned = true;
        for (_, waiter) in std::mem::take(&mut self.waiting).into_keys() {
            effects.push(Effect::Complete { waiter, result: Err(error) });
        }
    }

    /// A request whose time is over is told so; its records stay, and a repetition of it will find them.
    fn expire_waiting(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let error = if self.is_under_min_isr() {
            ErrorCode::NotEnoughReplicasAfterAppend
        } else {
            ErrorCode::RequestTimedOut
        };
        self.waiting.retain(|(_, waiter), waiting| {
            let is_over = waiting.deadline <= now.monotonic;
            if is_over {
                effects.push(Effect::Complete { waiter: *waiter, result: Err(error) });
            }
            !is_over
        });
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod replica_tests;
