//! One replica: carries out on a fake disk what the machines decide, as a shell does.

use std::time::Duration;

use record::BatchSummary;
use types::{BrokerEpoch, BrokerId, LeaderEpoch, Now, Offset, ProducerEpoch, ProducerId, Sequence};

use super::checker::{Checker, Violation};
use super::controller::Image;
use super::disk::{Disk, Stored};
use crate::{
    Acks, Bounds, Effect, Event, FetchAnswer, FetchId, Follower, FollowerConfig, FollowerEffect,
    FollowerEvent, Leader, LeaderConfig, WaiterId,
};

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a handful of nodes, most of them leaders or followers")]
pub(super) enum Role {
    /// Not running.
    Down,
    /// Running, and has not heard of the partition yet.
    Waiting,
    Leader(Leader),
    Follower(Follower),
}

/// How all nodes are configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config {
    pub(super) leader: LeaderConfig,
    /// Whether a write counts only when it is synced (`flush.messages=1`).
    pub(super) is_flushing: bool,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: BrokerId,
    pub(super) broker_epoch: BrokerEpoch,
    pub(super) role: Role,
    pub(super) disk: Disk,
    /// The last image that was applied, or before which none may be.
    pub(super) applied: i64,
    /// The fetch that is on its way.
    pub(super) fetching: Option<FetchId>,
    /// The power failed and the registration that says so has not been made.
    pub(super) is_dirty: bool,
    pub(super) truncations: usize,
    config: Config,
}

impl Node {
    pub(super) fn new(id: BrokerId, broker_epoch: BrokerEpoch, config: Config) -> Node {
        Node {
            id,
            broker_epoch,
            role: Role::Waiting,
            disk: Disk::default(),
            applied: 0,
            fetching: None,
            is_dirty: false,
            truncations: 0,
            config,
        }
    }

    pub(super) fn bounds(&self) -> Option<Bounds> {
        match &self.role {
            Role::Leader(leader) => Some(leader.bounds()),
            Role::Follower(follower) => Some(follower.bounds()),
            Role::Down | Role::Waiting => None,
        }
    }

    /// Takes in what the controller published; true if this node began to lead.
    pub(super) fn apply(&mut self, now: Now, image: &Image, effects: &mut Vec<Effect>) -> bool {
        if image.version <= self.applied || matches!(self.role, Role::Down) {
            return false;
        }
        self.applied = image.version;
        let state = &image.state;
        let before = self.bounds().map_or(LeaderEpoch::NONE, |bounds| bounds.leader_epoch);
        let leads = state.leader == Some(self.id);
        let role = std::mem::replace(&mut self.role, Role::Waiting);
        self.role = match role {
            Role::Leader(mut leader) => {
                leader.handle(now, Event::Changed(state.clone()), effects);
                if leads { Role::Leader(leader) } else { self.follow(image, leader.into_log()) }
            }
            Role::Follower(follower) if leads => self.lead(now, image, follower.into_log()),
            Role::Follower(mut follower) => {
                let changed =
                    FollowerEvent::LeaderChanged { leader: state.leader, leader_epoch: state.leader_epoch };
                follower.handle(now, changed, &mut Vec::new());
                Role::Follower(follower)
            }
            Role::Waiting | Role::Down if leads => self.lead(now, image, self.disk.recovered()),
            Role::Waiting | Role::Down => self.follow(image, self.disk.recovered()),
        };
        if let Role::Leader(leader) = &mut self.role {
            for (&broker, &eligible) in &image.eligible {
                leader.handle(now, Event::BrokerChanged { broker, eligible }, effects);
            }
        }
        leads && before < state.leader_epoch
    }

    fn lead(&self, now: Now, image: &Image, log: crate::ReplicaLog) -> Role {
        Role::Leader(Leader::new(now, self.id, image.state.clone(), self.config.leader, log))
    }

    fn follow(&self, image: &Image, log: crate::ReplicaLog) -> Role {
        let config = FollowerConfig::default();
        Role::Follower(Follower::new(image.state.leader, image.state.leader_epoch, config, log))
    }

    /// A client's batch. What is written is told to the checker before anybody hears of it.
    pub(super) fn append(
        &mut self,
        now: Now,
        batch: BatchSummary,
        number: u64,
        acks: Acks,
        checker: &mut Checker,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        let Role::Leader(leader) = &mut self.role else { return Ok(()) };
        let timeout = Duration::from_secs(2);
        let event = Event::Append { batch: batch.clone(), acks, waiter: WaiterId(number), timeout };
        leader.handle(now, event, effects);
        if let [Effect::Write { base_offset, leader_epoch }] = effects[..] {
            effects.clear();
            let batch = BatchSummary { base_offset, leader_epoch, ..batch };
            let stored = Stored { batch: batch.clone(), number };
            checker.written(&stored)?;
            self.disk.append(stored);
            leader.handle(now, Event::Written { batch }, effects);
            if !self.config.is_flushing {
                leader.handle(now, Event::Durable { end: self.disk.end() }, effects);
            }
        }
        Ok(())
    }

    pub(super) fn sync(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let end = self.disk.sync();
        match &mut self.role {
            Role::Leader(leader) => leader.handle(now, Event::Durable { end }, effects),
            Role::Follower(follower) => {
                follower.handle(now, FollowerEvent::Durable { end }, &mut Vec::new());
            }
            Role::Down | Role::Waiting => {}
        }
    }

    /// The answer to a fetch, with the batches that it holds.
    pub(super) fn answered(
        &mut self,
        now: Now,
        fetch: FetchId,
        answer: FetchAnswer,
        batches: &[Stored],
        writable: usize,
    ) -> Result<(), Violation> {
        let Role::Follower(follower) = &mut self.role else { return Ok(()) };
        if self.fetching == Some(fetch) {
            self.fetching = None;
        }
        let mut effects = Vec::new();
        follower.handle(now, FollowerEvent::Answered { fetch, answer }, &mut effects);
        let mut at = 0;
        while let Some(effect) = effects.get(at).cloned() {
            at += 1;
            let shown = follower.bounds().high_watermark;
            match effect {
                FollowerEffect::Append { count } => {
                    let count = count.min(writable);
                    batches[..count].iter().for_each(|stored| self.disk.append(stored.clone()));
                    follower.handle(now, FollowerEvent::Written { count }, &mut effects);
                    if !self.config.is_flushing {
                        let end = self.disk.end();
                        follower.handle(now, FollowerEvent::Durable { end }, &mut effects);
                    }
                }
                FollowerEffect::Truncate { to } => {
                    if to < shown {
                        return Err(format!("{} cuts to {to} what it showed up to {shown}", self.id));
                    }
                    self.truncations += 1;
                    self.disk.truncate(to);
                    let (end, producers) = (self.disk.end(), self.disk.producers());
                    follower.handle(now, FollowerEvent::Truncated { end, producers }, &mut effects);
                }
                FollowerEffect::Restart { at } => {
                    if at < shown && self.disk.start() < self.disk.end() {
                        return Err(format!("{} restarts at {at}, but showed up to {shown}", self.id));
                    }
                    self.disk.restart(at);
                    follower.handle(now, FollowerEvent::Restarted, &mut effects);
                }
                FollowerEffect::DeleteRecords { before } => {
                    self.disk.delete_before(before);
                    follower.handle(now, FollowerEvent::LogStartMoved { to: before }, &mut effects);
                }
                FollowerEffect::Report(problem) => return Err(format!("{}: {problem}", self.id)),
            }
        }
        Ok(())
    }

    /// The leader deletes what is committed (DeleteRecords).
    pub(super) fn delete_records(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let Role::Leader(leader) = &mut self.role else { return };
        let to = leader.bounds().high_watermark;
        if to > self.disk.start() {
            self.disk.delete_before(to);
            leader.handle(now, Event::LogStartMoved { to }, effects);
        }
    }

    /// The process is gone; the high watermark that was checkpointed is some earlier one.
    pub(super) fn crash(&mut self, checkpointed: Offset, loses_power: bool) {
        self.role = Role::Down;
        self.fetching = None;
        self.disk.high_watermark = checkpointed;
        if loses_power {
            self.disk.lose_power();
            self.is_dirty = true;
        }
    }
}

/// A batch of one idempotent producer, or of none.
pub(super) fn batch(sequence: Option<i32>, record_count: i32) -> BatchSummary {
    match sequence {
        Some(sequence) => {
            crate::test_batch(ProducerId(7), ProducerEpoch(0), Sequence(sequence), record_count)
        }
        None => crate::test_batch(ProducerId::NONE, ProducerEpoch::NONE, Sequence::NONE, record_count),
    }
}
