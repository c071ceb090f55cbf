//! Random commands in random order: everybody who asks is answered once, and the group stays a group.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use types::ErrorCode;

use super::{GROUP, Machine, join, join_static};
use crate::group::{Command, GroupState, JoinGroup, LeavingMember, Response};

#[derive(Clone, Debug)]
enum Step {
    Join { who: usize, requires_known: bool },
    JoinStatic { who: usize },
    Sync { who: usize },
    Heartbeat { who: usize },
    Leave { who: usize },
    Commit { who: usize },
    Pass { seconds: u64 },
    Fail { fails: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..4usize;
    prop_oneof![
        4 => (who.clone(), any::<bool>()).prop_map(|(who, requires_known)| Step::Join { who, requires_known }),
        1 => who.clone().prop_map(|who| Step::JoinStatic { who }),
        4 => who.clone().prop_map(|who| Step::Sync { who }),
        2 => who.clone().prop_map(|who| Step::Heartbeat { who }),
        1 => who.clone().prop_map(|who| Step::Leave { who }),
        1 => who.prop_map(|who| Step::Commit { who }),
        2 => (0..30u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => prop::bool::weighted(0.2).prop_map(|fails| Step::Fail { fails }),
    ]
}

proptest! {
    #[test]
    fn a_group_stays_a_group(steps in prop::collection::vec(step(), 1..80)) {
        let mut machine = Machine::new();
        // What each client knows: its member id and its generation.
        let mut clients = vec![(String::new(), -1); 4];
        let mut owners = std::collections::BTreeMap::new();
        let mut asked = BTreeSet::new();
        let mut last_generation = 0;
        for (count, step) in steps.into_iter().enumerate() {
            match step {
                Step::Join { who, requires_known } => {
                    let request = JoinGroup { requires_known_member: requires_known, ..join(&clients[who].0, &format!("m{count}")) };
                    let waiter = machine.ask(Command::Join(request));
                    owners.insert(waiter, who);
                    asked.insert(waiter);
                }
                Step::JoinStatic { who } => {
                    let waiter = machine.ask(Command::Join(join_static(&format!("i{who}"), &format!("s{count}"))));
                    asked.insert(waiter);
                }
                Step::Sync { who } => {
                    let (member, generation) = clients[who].clone();
                    let waiter = machine.sync(&member, generation, &[(&member, "p")]);
                    asked.insert(waiter);
                }
                Step::Heartbeat { who } => {
                    let (member, generation) = clients[who].clone();
                    machine.heartbeat(&member, generation);
                }
                Step::Leave { who } => {
                    let member = std::mem::take(&mut clients[who].0);
                    let members = vec![LeavingMember { member, instance_id: None }];
                    machine.answer(Command::Leave { group: GROUP.to_owned(), members });
                }
                Step::Commit { who } => {
                    let (member, generation) = clients[who].clone();
                    machine.commit(&member, generation, 5, "");
                }
                Step::Pass { seconds } => machine.pass(Duration::from_secs(seconds)),
                Step::Fail { fails } => machine.fails = fails.then_some(ErrorCode::NotEnoughReplicas),
            }
            for (waiter, response) in std::mem::take(&mut machine.answers) {
                prop_assert!(asked.remove(&waiter), "nobody asked, or it was answered before");
                if let (Response::Joined(joined), Some(who)) = (response, owners.get(&waiter)) {
                    let keeps_id = matches!(joined.error, None | Some(ErrorCode::MemberIdRequired));
                    clients[*who] = if keeps_id { (joined.member, joined.generation) } else { (String::new(), -1) };
                    if joined.error.is_none() {
                        prop_assert!(joined.generation >= last_generation, "the generation went back");
                        last_generation = joined.generation;
                    }
                }
            }
            check(&machine);
        }
        // Whoever still waits is answered when time passes.
        machine.fails = None;
        machine.pass(Duration::from_secs(1000));
        let left: Vec<_> = asked.iter().filter(|waiter| !machine.answers.contains_key(waiter)).collect();
        prop_assert!(left.is_empty(), "never answered: {left:?}");
    }
}

fn check(machine: &Machine) {
    for group in machine.coordinator.groups.values() {
        let is_member = |id: &String| group.members.contains_key(id);
        match group.state {
            GroupState::Empty => assert!(group.members.is_empty()),
            GroupState::Stable | GroupState::CompletingRebalance => {
                assert!(group.leader.as_ref().is_some_and(is_member), "a leader that is a member");
                assert!(group.protocol.is_some());
                assert!(group.members.values().all(|member| member.awaiting_join.is_none()));
            }
            GroupState::PreparingRebalance => {
                assert!(group.rebalance.is_some(), "somebody has to end the wait");
                assert!(group.members.values().all(|member| member.awaiting_sync.is_none()));
            }
            GroupState::Dead => {}
        }
        assert!(group.static_members.values().all(is_member));
        for member in group.members.values() {
            let is_watched = member.session_deadline.is_some();
            let waits = member.awaiting_join.is_some() || member.awaiting_sync.is_some();
            assert!(is_watched || waits, "{} is neither watched nor waits", member.id);
        }
    }
}
