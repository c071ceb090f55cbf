//! The groups of one partition of `__consumer_offsets`: commands in, effects out.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use types::{ErrorCode, Monotonic, Now};

use super::command::At;
use super::state::Group;
use super::{AppendId, Command, Effect, GroupConfig, GroupRecord, GroupState, Response, WaiterId};

/// All groups of one partition. What clients are told of offsets is committed.
#[derive(Debug)]
pub struct GroupCoordinator {
    pub(super) config: GroupConfig,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) appends: Appends,
    pub(super) next_retention_check: Option<Monotonic>,
}

/// Records on their way to the log.
#[derive(Debug, Default)]
pub(super) struct Appends {
    next: u64,
    waiting: BTreeMap<AppendId, Append>,
}

#[derive(Debug)]
pub(super) struct Append {
    records: Vec<GroupRecord>,
    then: Then,
}

/// What happens once records are committed.
#[derive(Debug)]
pub(super) enum Then {
    /// Nothing more than that.
    Nothing,
    /// Somebody is answered; on a failure with `on_error`.
    Answer { waiter: WaiterId, response: Response, on_error: fn(ErrorCode, Response) -> Response },
    /// The members of a group get what its leader assigned.
    Assign { group: String, generation: i32, assignments: BTreeMap<String, Bytes> },
}

/// What a step of a group works with.
pub(super) struct Turn<'a> {
    pub(super) now: At,
    pub(super) config: &'a GroupConfig,
    pub(super) effects: &'a mut Vec<Effect>,
    pub(super) appends: &'a mut Appends,
}

impl Appends {
    /// The offsets of a group that are on their way.
    pub(super) fn offsets_of(&self, group: &str) -> BTreeSet<(String, i32)> {
        let records = self.waiting.values().flat_map(|append| &append.records);
        let offsets = records.filter_map(|record| match record {
            GroupRecord::Offset { group: of, topic, partition, .. } if of == group => {
                Some((topic.clone(), *partition))
            }
            GroupRecord::Offset { .. } | GroupRecord::Group { .. } => None,
        });
        offsets.collect()
    }
}

impl Turn<'_> {
    pub(super) fn answer(&mut self, waiter: WaiterId, response: Response) {
        self.effects.push(Effect::Complete { waiter, response });
    }

    pub(super) fn append(&mut self, records: Vec<GroupRecord>, then: Then) -> AppendId {
        debug_assert!(!records.is_empty(), "an append holds records");
        let id = AppendId(self.appends.next);
        self.appends.next += 1;
        self.effects.push(Effect::Append { id, records: records.clone() });
        self.appends.waiting.insert(id, Append { records, then });
        id
    }
}

impl GroupCoordinator {
    /// No group yet.
    pub fn new(config: GroupConfig) -> GroupCoordinator {
        GroupCoordinator {
            config,
            groups: BTreeMap::new(),
            appends: Appends::default(),
            next_retention_check: None,
        }
    }

    /// Takes in a record of the log, before the first command.
    pub fn replay(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::Group { group, value: Some(stored) } => {
                let timestamp = stored.state_timestamp;
                let group = self.groups.entry(group.clone()).or_insert_with(|| Group::new(group, timestamp));
                group.load(stored.clone());
            }
            GroupRecord::Group { group, value: None } => {
                self.groups.remove(group);
            }
            GroupRecord::Offset { .. } => self.apply_offset(record),
        }
    }

    /// All records are in: members get a session's time to be heard of.
    pub fn loaded(&mut self, now: Now) {
        for group in self.groups.values_mut() {
            group.members.values_mut().for_each(|member| member.touch(now.monotonic));
        }
        self.next_retention_check = Some(now.monotonic.plus(self.config.offsets_retention_check_interval));
    }

    /// Carries out a command; its answer comes as an effect, now or later.
    pub fn handle(&mut self, now: Now, command: Command, waiter: WaiterId, effects: &mut Vec<Effect>) {
        match command {
            Command::Join(join) => self.join(now, join, waiter, effects),
            Command::Sync(sync) => self.sync(now, sync, waiter, effects),
            Command::Heartbeat { group, member, instance_id, generation } => {
                let code = self.heartbeat(now, &group, &member, instance_id.as_deref(), generation);
                effects.push(Effect::Complete { waiter, response: Response::Done(code) });
            }
            Command::Leave { group, members } => self.leave(now, &group, members, waiter, effects),
            Command::Commit(commit) => self.commit_offsets(now, commit, waiter, effects),
            Command::FetchOffsets { group, topics } => {
                let response = Response::Fetched(self.fetch_offsets(&group, topics));
                effects.push(Effect::Complete { waiter, response });
            }
            Command::DeleteOffsets { group, topics } => {
                self.delete_offsets(now, &group, topics, waiter, effects)
            }
            Command::ForgetTopic { topic } => self.forget_topic(now, &topic, waiter, effects),
            Command::Delete { group } => self.delete_group(now, &group, waiter, effects),
            Command::Describe { group } => {
                let response = Response::Described(self.describe(&group));
                effects.push(Effect::Complete { waiter, response });
            }
            Command::List { states } => {
                let response = Response::Listed(self.list(&states));
                effects.push(Effect::Complete { waiter, response });
            }
        }
    }

    /// The records of an append are committed.
    pub fn committed(&mut self, now: Now, id: AppendId, effects: &mut Vec<Effect>) {
        let Some(Append { records, then }) = self.appends.waiting.remove(&id) else { return };
        for record in &records {
            match record {
                GroupRecord::Offset { .. } => self.apply_offset(record),
                GroupRecord::Group { group, value: None } => {
                    self.groups.remove(group);
                }
                // Members live in memory; the log only follows them.
                GroupRecord::Group { value: Some(_), .. } => {}
            }
        }
        match then {
            Then::Nothing => {}
            Then::Answer { waiter, response, .. } => effects.push(Effect::Complete { waiter, response }),
            Then::Assign { group, generation, assignments } => {
                self.with_group(now, &group, effects, |group, turn| {
                    group.assigned(turn, id, generation, &assignments);
                });
            }
        }
    }

    /// The records of an append are not in the log.
    pub fn append_failed(&mut self, now: Now, id: AppendId, error: ErrorCode, effects: &mut Vec<Effect>) {
        let Some(Append { records, then }) = self.appends.waiting.remove(&id) else { return };
        let error = group_error(error);
        for record in &records {
            if let GroupRecord::Group { group, value: None } = record
                && let Some(group) = self.groups.get_mut(group)
                && group.state == GroupState::Dead
            {
                group.enter(GroupState::Empty, now.wall);
            }
        }
        match then {
            Then::Nothing => {}
            Then::Answer { waiter, response, on_error } => {
                effects.push(Effect::Complete { waiter, response: on_error(error, response) });
            }
            Then::Assign { group, generation, .. } => {
                self.with_group(now, &group, effects, |group, turn| {
                    group.assignment_failed(turn, id, generation, error);
                });
            }
        }
    }

    /// This node no longer coordinates these groups: everybody who waits is told.
    pub fn resign(&mut self, effects: &mut Vec<Effect>) {
        let error = ErrorCode::NotCoordinator;
        for (_, Append { then, .. }) in std::mem::take(&mut self.appends.waiting) {
            if let Then::Answer { waiter, response, on_error } = then {
                effects.push(Effect::Complete { waiter, response: on_error(error, response) });
            }
        }
        for group in self.groups.values_mut() {
            group.refuse_waiting(error, effects);
        }
        self.groups.clear();
    }

    /// How many groups there are in each state.
    pub fn count_by_state(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for group in self.groups.values() {
            *counts.entry(group.state.name()).or_default() += 1;
        }
        counts
    }

    /// Works on a group that is there.
    pub(super) fn with_group<T>(
        &mut self,
        now: Now,
        group: &str,
        effects: &mut Vec<Effect>,
        work: impl FnOnce(&mut Group, &mut Turn<'_>) -> T,
    ) -> Option<T> {
        let GroupCoordinator { config, groups, appends, .. } = self;
        let group = groups.get_mut(group)?;
        let mut turn = Turn { now: at(now), config, effects, appends };
        Some(work(group, &mut turn))
    }

    fn apply_offset(&mut self, record: &GroupRecord) {
        let GroupRecord::Offset { group, topic, partition, value } = record else { return };
        match value {
            Some(value) => {
                let timestamp = value.committed;
                let group = self.groups.entry(group.clone()).or_insert_with(|| Group::new(group, timestamp));
                group.offsets.entry(topic.clone()).or_default().insert(*partition, value.clone());
            }
            None => {
                let Some(group) = self.groups.get_mut(group) else { return };
                let Some(partitions) = group.offsets.get_mut(topic) else { return };
                partitions.remove(partition);
                if partitions.is_empty() {
                    group.offsets.remove(topic);
                }
            }
        }
    }
}

pub(super) fn at(now: Now) -> At {
    At { monotonic: now.monotonic, wall: now.wall }
}

/// What a client of a group is told about a log that did not take a record.
fn group_error(error: ErrorCode) -> ErrorCode {
    #[allow(clippy::wildcard_enum_match_arm, reason = "all other codes are not about the log's own state")]
    match error {
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => ErrorCode::InvalidCommitOffsetSize,
        other => other,
    }
}
