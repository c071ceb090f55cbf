//! SyncGroup: the leader hands in the assignment, everybody gets theirs once it is in the log. And Heartbeat.

use std::collections::BTreeMap;

use bytes::Bytes;
use types::{ErrorCode, Now};

use super::coordinator::{GroupCoordinator, Then, Turn};
use super::state::Group;
use super::{AppendId, Effect, GroupRecord, GroupState, Response, SyncGroup, SyncedGroup, WaiterId};

impl GroupCoordinator {
    pub(super) fn sync(&mut self, now: Now, sync: SyncGroup, waiter: WaiterId, effects: &mut Vec<Effect>) {
        let group = sync.group.clone();
        let done = self.with_group(now, &group, effects, |group, turn| group.sync(turn, sync, waiter));
        if done.is_none() {
            let error = if group.is_empty() { ErrorCode::InvalidGroupId } else { ErrorCode::UnknownMemberId };
            effects.push(Effect::Complete { waiter, response: SyncedGroup::refused(error) });
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        now: Now,
        group: &str,
        member: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> ErrorCode {
        if group.is_empty() {
            return ErrorCode::InvalidGroupId;
        }
        let Some(group) = self.groups.get_mut(group) else { return ErrorCode::UnknownMemberId };
        group.heartbeat(now, member, instance_id, generation).err().unwrap_or(ErrorCode::None)
    }
}

impl Group {
    fn sync(&mut self, turn: &mut Turn<'_>, sync: SyncGroup, waiter: WaiterId) {
        if let Err(error) = self.check_sync(&sync) {
            turn.answer(waiter, SyncedGroup::refused(error));
            return;
        }
        let id = sync.member.clone();
        match self.state {
            GroupState::PreparingRebalance => {
                turn.answer(waiter, SyncedGroup::refused(ErrorCode::RebalanceInProgress));
            }
            GroupState::CompletingRebalance => {
                let member = self.members.get_mut(&id).expect("checked above");
                member.session_deadline = None;
                if let Some(superseded) = member.awaiting_sync.replace(waiter) {
                    turn.answer(superseded, SyncedGroup::refused(ErrorCode::RebalanceInProgress));
                }
                if self.is_leader(&id) {
                    self.assign(turn, sync.assignments);
                }
            }
            GroupState::Stable => {
                self.answer_sync(turn, &id, waiter);
            }
            GroupState::Empty | GroupState::Dead => {
                turn.answer(waiter, SyncedGroup::refused(ErrorCode::UnknownMemberId));
            }
        }
    }

    fn check_sync(&self, sync: &SyncGroup) -> Result<(), ErrorCode> {
        if self.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        self.check_member(&sync.member, sync.instance_id.as_deref())?;
        if sync.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |told: &Option<String>, is: &Option<String>| told.is_some() && told != is;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// A member that the leader left out gets an empty assignment.
    fn assign(&mut self, turn: &mut Turn<'_>, assignments: Vec<(String, Bytes)>) {
        let mut all: BTreeMap<String, Bytes> =
            self.members.keys().map(|id| (id.clone(), Bytes::new())).collect();
        for (id, assignment) in assignments {
            if let Some(assigned) = all.get_mut(&id) {
                *assigned = assignment;
            }
        }
        let record = GroupRecord::Group { group: self.id.clone(), value: Some(self.to_stored(&all)) };
        let then = Then::Assign { group: self.id.clone(), generation: self.generation, assignments: all };
        self.assigning = Some(turn.append(vec![record], then));
    }

    /// The assignment is in the log. If a rebalance has begun meanwhile, it is history.
    pub(super) fn assigned(
        &mut self,
        turn: &mut Turn<'_>,
        append: AppendId,
        generation: i32,
        assignments: &BTreeMap<String, Bytes>,
    ) {
        if self.assigning != Some(append) || self.generation != generation {
            return;
        }
        self.assigning = None;
        self.enter(GroupState::Stable, turn.now.wall);
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let member = self.members.get_mut(&id).expect("listed above");
            member.assignment = assignments.get(&id).cloned().unwrap_or_default();
            if let Some(waiter) = member.awaiting_sync.take() {
                self.answer_sync(turn, &id, waiter);
            }
        }
        // Those who have not asked yet are watched by their sessions.
        self.sync_deadline = None;
    }

    pub(super) fn assignment_failed(
        &mut self,
        turn: &mut Turn<'_>,
        append: AppendId,
        generation: i32,
        error: ErrorCode,
    ) {
        if self.assigning != Some(append) || self.generation != generation {
            return;
        }
        self.drop_assignment(turn, error);
        self.prepare_rebalance(turn, false);
    }

    fn answer_sync(&mut self, turn: &mut Turn<'_>, id: &str, waiter: WaiterId) {
        let member = self.members.get_mut(id).expect("checked by the caller");
        member.touch(turn.now.monotonic);
        let response = Response::Synced(SyncedGroup {
            error: None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: member.assignment.clone(),
        });
        turn.answer(waiter, response);
    }

    fn heartbeat(
        &mut self,
        now: Now,
        member: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        if self.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        self.check_member(member, instance_id)?;
        if generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let member = self.members.get_mut(member).expect("checked above");
        match self.state {
            GroupState::Empty | GroupState::Dead => Err(ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => {
                if member.awaiting_join.is_none() {
                    member.touch(now.monotonic);
                }
                Err(ErrorCode::RebalanceInProgress)
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                member.touch(now.monotonic);
                Ok(())
            }
        }
    }
}
