//! How far groups have come: committing, reading and forgetting offsets.

use std::collections::BTreeSet;

use types::{ErrorCode, Now};

use super::coordinator::{GroupCoordinator, Then, Turn};
use super::state::Group;
use super::{
    CommitOffsets, CommittedOffset, Effect, GroupRecord, GroupState, OffsetToCommit, PartitionOffsets,
    Response, WaiterId,
};

type TopicErrors = Vec<(String, Vec<(i32, ErrorCode)>)>;

impl GroupCoordinator {
    pub(super) fn commit_offsets(
        &mut self,
        now: Now,
        commit: CommitOffsets,
        waiter: WaiterId,
        effects: &mut Vec<Effect>,
    ) {
        if let Err(error) = self.check_commit(now, &commit) {
            let response = Response::Offsets(error, errors_of(&commit, error));
            effects.push(Effect::Complete { waiter, response });
            return;
        }
        let group = commit.group.clone();
        if !self.groups.contains_key(&group) {
            self.groups.insert(group.clone(), Group::new(&group, now.wall));
        }
        self.with_group(now, &group, effects, |group, turn| group.commit(turn, commit, waiter));
    }

    fn check_commit(&mut self, now: Now, commit: &CommitOffsets) -> Result<(), ErrorCode> {
        let CommitOffsets { group, member, instance_id, generation, .. } = commit;
        let Some(group) = self.groups.get_mut(group) else {
            // A consumer that assigns itself needs no group; a member of one that is not there is of another time.
            return if *generation < 0 { Ok(()) } else { Err(ErrorCode::GroupIdNotFound) };
        };
        if group.state == GroupState::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        if *generation < 0 && group.state == GroupState::Empty {
            return Ok(());
        }
        if *generation >= 0 || !member.is_empty() || instance_id.is_some() {
            group.check_member(member, instance_id.as_deref())?;
            if *generation != group.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
        } else if group.state != GroupState::Empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        if group.state == GroupState::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        if let Some(member) = group.members.get_mut(member).filter(|member| member.awaiting_join.is_none()) {
            member.touch(now.monotonic);
        }
        Ok(())
    }

    pub(super) fn fetch_offsets(
        &self,
        group: &str,
        topics: Option<Vec<(String, Vec<i32>)>>,
    ) -> Vec<PartitionOffsets> {
        let group = self.groups.get(group);
        let Some(topics) = topics else {
            let Some(group) = group else { return Vec::new() };
            let all = group.offsets.iter().map(|(topic, partitions)| PartitionOffsets {
                topic: topic.clone(),
                partitions: partitions.iter().map(|(index, offset)| (*index, Some(offset.clone()))).collect(),
            });
            return all.collect();
        };
        let of = |topic: &str, partition: i32| group?.offsets.get(topic)?.get(&partition).cloned();
        let asked = topics.into_iter().map(|(topic, partitions)| PartitionOffsets {
            partitions: partitions.into_iter().map(|partition| (partition, of(&topic, partition))).collect(),
            topic,
        });
        asked.collect()
    }

    pub(super) fn delete_offsets(
        &mut self,
        now: Now,
        group: &str,
        topics: Vec<(String, Vec<i32>)>,
        waiter: WaiterId,
        effects: &mut Vec<Effect>,
    ) {
        let refuse = |error| Effect::Complete { waiter, response: Response::Offsets(error, Vec::new()) };
        let is_there = self.groups.get(group).is_some_and(|group| group.state != GroupState::Dead);
        if !is_there {
            effects.push(refuse(ErrorCode::GroupIdNotFound));
            return;
        }
        self.with_group(now, group, effects, |group, turn| group.delete_offsets(turn, topics, waiter));
    }

    pub(super) fn forget_topic(
        &mut self,
        now: Now,
        topic: &str,
        waiter: WaiterId,
        effects: &mut Vec<Effect>,
    ) {
        let mut records = Vec::new();
        for group in self.groups.values() {
            let partitions = group.offsets.get(topic).into_iter().flatten();
            records.extend(partitions.map(|(partition, _)| tombstone(&group.id, topic, *partition)));
        }
        let response = Response::Done(ErrorCode::None);
        if records.is_empty() {
            effects.push(Effect::Complete { waiter, response });
            return;
        }
        let GroupCoordinator { config, appends, .. } = self;
        let mut turn = Turn { now: super::coordinator::at(now), config, effects, appends };
        turn.append(records, Then::Answer { waiter, response, on_error: |error, _| Response::Done(error) });
    }

    pub(super) fn delete_group(
        &mut self,
        now: Now,
        group: &str,
        waiter: WaiterId,
        effects: &mut Vec<Effect>,
    ) {
        let error = match self.groups.get(group) {
            _ if group.is_empty() => Some(ErrorCode::InvalidGroupId),
            None => Some(ErrorCode::GroupIdNotFound),
            Some(group) if group.state == GroupState::Dead => Some(ErrorCode::GroupIdNotFound),
            Some(group) if group.state != GroupState::Empty => Some(ErrorCode::NonEmptyGroup),
            Some(_) => None,
        };
        if let Some(error) = error {
            effects.push(Effect::Complete { waiter, response: Response::Done(error) });
            return;
        }
        let on_the_way = self.appends.offsets_of(group);
        self.with_group(now, group, effects, |group, turn| {
            group.enter(GroupState::Dead, turn.now.wall);
            let response = Response::Done(ErrorCode::None);
            turn.append(
                group.tombstones(on_the_way),
                Then::Answer { waiter, response, on_error: |error, _| Response::Done(error) },
            );
        });
    }
}

impl Group {
    fn commit(&mut self, turn: &mut Turn<'_>, commit: CommitOffsets, waiter: WaiterId) {
        let mut records = Vec::new();
        let mut results: TopicErrors = Vec::with_capacity(commit.topics.len());
        for (topic, partitions) in commit.topics {
            let mut of_topic = Vec::with_capacity(partitions.len());
            for OffsetToCommit { partition, offset, leader_epoch, metadata } in partitions {
                if metadata.len() > turn.config.offset_metadata_bytes_max {
                    of_topic.push((partition, ErrorCode::OffsetMetadataTooLarge));
                    continue;
                }
                let value = CommittedOffset { offset, leader_epoch, metadata, committed: turn.now.wall };
                let (group, topic) = (self.id.clone(), topic.clone());
                records.push(GroupRecord::Offset { group, topic, partition, value: Some(value) });
                of_topic.push((partition, ErrorCode::None));
            }
            results.push((topic, of_topic));
        }
        let response = Response::Offsets(ErrorCode::None, results);
        match records.is_empty() {
            true => turn.answer(waiter, response),
            false => drop(turn.append(records, Then::Answer { waiter, response, on_error: fail_partitions })),
        }
    }

    fn delete_offsets(&mut self, turn: &mut Turn<'_>, topics: Vec<(String, Vec<i32>)>, waiter: WaiterId) {
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(topics.len());
        for (topic, partitions) in topics {
            let error = match self.is_subscribed(&topic) {
                true => ErrorCode::GroupSubscribedToTopic,
                false => ErrorCode::None,
            };
            if error.is_none() {
                let known = self.offsets.get(&topic);
                let known =
                    partitions.iter().filter(|index| known.is_some_and(|known| known.contains_key(*index)));
                records.extend(known.map(|partition| tombstone(&self.id, &topic, *partition)));
            }
            results.push((topic, partitions.into_iter().map(|partition| (partition, error)).collect()));
        }
        let response = Response::Offsets(ErrorCode::None, results);
        match records.is_empty() {
            true => turn.answer(waiter, response),
            false => drop(turn.append(records, Then::Answer { waiter, response, on_error: fail_whole })),
        }
    }

    /// Whether a member reads a topic. What cannot be read as a consumer's subscription may mean any topic.
    fn is_subscribed(&self, topic: &str) -> bool {
        if self.protocol_type.as_deref() != Some("consumer") {
            return !self.members.is_empty();
        }
        let protocol = self.protocol.as_deref();
        self.members.values().any(|member| {
            let subscription = member.subscription(protocol);
            subscribed_topics(&subscription).is_none_or(|topics| topics.contains(&topic))
        })
    }

    /// What takes the group and all its offsets out of the log, also those whose records are still on the way there:
    /// they come first, and would bring the group back.
    fn tombstones(&self, on_the_way: BTreeSet<(String, i32)>) -> Vec<GroupRecord> {
        let known = self.offsets.iter().flat_map(|(topic, partitions)| {
            partitions.keys().map(move |partition| (topic.clone(), *partition))
        });
        let all: BTreeSet<_> = known.chain(on_the_way).collect();
        let offsets = all.into_iter().map(|(topic, partition)| tombstone(&self.id, &topic, partition));
        offsets.chain([GroupRecord::Group { group: self.id.clone(), value: None }]).collect()
    }
}

pub(super) fn tombstone(group: &str, topic: &str, partition: i32) -> GroupRecord {
    GroupRecord::Offset { group: group.to_owned(), topic: topic.to_owned(), partition, value: None }
}

fn errors_of(commit: &CommitOffsets, error: ErrorCode) -> TopicErrors {
    let of_topic =
        |partitions: &[OffsetToCommit]| partitions.iter().map(|one| (one.partition, error)).collect();
    commit.topics.iter().map(|(topic, partitions)| (topic.clone(), of_topic(partitions))).collect()
}

fn fail_partitions(error: ErrorCode, response: Response) -> Response {
    let Response::Offsets(_, mut results) = response else { return response };
    for (_, result) in results.iter_mut().flat_map(|(_, partitions)| partitions) {
        if result.is_none() {
            *result = error;
        }
    }
    Response::Offsets(error, results)
}

fn fail_whole(error: ErrorCode, _response: Response) -> Response {
    Response::Offsets(error, Vec::new())
}

/// The topics in a `ConsumerProtocolSubscription`: version i16, count i32, then strings.
fn subscribed_topics(subscription: &[u8]) -> Option<Vec<&str>> {
    let (_version, mut rest) = subscription.split_first_chunk::<2>()?;
    let count = take_i32(&mut rest)?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let (len, after) = rest.split_first_chunk::<2>()?;
        let len = usize::try_from(i16::from_be_bytes(*len)).ok()?;
        topics.push(std::str::from_utf8(after.get(..len)?).ok()?);
        rest = &after[len..];
    }
    Some(topics)
}

fn take_i32(rest: &mut &[u8]) -> Option<i32> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*number))
}
