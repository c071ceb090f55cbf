//! A partition that this node leads: carries out what `replication::Leader` decides.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use record::{BatchHeader, BatchSummary, patched_prefix};
use replication::{
    Acks, Appended, CommittedIsr, Effect, Event, FetchRefusal, FollowerAnswer, FollowerFetch, ProposalId,
    WaiterId,
};
use storage::AppendError;
use tokio::sync::oneshot;
use tokio::time::Instant;
use types::{ErrorCode, Now, Offset, ProducerId};

use super::{Partition, Shell};
use crate::partitions::role::Role;
use crate::seams::Wall;

pub(super) type Answer = Result<Appended, ErrorCode>;

/// Nobody has this id: what nobody waits for is answered to nobody.
const NOBODY: WaiterId = WaiterId(u64::MAX);

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

impl Partition {
    /// Decides on a batch and, if it is new, writes it. Does not wait: a caller that appends before its first await
    /// keeps the order of its connection.
    pub(crate) fn append(self: &Arc<Self>, now: Now, append: Append) -> AppendTicket {
        let mut shell = self.lock();
        let waiter = WaiterId(shell.next_waiter);
        shell.next_waiter += 1;
        let Role::Leading(leader) = &mut shell.role else {
            return AppendTicket::Done(Err(ErrorCode::NotLeaderOrFollower));
        };
        let Append { batch, bytes, acks, timeout } = append;
        let mut effects = Vec::with_capacity(2);
        let event = Event::Append { batch: batch.clone(), acks, waiter, timeout };
        leader.handle(now, event, &mut effects);
        if let [Effect::Write { base_offset, leader_epoch }] = effects[..] {
            effects.clear();
            let batch = BatchSummary { base_offset, leader_epoch, ..batch };
            self.write(&mut shell, now, batch, &bytes, &mut effects);
        }
        let answer = self.answer(&mut shell, now, effects, waiter);
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

    /// Takes in a follower's fetch and says what it may read.
    pub(crate) fn follower_fetch(
        &self,
        now: Now,
        fetch: &FollowerFetch,
    ) -> Result<FollowerAnswer, FetchRefusal> {
        let mut shell = self.lock();
        let Shell { role: Role::Leading(leader), log: Some(_), .. } = &mut *shell else {
            return Err(FetchRefusal::NotLeader);
        };
        let mut effects = Vec::new();
        let leader_end = leader.bounds().log_end;
        let answer = leader.follower_fetch(now, fetch, &mut effects);
        if let Ok(FollowerAnswer::Read { .. }) = &answer {
            let mut followers = shell.followers.iter().flat_map(|followers| followers.iter());
            if let Some(known) = followers.find(|known| known.broker == fetch.broker) {
                known.note(now.monotonic, fetch.fetch_offset, leader_end);
            }
        }
        self.carry_out(&mut shell, now, effects);
        self.publish(&shell);
        answer
    }

    /// Takes in the controller's answer to a proposal.
    pub(crate) fn isr_answered(
        &self,
        now: Now,
        proposal: ProposalId,
        result: Result<CommittedIsr, ErrorCode>,
    ) {
        self.lead(now, Event::IsrAnswered { proposal, result });
    }

    /// Deletes the records before `to`; `None` is the high watermark. Gives back the new log start.
    pub(crate) fn delete_records(&self, now: Now, to: Option<Offset>) -> Result<Offset, ErrorCode> {
        let mut shell = self.lock();
        if !shell.role.is_leading() {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let bounds = shell.role.bounds();
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
        Ok(shell.role.bounds().log_start)
    }

    /// Whether this node leads and an idempotent producer has written here.
    pub(crate) fn knows_producer(&self, producer: ProducerId) -> bool {
        match &self.lock().role {
            Role::Leading(leader) => leader.knows_producer(producer),
            Role::Following(_) => false,
        }
    }

    /// The smallest log start of the replicas that may lead; only a leader knows it, and `None` within while it cannot.
    pub(crate) fn low_watermark(&self) -> Result<Option<Offset>, ErrorCode> {
        match &*self.lock() {
            Shell { role: Role::Leading(leader), log: Some(_), .. } => Ok(leader.low_watermark()),
            _ => Err(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// Whether this node leads and its high watermark is past all that earlier leaders may have shown (KIP-207).
    pub(crate) fn is_high_watermark_settled(&self) -> bool {
        match &self.lock().role {
            Role::Leading(leader) => leader.is_high_watermark_settled(),
            Role::Following(_) => false,
        }
    }

    /// Tells the leader something; a follower has no use for it.
    pub(super) fn lead(&self, now: Now, event: Event) {
        let mut shell = self.lock();
        let in_sync = shell.role.isr_len();
        let Role::Leading(leader) = &mut shell.role else { return };
        let mut effects = Vec::new();
        leader.handle(now, event, &mut effects);
        self.errands.count_isr(in_sync, shell.role.isr_len());
        self.carry_out(&mut shell, now, effects);
        self.publish(&shell);
    }

    /// Does what a leader asks for, apart from writing what is being appended.
    pub(super) fn carry_out(&self, shell: &mut Shell, now: Now, effects: Vec<Effect>) {
        self.answer(shell, now, effects, NOBODY);
    }

    /// Gives back the answer of `own`, if it is among the effects.
    fn answer(&self, shell: &mut Shell, now: Now, effects: Vec<Effect>, own: WaiterId) -> Option<Answer> {
        let mut answer = None;
        for effect in effects {
            match effect {
                Effect::Complete { waiter, result } if waiter == own => answer = Some(result),
                Effect::Complete { waiter, result } => {
                    if let Some(sender) = shell.waiters.remove(&waiter) {
                        // Nobody listens any more when the client has hung up.
                        sender.send(result).ok();
                    }
                }
                Effect::ProposeIsr(proposal) => self.errands.proposals.push((self.id, proposal)),
                Effect::AssignEpoch { leader_epoch, start } => {
                    let assigned = shell.log.as_mut().map(|log| log.assign_epoch(leader_epoch, start));
                    if let Some(Err(error)) = assigned {
                        // A leader whose epoch is not written down could not tell a follower where to cut.
                        tracing::error!(partition = %self.label(), %error, "cannot note the leader epoch");
                        self.resign(shell, now, ErrorCode::KafkaStorageError);
                    }
                }
                Effect::Write { .. } => {
                    unreachable!("only an append leads to a write, and it was carried out")
                }
            }
        }
        answer
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
        let Shell { role: Role::Leading(leader), log, .. } = shell else { return };
        let Some(log) = log else {
            return leader.handle(now, Event::WriteFailed { error: ErrorCode::KafkaStorageError }, effects);
        };
        let prefix = patched_prefix(&batch, batch.base_offset, batch.leader_epoch);
        let written =
            log.append(&batch, &prefix, &bytes[prefix.len()..], now.wall, &|| leader.producer_snapshot());
        if let Err(error) = written {
            tracing::error!(partition = %self.label(), %error, "cannot append");
            if let AppendError::Io(error) = &error {
                self.log_dir.look_at(error);
            }
            return leader.handle(now, Event::WriteFailed { error: ErrorCode::KafkaStorageError }, effects);
        }
        leader.handle(now, Event::Written { batch }, effects);
        let end = leader.bounds().log_end;
        self.written(shell, now, end, effects);
    }
}
