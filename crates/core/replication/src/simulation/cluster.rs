//! All replicas, the controller and the network between them in one loop. A seed decides what happens next: any message
//! on its way may arrive, in any order, be lost or come twice; nodes crash, lose power, are fenced and come back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use types::{BrokerEpoch, BrokerId, ErrorCode, Monotonic, Now, Offset, Timestamp};

use super::checker::{Checker, Violation};
use super::controller::{Controller, Image};
use super::disk::Stored;
use super::node::{Config, Node, Role, batch};
use super::random::Random;
use crate::{
    Acks, CommittedIsr, Effect, Event, FetchAnswer, FetchId, FetchRefusal, FollowerAnswer, FollowerFetch,
    IsrProposal, LeaderConfig, ProposalId, WaiterId,
};

mod faults;

/// More on its way is lost.
const MESSAGES_MAX: usize = 40;

/// So many copies are held back.
const LATE_MAX: usize = 4;

/// What is on its way. The last number of an answer is the incarnation that asked.
#[derive(Clone, Debug)]
enum Message {
    Fetch { to: BrokerId, id: FetchId, fetch: FollowerFetch },
    Fetched { to: (BrokerId, BrokerEpoch), id: FetchId, answer: FetchAnswer, batches: Vec<Stored> },
    Propose { from: (BrokerId, BrokerEpoch), proposal: IsrProposal },
    Proposed { to: (BrokerId, BrokerEpoch), id: ProposalId, result: Result<CommittedIsr, ErrorCode> },
    Published { to: BrokerId, image: Image },
}

/// What a run has seen: one that saw nothing proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Coverage {
    pub(super) acknowledged: usize,
    pub(super) leaders: usize,
    pub(super) elr_elections: usize,
    pub(super) truncations: usize,
    pub(super) power_losses: usize,
    pub(super) repeated: usize,
}

#[derive(Debug)]
pub(super) struct Cluster {
    random: Random,
    now: Duration,
    nodes: Vec<Node>,
    controller: Controller,
    messages: Vec<Message>,
    /// Copies that come when nobody expects them any more.
    late: Vec<Message>,
    checker: Checker,
    /// Sent and not answered with acks=all.
    waiting: BTreeSet<u64>,
    next_number: u64,
    /// The idempotent producer's one batch: number, sequence, count. It is sent until it is acknowledged.
    repeated: (u64, i32, i32),
    proposals: BTreeMap<BrokerId, ProposalId>,
    coverage: Coverage,
}

impl Cluster {
    pub(super) fn new(seed: u64) -> Cluster {
        let mut random = Random::new(seed);
        let size = if random.one_in(3) { 5 } else { 3 };
        let min_insync_replicas = 1 + random.below(if size == 5 { 3 } else { 2 });
        let config = Config {
            leader: LeaderConfig { min_insync_replicas, replica_lag_time_max: Duration::from_millis(300) },
            is_flushing: random.one_in(3),
        };
        let ids: Vec<BrokerId> = (0..size).map(BrokerId).collect();
        let controller = Controller::new(ids.clone(), min_insync_replicas);
        let nodes = ids.into_iter().map(|id| Node::new(id, controller.broker_epoch(id), config));
        Cluster {
            nodes: nodes.collect(),
            random,
            now: Duration::from_secs(1),
            controller,
            messages: Vec::new(),
            late: Vec::new(),
            checker: Checker::default(),
            waiting: BTreeSet::new(),
            next_number: 1,
            repeated: (0, 0, 1),
            proposals: BTreeMap::new(),
            coverage: Coverage::default(),
        }
    }

    pub(super) fn coverage(&self) -> Coverage {
        Coverage {
            acknowledged: self.checker.acknowledged_count(),
            leaders: self.checker.leader_count(),
            elr_elections: self.controller.elr_elections,
            truncations: self.nodes.iter().map(|node| node.truncations).sum(),
            ..self.coverage
        }
    }

    /// One thing happens, then everything must hold.
    pub(super) fn step(&mut self) -> Result<(), Violation> {
        self.now += Duration::from_millis(u64::try_from(self.random.below(8)).unwrap_or(0));
        match self.random.below(100) {
            0..44 => self.deliver()?,
            44..46 => self.lose(),
            46..49 => self.repeat(),
            49..66 => self.poll(),
            66..74 => self.produce()?,
            74..79 => self.produce_again()?,
            79..86 => self.sync()?,
            86..90 => self.tick()?,
            90..97 => self.heartbeat(),
            97 => self.fault(),
            98 => self.give_up_proposal()?,
            _ => self.delete_or_move()?,
        }
        for node in &self.nodes {
            if let Some(bounds) = node.bounds() {
                self.checker.shows(node.id, node.broker_epoch, bounds.high_watermark, &node.disk)?;
            }
        }
        Ok(())
    }

    fn clock(&self) -> Now {
        Now { monotonic: Monotonic(self.now), wall: Timestamp(1_000) }
    }

    fn any(&mut self) -> usize {
        self.random.below(self.nodes.len())
    }

    fn index(&self, id: BrokerId) -> usize {
        self.nodes.iter().position(|node| node.id == id).expect("a broker of this cluster")
    }

    fn send(&mut self, message: Message) {
        if self.messages.len() < MESSAGES_MAX {
            self.messages.push(message);
        }
    }

    fn lose(&mut self) {
        if !self.messages.is_empty() {
            let at = self.random.below(self.messages.len());
            self.messages.swap_remove(at);
        }
    }

    /// A request to the controller comes once: a connection delivers it or not.
    fn repeat(&mut self) {
        if !self.messages.is_empty() {
            let at = self.random.below(self.messages.len());
            let message = self.messages[at].clone();
            match message {
                Message::Propose { .. } => {}
                Message::Fetch { .. } => {
                    if self.late.len() == LATE_MAX {
                        self.late.remove(0);
                    }
                    self.late.push(message);
                }
                Message::Fetched { .. } | Message::Proposed { .. } | Message::Published { .. } => {
                    self.send(message)
                }
            }
        }
    }

    fn deliver(&mut self) -> Result<(), Violation> {
        if !self.late.is_empty() && self.random.one_in(40) {
            let at = self.random.below(self.late.len());
            let late = self.late.swap_remove(at);
            self.messages.insert(0, late);
        }
        if self.messages.is_empty() {
            return Ok(());
        }
        // The oldest as a rule: where all is out of order nothing gets done.
        let at = if self.random.one_in(4) { self.random.below(self.messages.len()) } else { 0 };
        match self.messages.remove(at) {
            Message::Fetch { to, id, fetch } => self.deliver_fetch(to, id, &fetch),
            Message::Fetched { to, id, answer, batches } => {
                let writable = if self.random.one_in(20) { 0 } else { batches.len() };
                let (at, now) = (self.index(to.0), self.clock());
                if self.nodes[at].broker_epoch == to.1 {
                    self.nodes[at].answered(now, id, answer, &batches, writable)?;
                }
                Ok(())
            }
            Message::Propose { from, proposal } => self.deliver_proposal(from, &proposal),
            Message::Proposed { to, id, result } => {
                let at = self.index(to.0);
                if self.nodes[at].broker_epoch == to.1 {
                    self.lead(at, Event::IsrAnswered { proposal: id, result })?;
                }
                Ok(())
            }
            Message::Published { to, image } => {
                let (at, now) = (self.index(to), self.clock());
                let mut effects = Vec::new();
                let begins = self.nodes[at].apply(now, &image, &mut effects);
                self.carry_out(at, effects)?;
                let node = &self.nodes[at];
                if begins {
                    let epoch = image.state.leader_epoch;
                    self.checker.leads(node.id, node.broker_epoch, epoch, &node.disk)?;
                }
                Ok(())
            }
        }
    }

    fn deliver_fetch(&mut self, to: BrokerId, id: FetchId, fetch: &FollowerFetch) -> Result<(), Violation> {
        let (at, now) = (self.index(to), self.clock());
        let Role::Leader(leader) = &mut self.nodes[at].role else { return Ok(()) };
        let mut effects = Vec::new();
        let answer = leader.follower_fetch(now, fetch, &mut effects);
        let mut batches = Vec::new();
        let answer = match answer {
            Ok(FollowerAnswer::Read { upto, high_watermark, log_start }) => {
                let count = self.random.below(4);
                let range = self.nodes[at].disk.range(fetch.fetch_offset, upto);
                batches.extend(range.take(count).cloned());
                let batches = batches.iter().map(|stored| stored.batch.clone()).collect();
                FetchAnswer::Records { batches, high_watermark, log_start }
            }
            Ok(FollowerAnswer::Diverging { epoch, end_offset }) => {
                FetchAnswer::Diverging { epoch, end_offset }
            }
            Err(FetchRefusal::OutOfRange { log_start, log_end }) => {
                FetchAnswer::OutOfRange { log_start, log_end }
            }
            Err(refusal) => FetchAnswer::Failed(refusal.code()),
        };
        let to = (fetch.broker, fetch.broker_epoch);
        self.send(Message::Fetched { to, id, answer, batches });
        self.carry_out(at, effects)
    }

    fn deliver_proposal(
        &mut self,
        from: (BrokerId, BrokerEpoch),
        proposal: &IsrProposal,
    ) -> Result<(), Violation> {
        let mut after = self.controller.clone();
        let result = after.alter(from.0, from.1, proposal);
        if self.would_keep(&after) {
            self.controller = after;
            self.send(Message::Proposed { to: from, id: proposal.id, result });
            self.publish();
        }
        self.check_keepers()
    }

    /// Whoever the controller may elect has all that was promised.
    fn check_keepers(&self) -> Result<(), Violation> {
        let keepers = self.controller.keepers().map(|keeper| &self.nodes[self.index(keeper)]);
        let mut intact = keepers.filter(|node| !node.is_dirty);
        intact.try_for_each(|node| self.checker.keeps_promises(node.id, &node.disk))
    }

    /// Somebody who can be elected has all that was acknowledged. Without this, records may be lost by the rules.
    fn would_keep(&self, controller: &Controller) -> bool {
        controller.keepers().any(|keeper| !self.nodes[self.index(keeper)].is_dirty)
    }

    fn lead(&mut self, at: usize, event: Event) -> Result<(), Violation> {
        let now = self.clock();
        let Role::Leader(leader) = &mut self.nodes[at].role else { return Ok(()) };
        let mut effects = Vec::new();
        leader.handle(now, event, &mut effects);
        self.carry_out(at, effects)
    }

    fn carry_out(&mut self, at: usize, effects: Vec<Effect>) -> Result<(), Violation> {
        for effect in effects {
            match effect {
                Effect::Complete { waiter: WaiterId(number), result } => {
                    if let (true, Ok(appended)) = (self.waiting.remove(&number), result) {
                        self.acknowledged(number, appended.base_offset)?;
                    }
                }
                Effect::ProposeIsr(proposal) => {
                    let node = &self.nodes[at];
                    let from = (node.id, node.broker_epoch);
                    self.proposals.insert(node.id, proposal.id);
                    self.send(Message::Propose { from, proposal });
                }
                Effect::AssignEpoch { .. } => {}
                Effect::Write { .. } => return Err("a write that nobody asked for".to_owned()),
            }
        }
        Ok(())
    }

    fn acknowledged(&mut self, number: u64, base_offset: Offset) -> Result<(), Violation> {
        self.checker.acknowledged(base_offset, number)?;
        let (repeated, sequence, count) = self.repeated;
        if number == repeated {
            self.coverage.repeated += 1;
            self.repeated = (0, sequence + count, 1 + i32::try_from(self.random.below(3)).unwrap_or(0));
        }
        self.check_keepers()
    }

    fn produce(&mut self) -> Result<(), Violation> {
        let acks = if self.random.one_in(3) { Acks::Leader } else { Acks::All };
        let number = self.number();
        let count = 1 + i32::try_from(self.random.below(3)).unwrap_or(0);
        let at = self.addressed();
        self.append(at, None, number, count, acks)
    }

    fn produce_again(&mut self) -> Result<(), Violation> {
        if self.repeated.0 == 0 {
            self.repeated.0 = self.number();
        }
        let (number, sequence, count) = self.repeated;
        let at = self.addressed();
        self.append(at, Some(sequence), number, count, Acks::All)
    }

    /// A leader: the newest as a rule, or one that has not heard of its end.
    fn addressed(&mut self) -> usize {
        let is_newest = !self.random.one_in(5);
        let leaders = (0..self.nodes.len()).filter(|at| matches!(self.nodes[*at].role, Role::Leader(_)));
        let newest = leaders.max_by_key(|at| self.nodes[*at].bounds().map(|bounds| bounds.leader_epoch));
        newest.filter(|_| is_newest).unwrap_or_else(|| self.any())
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn append(
        &mut self,
        at: usize,
        sequence: Option<i32>,
        number: u64,
        count: i32,
        acks: Acks,
    ) -> Result<(), Violation> {
        let (now, mut effects) = (self.clock(), Vec::new());
        if acks == Acks::All {
            self.waiting.insert(number);
        }
        let batch = batch(sequence, count);
        self.nodes[at].append(now, batch, number, acks, &mut self.checker, &mut effects)?;
        self.carry_out(at, effects)
    }

    fn poll(&mut self) {
        let (at, now) = (self.any(), self.clock());
        let is_over = self.random.one_in(10);
        let node = &mut self.nodes[at];
        let Role::Follower(follower) = &mut node.role else { return };
        if node.fetching.is_some() && !is_over {
            return;
        }
        let Some(fetch) = follower.next_fetch(now) else { return };
        node.fetching = Some(fetch.id);
        let message = Message::Fetch {
            to: fetch.leader,
            id: fetch.id,
            fetch: FollowerFetch {
                broker: node.id,
                broker_epoch: node.broker_epoch,
                leader_epoch: fetch.leader_epoch,
                fetch_offset: fetch.fetch_offset,
                last_fetched_epoch: fetch.last_fetched_epoch,
                log_start: fetch.log_start,
            },
        };
        self.send(message);
    }
}
