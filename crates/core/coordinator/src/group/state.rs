//! One group.

use std::collections::BTreeMap;
use std::time::Duration;

use types::{ErrorCode, Monotonic, Timestamp};

use super::member::Member;
use super::{AppendId, CommittedOffset, StoredGroup};

/// Where a group is between two rebalances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// Without members.
    Empty,
    /// Waiting for the members to join.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// Everybody has an assignment.
    Stable,
    /// Not there, or no longer.
    Dead,
}

impl GroupState {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

/// A group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) id: String,
    pub(super) state: GroupState,
    pub(super) state_timestamp: Timestamp,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// `group.instance.id` to member.
    pub(super) static_members: BTreeMap<String, String>,
    /// Members that were told their id and have not come back with it, and until when they may.
    pub(super) pending: BTreeMap<String, Monotonic>,
    pub(super) rebalance: Option<Rebalance>,
    /// Until when every member must have asked for its assignment.
    pub(super) sync_deadline: Option<Monotonic>,
    /// The leader's assignment on its way to the log.
    pub(super) assigning: Option<AppendId>,
    pub(super) offsets: BTreeMap<String, BTreeMap<i32, CommittedOffset>>,
}

/// A rebalance that waits for members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rebalance {
    pub(super) deadline: Monotonic,
    /// The first rebalance of an empty group waits for more members: until when at most.
    pub(super) initial_until: Option<Monotonic>,
    pub(super) has_new_member: bool,
}

impl Group {
    pub(super) fn new(id: &str, now: Timestamp) -> Group {
        Group {
            id: id.to_owned(),
            state: GroupState::Empty,
            state_timestamp: now,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending: BTreeMap::new(),
            rebalance: None,
            sync_deadline: None,
            assigning: None,
            offsets: BTreeMap::new(),
        }
    }

    pub(super) fn enter(&mut self, state: GroupState, now: Timestamp) {
        self.state = state;
        self.state_timestamp = now;
    }

    pub(super) fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    pub(super) fn has_all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some())
    }

    pub(super) fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    /// Whether a newcomer speaks a protocol that all others know.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[(String, bytes::Bytes)]) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let is_common = |name: &str| self.members.values().all(|member| member.knows(name));
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|(name, _)| is_common(name))
    }

    /// Each member votes for the first of its protocols that all know; the most votes win, the earlier name on a tie.
    pub(super) fn elect_protocol(&self) -> Option<String> {
        let is_common = |name: &str| self.members.values().all(|member| member.knows(name));
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| is_common(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.to_owned())
    }

    /// Whether a request comes from a member of the group.
    pub(super) fn check_member(&self, member: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            return match self.static_members.get(instance_id) {
                None => Err(ErrorCode::UnknownMemberId),
                Some(current) if current != member => Err(ErrorCode::FencedInstanceId),
                Some(_) => Ok(()),
            };
        }
        match self.members.contains_key(member) {
            true => Ok(()),
            false => Err(ErrorCode::UnknownMemberId),
        }
    }

    pub(super) fn add(&mut self, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), member.id.clone());
        }
        self.pending.remove(&member.id);
        self.members.insert(member.id.clone(), member);
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.members.remove(id)?;
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// As the log keeps it, with these assignments.
    pub(super) fn to_stored(&self, assignments: &BTreeMap<String, bytes::Bytes>) -> StoredGroup {
        let protocol = self.protocol.as_deref();
        let member = |member: &Member| {
            let assignment = assignments.get(&member.id).cloned().unwrap_or_default();
            member.to_stored(protocol, assignment)
        };
        StoredGroup {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_timestamp: self.state_timestamp,
            members: self.members.values().map(member).collect(),
        }
    }

    /// Takes what the log has. Offsets are kept apart.
    pub(super) fn load(&mut self, stored: StoredGroup) {
        self.members.clear();
        self.static_members.clear();
        self.generation = stored.generation;
        self.protocol_type = Some(stored.protocol_type).filter(|protocol_type| !protocol_type.is_empty());
        self.protocol.clone_from(&stored.protocol);
        self.state = if stored.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        self.state_timestamp = stored.state_timestamp;
        for member in stored.members {
            let member = Member::from_stored(member, stored.protocol.as_deref());
            if let Some(instance_id) = &member.instance_id {
                self.static_members.insert(instance_id.clone(), member.id.clone());
            }
            self.members.insert(member.id.clone(), member);
        }
        self.leader = stored.leader;
    }
}
