//! What happens because time passes: members that are silent, rebalances that take too long, offsets that nobody needs.

use types::{Monotonic, Now, Timestamp};

use super::coordinator::{GroupCoordinator, Then, Turn};
use super::offsets::tombstone;
use super::state::Group;
use super::{Effect, GroupRecord, GroupState};

impl GroupCoordinator {
    /// When `tick` is due.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let groups = self.groups.values().filter_map(Group::next_deadline);
        groups.chain(self.next_retention_check).min()
    }

    /// Acts on every deadline that has passed.
    pub fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let is_due = |group: &Group| group.next_deadline().is_some_and(|deadline| deadline <= now.monotonic);
        let due: Vec<_> =
            self.groups.values().filter(|group| is_due(group)).map(|group| group.id.clone()).collect();
        for id in due {
            self.with_group(now, &id, effects, Group::tick);
        }
        if self.next_retention_check.is_some_and(|deadline| deadline <= now.monotonic) {
            self.next_retention_check =
                Some(now.monotonic.plus(self.config.offsets_retention_check_interval));
            self.expire_offsets(now, effects);
        }
    }

    /// Offsets of groups that have long been without members go, and with the last of them the group.
    fn expire_offsets(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let GroupCoordinator { config, groups, appends, .. } = self;
        groups.retain(|_, group| !group.is_vacant());
        let retention_ms = i64::try_from(config.offsets_retention.as_millis()).unwrap_or(i64::MAX);
        let mut turn = Turn { now: super::coordinator::at(now), config, effects, appends };
        for group in
            groups.values_mut().filter(|group| group.state == GroupState::Empty && group.pending.is_empty())
        {
            let records = group.expired(now.wall, retention_ms);
            if records.is_empty() {
                continue;
            }
            if matches!(records.last(), Some(GroupRecord::Group { .. })) {
                group.enter(GroupState::Dead, now.wall);
            }
            turn.append(records, Then::Nothing);
        }
    }
}

impl Group {
    fn next_deadline(&self) -> Option<Monotonic> {
        let sessions = self.members.values().filter_map(|member| member.session_deadline);
        let pending = self.pending.values().copied();
        let rebalance = self.rebalance.map(|rebalance| rebalance.deadline);
        sessions.chain(pending).chain(rebalance).chain(self.sync_deadline).min()
    }

    fn tick(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.monotonic;
        let is_over = |deadline: Option<Monotonic>| deadline.is_some_and(|deadline| deadline <= now);
        let silent = self.members.values().filter(|member| is_over(member.session_deadline));
        let silent: Vec<_> = silent.map(|member| member.id.clone()).collect();
        let given_up = self.pending.iter().filter(|(_, deadline)| **deadline <= now);
        let given_up: Vec<_> = given_up.map(|(id, _)| id.clone()).collect();
        for id in silent.iter().chain(&given_up) {
            self.expel(turn, id);
        }
        if is_over(self.sync_deadline) {
            self.sync_expired(turn);
        }
        if is_over(self.rebalance.map(|rebalance| rebalance.deadline)) {
            self.rebalance_expired(turn);
        }
    }

    /// Who has not asked for its assignment in the time of a rebalance is not there.
    fn sync_expired(&mut self, turn: &mut Turn<'_>) {
        self.sync_deadline = None;
        let is_absent = |member: &&super::member::Member| {
            self.state == GroupState::CompletingRebalance && member.awaiting_sync.is_none()
        };
        let absent: Vec<_> =
            self.members.values().filter(is_absent).map(|member| member.id.clone()).collect();
        for id in absent {
            self.expel(turn, &id);
        }
    }

    /// Whether nobody ever was a member and nothing is committed: the log knows nothing of it.
    fn is_vacant(&self) -> bool {
        self.state == GroupState::Empty
            && self.generation == 0
            && self.protocol_type.is_none()
            && self.pending.is_empty()
            && self.offsets.is_empty()
    }

    /// The records that take out what is too old: offsets, and behind the last of them the group.
    fn expired(&self, now: Timestamp, retention_ms: i64) -> Vec<GroupRecord> {
        let is_over = |since: Timestamp| now.0.saturating_sub(since.0) >= retention_ms;
        // A group that had members counts from when the last one left, others from each commit.
        let is_idle = self.protocol_type.is_some() && is_over(self.state_timestamp);
        let is_expired = |committed: Timestamp| match self.protocol_type {
            Some(_) => is_idle && is_over(committed),
            None => is_over(committed),
        };
        let mut records = Vec::new();
        let mut kept = 0usize;
        for (topic, partitions) in &self.offsets {
            for (partition, committed) in partitions {
                match is_expired(committed.committed) {
                    true => records.push(tombstone(&self.id, topic, *partition)),
                    false => kept += 1,
                }
            }
        }
        let was_stored = self.protocol_type.is_some() || self.generation > 0;
        if kept == 0 && (was_stored && (is_idle || self.offsets.is_empty()) || !records.is_empty()) {
            records.push(GroupRecord::Group { group: self.id.clone(), value: None });
        }
        records
    }
}
