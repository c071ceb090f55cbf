//! From "somebody came or went" to "everybody knows the new generation".

use types::ErrorCode;

use super::coordinator::{Then, Turn};
use super::state::{Group, Rebalance};
use super::{Effect, GroupRecord, GroupState, JoinedGroup, SyncedGroup};

impl Group {
    /// Begins a rebalance, or goes on with the one that waits.
    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>, is_new_member: bool) {
        match self.state {
            GroupState::PreparingRebalance => {
                if let Some(rebalance) = &mut self.rebalance {
                    rebalance.has_new_member |= is_new_member;
                }
            }
            GroupState::Empty => {
                let now = turn.now.monotonic;
                let delay = turn.config.initial_rebalance_delay.min(self.rebalance_timeout());
                let initial_until = Some(now.plus(self.rebalance_timeout()));
                self.rebalance =
                    Some(Rebalance { deadline: now.plus(delay), initial_until, has_new_member: false });
                self.enter(GroupState::PreparingRebalance, turn.now.wall);
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.drop_assignment(turn, ErrorCode::RebalanceInProgress);
                let deadline = turn.now.monotonic.plus(self.rebalance_timeout());
                self.rebalance =
                    Some(Rebalance { deadline, initial_until: None, has_new_member: is_new_member });
                self.enter(GroupState::PreparingRebalance, turn.now.wall);
            }
            GroupState::Dead => {}
        }
        self.try_complete_join(turn);
    }

    /// Ends the waiting for members when there is nobody left to wait for.
    pub(super) fn try_complete_join(&mut self, turn: &mut Turn<'_>) {
        let Some(rebalance) = self.rebalance else { return };
        let waits_initially =
            rebalance.initial_until.is_some_and(|_| rebalance.deadline > turn.now.monotonic);
        if !waits_initially && self.has_all_joined() {
            self.complete_join(turn);
        }
    }

    /// The time of a rebalance is over.
    pub(super) fn rebalance_expired(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.monotonic;
        let Some(rebalance) = &mut self.rebalance else { return };
        // An empty group that still fills up waits a little more.
        if let Some(until) = rebalance.initial_until
            && rebalance.has_new_member
            && until > now
        {
            rebalance.has_new_member = false;
            rebalance.deadline = now.plus(turn.config.initial_rebalance_delay).min(until);
            return;
        }
        self.complete_join(turn);
    }

    fn complete_join(&mut self, turn: &mut Turn<'_>) {
        // Who did not come back is out; a static member has its session's time to come back.
        let is_gone =
            |member: &&super::member::Member| member.awaiting_join.is_none() && member.instance_id.is_none();
        let gone: Vec<_> = self.members.values().filter(is_gone).map(|member| member.id.clone()).collect();
        for id in gone {
            self.remove(&id);
        }
        let is_anyone_here = self.members.values().any(|member| member.awaiting_join.is_some());
        if !self.members.is_empty() && !is_anyone_here {
            // Only static members, and none of them is back: wait on.
            let deadline = turn.now.monotonic.plus(self.rebalance_timeout());
            self.rebalance = Some(Rebalance { deadline, initial_until: None, has_new_member: false });
            return;
        }
        self.rebalance = None;
        self.generation += 1;
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.enter(GroupState::Empty, turn.now.wall);
            self.store_members(turn, Then::Nothing);
            return;
        }
        // The leader assigns: it has to be somebody who is here.
        let leads = self.leader.as_ref().is_some_and(|id| self.members[id].awaiting_join.is_some());
        if !leads {
            let here = self.members.values().find(|member| member.awaiting_join.is_some());
            self.leader = here.map(|member| member.id.clone());
        }
        self.protocol = self.elect_protocol();
        self.enter(GroupState::CompletingRebalance, turn.now.wall);
        self.sync_deadline = Some(turn.now.monotonic.plus(self.rebalance_timeout()));
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            match self.members.get_mut(&id).and_then(|member| member.awaiting_join.take()) {
                Some(waiter) => self.answer_join(turn, &id, waiter),
                None => self.members.get_mut(&id).expect("listed above").touch(turn.now.monotonic),
            }
        }
    }

    /// Forgets what was assigned and tells those who wait for it.
    pub(super) fn drop_assignment(&mut self, turn: &mut Turn<'_>, error: ErrorCode) {
        self.assigning = None;
        self.sync_deadline = None;
        for member in self.members.values_mut() {
            if self.state == GroupState::CompletingRebalance {
                member.assignment = bytes::Bytes::new();
            }
            if let Some(waiter) = member.awaiting_sync.take() {
                member.touch(turn.now.monotonic);
                turn.answer(waiter, SyncedGroup::refused(error));
            }
        }
    }

    /// A member is out, by its own wish or because it was silent.
    pub(super) fn expel(&mut self, turn: &mut Turn<'_>, id: &str) {
        self.pending.remove(id);
        if let Some(member) = self.remove(id) {
            if let Some(waiter) = member.awaiting_join {
                turn.answer(waiter, JoinedGroup::refused(ErrorCode::UnknownMemberId, id));
            }
            if let Some(waiter) = member.awaiting_sync {
                turn.answer(waiter, SyncedGroup::refused(ErrorCode::UnknownMemberId));
            }
        }
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(turn, false),
            GroupState::PreparingRebalance => self.try_complete_join(turn),
            GroupState::Empty | GroupState::Dead => {}
        }
    }

    /// Has the log follow the members.
    pub(super) fn store_members(&mut self, turn: &mut Turn<'_>, then: Then) {
        let assignments =
            self.members.values().map(|member| (member.id.clone(), member.assignment.clone())).collect();
        let record = GroupRecord::Group { group: self.id.clone(), value: Some(self.to_stored(&assignments)) };
        turn.append(vec![record], then);
    }

    /// Tells everybody who waits.
    pub(super) fn refuse_waiting(&mut self, error: ErrorCode, effects: &mut Vec<Effect>) {
        for member in self.members.values_mut() {
            if let Some(waiter) = member.awaiting_join.take() {
                effects.push(Effect::Complete { waiter, response: JoinedGroup::refused(error, &member.id) });
            }
            if let Some(waiter) = member.awaiting_sync.take() {
                effects.push(Effect::Complete { waiter, response: SyncedGroup::refused(error) });
            }
        }
    }
}
