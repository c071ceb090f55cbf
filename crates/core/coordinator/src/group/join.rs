//! JoinGroup: becoming a member, staying one, and coming back.

use types::{ErrorCode, Now};

use super::coordinator::{GroupCoordinator, Then, Turn};
use super::member::{Member, millis};
use super::state::Group;
use super::{Effect, GroupState, JoinGroup, JoinedGroup, Response, WaiterId};

impl GroupCoordinator {
    pub(super) fn join(&mut self, now: Now, join: JoinGroup, waiter: WaiterId, effects: &mut Vec<Effect>) {
        if let Err(error) = self.check_join(&join) {
            let response = JoinedGroup::refused(error, &join.member);
            effects.push(Effect::Complete { waiter, response });
            return;
        }
        let is_known = self.groups.contains_key(&join.group);
        if !is_known {
            self.groups.insert(join.group.clone(), Group::new(&join.group, now.wall));
        }
        let group = join.group.clone();
        self.with_group(now, &group, effects, |group, turn| group.join(turn, join, waiter));
    }

    fn check_join(&self, join: &JoinGroup) -> Result<(), ErrorCode> {
        if join.group.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let session = millis(join.session_timeout_ms);
        if join.session_timeout_ms < 0
            || session < self.config.session_timeout_min
            || session > self.config.session_timeout_max
        {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        if !self.groups.contains_key(&join.group) && !join.member.is_empty() {
            return Err(ErrorCode::UnknownMemberId);
        }
        Ok(())
    }
}

impl Group {
    fn join(&mut self, turn: &mut Turn<'_>, join: JoinGroup, waiter: WaiterId) {
        if let Err(error) = self.admit(turn, &join) {
            turn.answer(waiter, JoinedGroup::refused(error, &join.member));
            return;
        }
        if join.member.is_empty() {
            self.join_new(turn, join, waiter);
        } else {
            self.join_known(turn, join, waiter);
        }
    }

    fn admit(&self, turn: &Turn<'_>, join: &JoinGroup) -> Result<(), ErrorCode> {
        if self.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        if !self.supports(&join.protocol_type, &join.protocols) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let is_member = self.members.contains_key(&join.member) || self.pending.contains_key(&join.member);
        let replaces = join.instance_id.as_ref().is_some_and(|id| self.static_members.contains_key(id));
        let size = self.members.len() + self.pending.len();
        if !is_member && !replaces && size >= turn.config.size_max {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        Ok(())
    }

    fn join_new(&mut self, turn: &mut Turn<'_>, join: JoinGroup, waiter: WaiterId) {
        let fresh = join.fresh_member.clone();
        match &join.instance_id {
            Some(instance_id) => match self.static_members.get(instance_id).cloned() {
                Some(old) => self.replace_static(turn, &old, join, waiter),
                None => self.add_and_rebalance(turn, &fresh, join, waiter),
            },
            None if join.requires_known_member => {
                let deadline = turn.now.monotonic.plus(millis(join.session_timeout_ms));
                self.pending.insert(fresh.clone(), deadline);
                turn.answer(waiter, JoinedGroup::refused(ErrorCode::MemberIdRequired, &fresh));
            }
            None => self.add_and_rebalance(turn, &fresh, join, waiter),
        }
    }

    fn join_known(&mut self, turn: &mut Turn<'_>, join: JoinGroup, waiter: WaiterId) {
        let id = join.member.clone();
        if self.pending.contains_key(&id) {
            self.add_and_rebalance(turn, &id, join, waiter);
            return;
        }
        if let Err(error) = self.check_member(&id, join.instance_id.as_deref()) {
            turn.answer(waiter, JoinedGroup::refused(error, &id));
            return;
        }
        let member = &self.members[&id];
        let is_same = member.protocols == join.protocols;
        match self.state {
            GroupState::PreparingRebalance => self.update_and_rebalance(turn, &join, waiter),
            // It did not hear the answer to its join: the same answer again.
            GroupState::CompletingRebalance if is_same => self.answer_join(turn, &id, waiter),
            GroupState::CompletingRebalance => self.update_and_rebalance(turn, &join, waiter),
            GroupState::Stable if self.is_leader(&id) || !is_same => {
                self.update_and_rebalance(turn, &join, waiter);
            }
            // A follower whose subscription is what it was has nothing to rebalance.
            GroupState::Stable => self.answer_join(turn, &id, waiter),
            GroupState::Empty | GroupState::Dead => {
                turn.answer(waiter, JoinedGroup::refused(ErrorCode::UnknownMemberId, &id));
            }
        }
    }

    fn add_and_rebalance(&mut self, turn: &mut Turn<'_>, id: &str, join: JoinGroup, waiter: WaiterId) {
        let mut member = Member::new(id, &join);
        member.awaiting_join = Some(waiter);
        self.add(member, &join.protocol_type);
        self.prepare_rebalance(turn, true);
    }

    fn update_and_rebalance(&mut self, turn: &mut Turn<'_>, join: &JoinGroup, waiter: WaiterId) {
        let member = self.members.get_mut(&join.member).expect("checked by the caller");
        member.update(join);
        let superseded = member.awaiting_join.replace(waiter);
        member.session_deadline = None;
        if let Some(waiter) = superseded {
            // The member asked twice; nobody listens to the first answer any more.
            turn.answer(waiter, JoinedGroup::refused(ErrorCode::RebalanceInProgress, &join.member));
        }
        self.prepare_rebalance(turn, false);
    }

    /// A static member that was restarted takes its own place, under a new id; whoever still has the old one is fenced.
    fn replace_static(&mut self, turn: &mut Turn<'_>, old: &str, join: JoinGroup, waiter: WaiterId) {
        let fresh = join.fresh_member.clone();
        let was_leader = self.is_leader(old);
        let mut member = self.remove(old).expect("static members are members");
        if let Some(waiter) = member.awaiting_join.take() {
            turn.answer(waiter, JoinedGroup::refused(ErrorCode::FencedInstanceId, old));
        }
        if let Some(waiter) = member.awaiting_sync.take() {
            turn.answer(waiter, super::SyncedGroup::refused(ErrorCode::FencedInstanceId));
        }
        member.id.clone_from(&fresh);
        member.update(&join);
        member.touch(turn.now.monotonic);
        let protocol_type = join.protocol_type.clone();
        self.add(member, &protocol_type);
        if was_leader {
            self.leader = Some(fresh.clone());
        }
        // Its subscription names what it owned, which differs after a restart: only the protocol counts.
        if self.state == GroupState::Stable && self.elect_protocol() == self.protocol {
            let response = match (was_leader, join.can_skip_assignment) {
                // A client that cannot skip must not believe that it leads, or it would assign once more.
                (true, false) => self.joined_under(&fresh, old),
                (true, true) | (false, _) => self.joined(&fresh, was_leader),
            };
            let on_error = |error, _| JoinedGroup::refused(error, "");
            self.store_members(turn, Then::Answer { waiter, response, on_error });
            return;
        }
        let member = self.members.get_mut(&fresh).expect("it was just added");
        member.awaiting_join = Some(waiter);
        member.session_deadline = None;
        self.prepare_rebalance(turn, false);
    }

    /// Answers one member's join with what the group is.
    pub(super) fn answer_join(&mut self, turn: &mut Turn<'_>, id: &str, waiter: WaiterId) {
        turn.answer(waiter, self.joined(id, false));
        if let Some(member) = self.members.get_mut(id) {
            member.touch(turn.now.monotonic);
        }
    }

    fn joined(&self, id: &str, skip_assignment: bool) -> Response {
        let protocol = self.protocol.as_deref();
        let describe =
            |member: &Member| (member.id.clone(), member.instance_id.clone(), member.subscription(protocol));
        let members = match self.is_leader(id) {
            true => self.members.values().map(describe).collect(),
            false => Vec::new(),
        };
        let leader = self.leader.clone().unwrap_or_default();
        Response::Joined(JoinedGroup { leader, skip_assignment, members, ..self.joined_as(id) })
    }

    fn joined_under(&self, id: &str, leader: &str) -> Response {
        Response::Joined(JoinedGroup { leader: leader.to_owned(), ..self.joined_as(id) })
    }

    fn joined_as(&self, id: &str) -> JoinedGroup {
        JoinedGroup {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            member: id.to_owned(),
            ..JoinedGroup::default()
        }
    }
}
