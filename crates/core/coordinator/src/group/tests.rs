//! Groups as clients see them, case by case, and what holds after any sequence of events.

mod random;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use types::{ErrorCode, Monotonic, Now, Timestamp};

use super::{
    Command, CommitOffsets, Effect, GroupConfig, GroupCoordinator, GroupRecord, GroupState, JoinGroup,
    JoinedGroup, LeavingMember, OffsetToCommit, Response, SyncGroup, WaiterId,
};

const GROUP: &str = "group";
const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);

/// A coordinator with a log that takes everything at once, unless it is told to hold or to fail.
struct Machine {
    coordinator: GroupCoordinator,
    now: Duration,
    log: Vec<GroupRecord>,
    answers: BTreeMap<u64, Response>,
    next_waiter: u64,
    fails: Option<ErrorCode>,
}

fn config() -> GroupConfig {
    GroupConfig {
        initial_rebalance_delay: Duration::ZERO,
        session_timeout_min: Duration::from_secs(6),
        session_timeout_max: Duration::from_secs(1800),
        size_max: 5,
        offset_metadata_bytes_max: 10,
        offsets_retention: Duration::from_secs(3600),
        offsets_retention_check_interval: Duration::from_secs(600),
    }
}

impl Machine {
    fn new() -> Machine {
        Machine::with(config())
    }

    fn with(config: GroupConfig) -> Machine {
        let mut machine = Machine {
            coordinator: GroupCoordinator::new(config),
            now: Duration::ZERO,
            log: Vec::new(),
            answers: BTreeMap::new(),
            next_waiter: 0,
            fails: None,
        };
        machine.coordinator.loaded(machine.now());
        machine
    }

    fn now(&self) -> Now {
        let wall = Timestamp(1_000_000 + i64::try_from(self.now.as_millis()).unwrap());
        Now { monotonic: Monotonic(self.now), wall }
    }

    /// Hands in a command; the waiter whose answer comes now or later.
    fn ask(&mut self, command: Command) -> u64 {
        let waiter = self.next_waiter;
        self.next_waiter += 1;
        let mut effects = Vec::new();
        self.coordinator.handle(self.now(), command, WaiterId(waiter), &mut effects);
        self.carry_out(effects);
        waiter
    }

    fn answer(&mut self, command: Command) -> Response {
        let waiter = self.ask(command);
        self.answers.remove(&waiter).expect("an answer at once")
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Complete { waiter, response } => {
                    assert!(self.answers.insert(waiter.0, response).is_none(), "answered twice");
                }
                Effect::Append { id, records } => {
                    assert!(!records.is_empty());
                    let mut effects = Vec::new();
                    match self.fails {
                        Some(error) => self.coordinator.append_failed(self.now(), id, error, &mut effects),
                        None => {
                            self.log.extend(records);
                            self.coordinator.committed(self.now(), id, &mut effects);
                        }
                    }
                    self.carry_out(effects);
                }
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(deadline) = self.coordinator.next_deadline().filter(|deadline| deadline.0 <= until) {
            self.now = self.now.max(deadline.0);
            let mut effects = Vec::new();
            self.coordinator.tick(self.now(), &mut effects);
            self.carry_out(effects);
        }
        self.now = until;
    }

    fn joined(&mut self, waiter: u64) -> JoinedGroup {
        match self.answers.remove(&waiter) {
            Some(Response::Joined(joined)) => joined,
            other => panic!("{other:?}"),
        }
    }

    fn sync(&mut self, member: &str, generation: i32, assignments: &[(&str, &str)]) -> u64 {
        let assignments = assignments
            .iter()
            .map(|(id, text)| ((*id).to_owned(), Bytes::copy_from_slice(text.as_bytes())))
            .collect();
        self.ask(Command::Sync(SyncGroup {
            group: GROUP.to_owned(),
            member: member.to_owned(),
            instance_id: None,
            generation,
            protocol_type: None,
            protocol: None,
            assignments,
        }))
    }

    fn assignment(&mut self, waiter: u64) -> Result<Bytes, ErrorCode> {
        match self.answers.remove(&waiter) {
            Some(Response::Synced(synced)) => synced.error.map_or(Ok(synced.assignment), Err),
            other => panic!("{other:?}"),
        }
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> ErrorCode {
        let (group, member) = (GROUP.to_owned(), member.to_owned());
        let command = Command::Heartbeat { group, member, instance_id: None, generation };
        let Response::Done(code) = self.answer(command) else { panic!() };
        code
    }

    fn state(&mut self) -> GroupState {
        match self.answer(Command::Describe { group: GROUP.to_owned() }) {
            Response::Described(Some(group)) => group.state,
            _ => GroupState::Dead,
        }
    }

    fn commit(&mut self, member: &str, generation: i32, offset: i64, metadata: &str) -> ErrorCode {
        let offset = OffsetToCommit { partition: 0, offset, leader_epoch: -1, metadata: metadata.to_owned() };
        let command = Command::Commit(CommitOffsets {
            group: GROUP.to_owned(),
            member: member.to_owned(),
            instance_id: None,
            generation,
            topics: vec![("t".to_owned(), vec![offset])],
        });
        let Response::Offsets(whole, results) = self.answer(command) else { panic!() };
        let of_partition = results[0].1[0].1;
        if of_partition.is_none() { whole } else { of_partition }
    }

    fn committed(&mut self) -> Option<i64> {
        let topics = Some(vec![("t".to_owned(), vec![0])]);
        let Response::Fetched(fetched) =
            self.answer(Command::FetchOffsets { group: GROUP.to_owned(), topics })
        else {
            panic!()
        };
        fetched[0].partitions[0].1.as_ref().map(|committed| committed.offset)
    }

    /// Two members, stable; gives back leader, follower and generation.
    fn stable(&mut self) -> (String, String, i32) {
        let first = self.ask(Command::Join(join("", "a")));
        let first = self.joined(first).member;
        let second = self.ask(Command::Join(join("", "b")));
        let again = self.ask(Command::Join(join(&first, "x")));
        let (leads, follows) = (self.joined(again), self.joined(second));
        assert_eq!(leads.leader, first);
        let leader = self.sync(&first, leads.generation, &[(&first, "p0"), (&follows.member, "p1")]);
        assert_eq!(self.assignment(leader).unwrap(), "p0");
        let follower = self.sync(&follows.member, leads.generation, &[]);
        assert_eq!(self.assignment(follower).unwrap(), "p1");
        (first, follows.member, leads.generation)
    }
}

fn join(member: &str, fresh: &str) -> JoinGroup {
    JoinGroup {
        group: GROUP.to_owned(),
        member: member.to_owned(),
        instance_id: None,
        fresh_member: fresh.to_owned(),
        requires_known_member: false,
        can_skip_assignment: false,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: i32::try_from(SESSION.as_millis()).unwrap(),
        rebalance_timeout_ms: i32::try_from(REBALANCE.as_millis()).unwrap(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"subscription"))],
    }
}

fn join_static(instance: &str, fresh: &str) -> JoinGroup {
    JoinGroup { instance_id: Some(instance.to_owned()), ..join("", fresh) }
}

#[test]
fn two_members_share_what_their_leader_assigns() {
    let mut machine = Machine::new();
    let (leader, follower, generation) = machine.stable();
    assert_eq!(machine.state(), GroupState::Stable);
    assert_eq!(machine.heartbeat(&leader, generation), ErrorCode::None);
    assert_eq!(machine.heartbeat(&follower, generation), ErrorCode::None);
    assert_eq!(machine.heartbeat(&follower, generation - 1), ErrorCode::IllegalGeneration);
    assert_eq!(machine.heartbeat("stranger", generation), ErrorCode::UnknownMemberId);
}

#[test]
fn joins_are_refused_for_kafkas_reasons() {
    let short = JoinGroup { session_timeout_ms: 5_999, ..join("", "x") };
    let other_protocol = JoinGroup { protocols: vec![("sticky".to_owned(), Bytes::new())], ..join("", "x") };
    let other_type = JoinGroup { protocol_type: "connect".to_owned(), ..join("", "x") };
    let cases = [
        (JoinGroup { group: String::new(), ..join("", "x") }, ErrorCode::InvalidGroupId),
        (short, ErrorCode::InvalidSessionTimeout),
        (other_protocol, ErrorCode::InconsistentGroupProtocol),
        (other_type, ErrorCode::InconsistentGroupProtocol),
        (join("stranger", "x"), ErrorCode::UnknownMemberId),
        (JoinGroup { group: "new".to_owned(), ..join("stranger", "x") }, ErrorCode::UnknownMemberId),
        (JoinGroup { requires_known_member: true, ..join("", "x") }, ErrorCode::MemberIdRequired),
    ];
    for (join, error) in cases {
        let mut machine = Machine::new();
        machine.stable();
        let text = format!("{join:?}");
        let waiter = machine.ask(Command::Join(join));
        assert_eq!(machine.joined(waiter).error, Some(error), "{text}");
        assert_eq!(machine.state(), GroupState::Stable, "{text}");
    }
}

#[test]
fn a_group_that_is_full_takes_nobody() {
    let mut machine = Machine::with(GroupConfig { size_max: 2, ..config() });
    machine.stable();
    let third = machine.ask(Command::Join(join("", "c")));
    assert_eq!(machine.joined(third).error, Some(ErrorCode::GroupMaxSizeReached));
}

#[test]
fn a_new_member_comes_back_with_the_id_that_it_was_told() {
    let mut machine = Machine::new();
    let first = machine.ask(Command::Join(JoinGroup { requires_known_member: true, ..join("", "fresh") }));
    let told = machine.joined(first);
    assert_eq!((told.error, told.member.as_str()), (Some(ErrorCode::MemberIdRequired), "fresh"));
    let second = machine.ask(Command::Join(join("fresh", "unused")));
    let joined = machine.joined(second);
    assert_eq!((joined.error, joined.generation, joined.leader.as_str()), (None, 1, "fresh"));
}

#[test]
fn an_empty_group_waits_for_more_members_at_first() {
    let delay = Duration::from_secs(3);
    let mut machine = Machine::with(GroupConfig { initial_rebalance_delay: delay, ..config() });
    let first = machine.ask(Command::Join(join("", "a")));
    machine.pass(Duration::from_secs(2));
    let second = machine.ask(Command::Join(join("", "b")));
    machine.pass(Duration::from_secs(2));
    assert!(machine.answers.is_empty(), "a newcomer prolongs the wait");
    machine.pass(Duration::from_secs(2));
    assert_eq!(machine.joined(first).generation, 1);
    assert_eq!(machine.joined(second).generation, 1);
}

#[test]
fn a_silent_member_is_out_and_the_others_rebalance() {
    let mut machine = Machine::new();
    let (leader, _, generation) = machine.stable();
    machine.pass(SESSION / 2);
    assert_eq!(machine.heartbeat(&leader, generation), ErrorCode::None);
    machine.pass(SESSION / 2);
    assert_eq!(machine.heartbeat(&leader, generation), ErrorCode::RebalanceInProgress);
    let waiter = machine.ask(Command::Join(join(&leader, "x")));
    let joined = machine.joined(waiter);
    assert_eq!((joined.generation, joined.members.len()), (generation + 1, 1));
}

#[test]
fn who_does_not_rejoin_in_time_is_out() {
    let mut machine = Machine::new();
    let (leader, follower, generation) = machine.stable();
    let waiter = machine.ask(Command::Join(join(&leader, "x")));
    for _ in 0..7 {
        machine.pass(Duration::from_secs(8));
        assert_eq!(machine.heartbeat(&follower, generation), ErrorCode::RebalanceInProgress);
    }
    machine.pass(Duration::from_secs(8));
    let joined = machine.joined(waiter);
    assert_eq!((joined.generation, joined.members.len()), (generation + 1, 1));
    assert_eq!(machine.heartbeat(&follower, generation), ErrorCode::UnknownMemberId);
}

#[test]
fn a_follower_with_the_same_subscription_changes_nothing() {
    let mut machine = Machine::new();
    let (_, follower, generation) = machine.stable();
    let waiter = machine.ask(Command::Join(join(&follower, "x")));
    let joined = machine.joined(waiter);
    assert_eq!((joined.error, joined.generation, joined.members.len()), (None, generation, 0));
    assert_eq!(machine.state(), GroupState::Stable);
}

#[test]
fn leaving_makes_room_and_the_last_one_leaves_an_empty_group() {
    let mut machine = Machine::new();
    let (leader, follower, generation) = machine.stable();
    let leave = |id: &str| Command::Leave {
        group: GROUP.to_owned(),
        members: vec![LeavingMember { member: id.to_owned(), instance_id: None }],
    };
    let Response::Left(_, results) = machine.answer(leave("stranger")) else { panic!() };
    assert_eq!(results[0].1, ErrorCode::UnknownMemberId);
    machine.answer(leave(&leader));
    assert_eq!(machine.heartbeat(&follower, generation), ErrorCode::RebalanceInProgress);
    machine.answer(leave(&follower));
    assert_eq!(machine.state(), GroupState::Empty);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_former_self() {
    let mut machine = Machine::new();
    let first = machine.ask(Command::Join(join_static("one", "a")));
    let generation = machine.joined(first).generation;
    let sync = |member: &str| {
        Command::Sync(SyncGroup {
            group: GROUP.to_owned(),
            member: member.to_owned(),
            instance_id: Some("one".to_owned()),
            generation,
            protocol_type: None,
            protocol: None,
            assignments: vec![("a".to_owned(), Bytes::from_static(b"p0"))],
        })
    };
    let waiter = machine.ask(sync("a"));
    assert_eq!(machine.assignment(waiter).unwrap(), "p0");

    let back = machine.ask(Command::Join(join_static("one", "b")));
    let joined = machine.joined(back);
    assert_eq!((joined.error, joined.generation, joined.member.as_str()), (None, generation, "b"));
    let waiter = machine.ask(sync("b"));
    assert_eq!(machine.assignment(waiter).unwrap(), "p0", "it keeps what it had");
    let waiter = machine.ask(sync("a"));
    assert_eq!(machine.assignment(waiter), Err(ErrorCode::FencedInstanceId));
}

#[test]
fn a_static_leader_that_comes_back_does_not_assign_again() {
    let mut machine = Machine::new();
    let first = machine.ask(Command::Join(join_static("one", "a")));
    let generation = machine.joined(first).generation;
    let assigned = machine.ask(Command::Sync(SyncGroup {
        group: GROUP.to_owned(),
        member: "a".to_owned(),
        instance_id: Some("one".to_owned()),
        generation,
        protocol_type: None,
        protocol: None,
        assignments: vec![("a".to_owned(), Bytes::from_static(b"p0"))],
    }));
    assert_eq!(machine.assignment(assigned).unwrap(), "p0");

    // It owns nothing after its restart, which its subscription says: no reason to rebalance.
    let protocols = vec![("range".to_owned(), Bytes::from_static(b"another subscription"))];
    let old_client = JoinGroup { protocols: protocols.clone(), ..join_static("one", "b") };
    let back = machine.ask(Command::Join(old_client));
    let joined = machine.joined(back);
    assert_eq!((joined.generation, joined.leader.as_str(), joined.skip_assignment), (generation, "a", false));
    assert!(joined.members.is_empty(), "it takes its former self for the leader");

    let new_client = JoinGroup { protocols, can_skip_assignment: true, ..join_static("one", "c") };
    let back = machine.ask(Command::Join(new_client));
    let joined = machine.joined(back);
    assert_eq!((joined.generation, joined.leader.as_str(), joined.skip_assignment), (generation, "c", true));
    assert_eq!(joined.members.len(), 1);
}

#[test]
fn offsets_are_committed_by_members_and_by_consumers_that_assign_themselves() {
    let mut machine = Machine::new();
    assert_eq!(machine.commit("", 3, 5, ""), ErrorCode::GroupIdNotFound);
    assert_eq!(machine.commit("", -1, 5, ""), ErrorCode::None);
    assert_eq!(machine.committed(), Some(5));
    assert_eq!(machine.commit("gone", -1, 6, ""), ErrorCode::None, "nobody is in the group");
    let (leader, _, generation) = machine.stable();
    assert_eq!(machine.commit(&leader, generation, 7, "note"), ErrorCode::None);
    assert_eq!(machine.committed(), Some(7));
    assert_eq!(machine.commit("", -1, 8, ""), ErrorCode::UnknownMemberId, "the group has members");
    assert_eq!(machine.commit(&leader, generation - 1, 8, ""), ErrorCode::IllegalGeneration);
    assert_eq!(machine.commit("stranger", generation, 8, ""), ErrorCode::UnknownMemberId);
    assert_eq!(machine.commit(&leader, generation, 8, "more than ten"), ErrorCode::OffsetMetadataTooLarge);
    assert_eq!(machine.committed(), Some(7));
}

#[test]
fn an_offset_that_is_not_in_the_log_is_not_seen() {
    let mut machine = Machine::new();
    machine.fails = Some(ErrorCode::NotEnoughReplicas);
    assert_eq!(machine.commit("", -1, 5, ""), ErrorCode::CoordinatorNotAvailable);
    assert_eq!(machine.committed(), None);
}

#[test]
fn an_assignment_that_is_not_in_the_log_is_told_to_nobody() {
    let mut machine = Machine::new();
    let first = machine.ask(Command::Join(join("", "a")));
    let generation = machine.joined(first).generation;
    machine.fails = Some(ErrorCode::NotLeaderOrFollower);
    let waiter = machine.sync("a", generation, &[("a", "p0")]);
    assert_eq!(machine.assignment(waiter), Err(ErrorCode::NotCoordinator));
    assert_eq!(machine.state(), GroupState::PreparingRebalance);
}

#[test]
fn only_an_empty_group_is_deleted_and_a_subscribed_topic_keeps_its_offsets() {
    let mut machine = Machine::new();
    let delete = || Command::Delete { group: GROUP.to_owned() };
    assert_eq!(machine.answer(delete()), Response::Done(ErrorCode::GroupIdNotFound));
    machine.commit("", -1, 5, "");
    let (leader, follower, _) = machine.stable();
    assert_eq!(machine.answer(delete()), Response::Done(ErrorCode::NonEmptyGroup));
    let forget =
        || Command::DeleteOffsets { group: GROUP.to_owned(), topics: vec![("t".to_owned(), vec![0])] };
    let Response::Offsets(_, results) = machine.answer(forget()) else { panic!() };
    assert_eq!(results[0].1[0].1, ErrorCode::GroupSubscribedToTopic, "a subscription that nobody can read");
    let members = [leader, follower].map(|member| LeavingMember { member, instance_id: None });
    machine.answer(Command::Leave { group: GROUP.to_owned(), members: members.into() });
    machine.answer(forget());
    assert_eq!(machine.committed(), None);
    assert_eq!(machine.answer(delete()), Response::Done(ErrorCode::None));
    assert_eq!(machine.state(), GroupState::Dead);
    assert!(matches!(machine.log.last(), Some(GroupRecord::Group { value: None, .. })));
}

#[test]
fn a_commit_that_is_on_its_way_does_not_outlive_its_group() {
    let mut machine = Machine::new();
    machine.commit("", -1, 5, "");
    let partition = OffsetToCommit { partition: 1, offset: 9, leader_epoch: -1, metadata: String::new() };
    let commit = Command::Commit(CommitOffsets {
        group: GROUP.to_owned(),
        member: String::new(),
        instance_id: None,
        generation: -1,
        topics: vec![("t".to_owned(), vec![partition])],
    });
    let (now, mut effects) = (machine.now(), Vec::new());
    machine.coordinator.handle(now, commit, WaiterId(100), &mut effects);
    machine.coordinator.handle(now, Command::Delete { group: GROUP.to_owned() }, WaiterId(101), &mut effects);
    machine.carry_out(effects);
    assert_eq!(machine.answers.remove(&101), Some(Response::Done(ErrorCode::None)));
    assert_eq!(machine.state(), GroupState::Dead);

    let mut copy = Machine::new();
    machine.log.iter().for_each(|record| copy.coordinator.replay(record));
    assert_eq!(copy.state(), GroupState::Dead, "nor does it come back with the log");
}

#[test]
fn offsets_of_a_group_without_members_expire_and_then_the_group() {
    let mut machine = Machine::new();
    let (leader, follower, generation) = machine.stable();
    machine.commit(&leader, generation, 7, "");
    let members = [leader, follower].map(|member| LeavingMember { member, instance_id: None });
    machine.answer(Command::Leave { group: GROUP.to_owned(), members: members.into() });
    machine.pass(Duration::from_secs(3000));
    assert_eq!(machine.committed(), Some(7));
    machine.pass(Duration::from_secs(1300));
    assert_eq!(machine.committed(), None);
    assert_eq!(machine.state(), GroupState::Dead);
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    let mut machine = Machine::new();
    machine.commit("", -1, 5, "");
    machine.answer(Command::ForgetTopic { topic: "t".to_owned() });
    assert_eq!(machine.committed(), None);
}

#[test]
fn the_log_brings_everything_back() {
    let mut machine = Machine::new();
    let (leader, follower, generation) = machine.stable();
    machine.commit(&leader, generation, 7, "");
    let mut copy = Machine::new();
    machine.log.iter().for_each(|record| copy.coordinator.replay(record));
    copy.coordinator.loaded(copy.now());
    assert_eq!(copy.committed(), Some(7));
    assert_eq!(copy.heartbeat(&leader, generation), ErrorCode::None);
    let waiter = copy.sync(&follower, generation, &[]);
    assert_eq!(copy.assignment(waiter).unwrap(), "p1");
    copy.pass(SESSION);
    assert_eq!(copy.state(), GroupState::Empty, "and whoever is gone is noticed");
}

#[test]
fn resigning_tells_everybody_who_waits() {
    let mut machine = Machine::new();
    let (leader, ..) = machine.stable();
    let waiter = machine.ask(Command::Join(join(&leader, "x")));
    let mut effects = Vec::new();
    machine.coordinator.resign(&mut effects);
    machine.carry_out(effects);
    assert_eq!(machine.joined(waiter).error, Some(ErrorCode::NotCoordinator));
}
