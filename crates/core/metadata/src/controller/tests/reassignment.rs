//! Partitions get other replicas.

use types::{BrokerId, ErrorCode, PartitionId};

use super::super::{Command, Reassignment, Response};
use super::brokers::{Office, at};
use super::isr::propose;

fn ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().map(|&id| BrokerId(id)).collect()
}

fn reassign(
    office: &mut Office,
    replicas: Option<&[i32]>,
    allows_factor_change: bool,
) -> Result<(), ErrorCode> {
    let replicas = replicas.map(ids);
    let one = Reassignment { topic: "t".to_owned(), partition: PartitionId(0), replicas };
    let command = Command::AlterReassignments { reassignments: vec![one], allows_factor_change };
    let Response::AlteredReassignments(mut results) = office.run(at(0), command).unwrap() else { panic!() };
    results.remove(0).map_err(|failure| failure.code)
}

/// `t` on 1 and 2, with 3 and 4 there to take it.
fn office() -> Office {
    let mut office = Office::with_brokers(4);
    office.create("t", 1, &[1, 2], &[]);
    office
}

/// The leader takes these in.
fn catch_up(office: &mut Office, isr: &[i32]) -> Result<(), ErrorCode> {
    let wanted = office.alteration("t", isr);
    let leader = office.seen("t").0;
    propose(office, leader, wanted).map(|_| ())
}

fn replicas(office: &Office) -> (Vec<i32>, Vec<i32>, Vec<i32>) {
    let numbers = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect();
    let state = office.partition("t");
    (numbers(&state.replicas), numbers(&state.adding), numbers(&state.removing))
}

#[test]
fn new_replicas_are_added_before_the_old_ones_go() {
    let mut office = office();
    reassign(&mut office, Some(&[3, 4]), false).unwrap();
    assert_eq!(replicas(&office), (vec![3, 4, 1, 2], vec![3, 4], vec![1, 2]));
    assert_eq!(office.seen("t"), (1, vec![1, 2], vec![]));
    let widest = office.controller.image().widest_topic().expect("there is a topic");
    assert_eq!((&*widest.0.name, widest.1), ("t", 2), "those that go do not count");
    assert_eq!(office.controller.image().reassigning().count(), 1);
    catch_up(&mut office, &[1, 2, 3]).unwrap();
    assert_eq!(replicas(&office).2, [1, 2]);
    // The leader asks for what makes another one lead.
    assert_eq!(catch_up(&mut office, &[1, 2, 3, 4]), Err(ErrorCode::NewLeaderElected));
    assert_eq!(replicas(&office), (vec![3, 4], vec![], vec![]));
    assert_eq!(office.seen("t"), (3, vec![3, 4], vec![]));
    assert_eq!(office.controller.image().reassigning().count(), 0);
}

#[test]
fn a_reassignment_is_taken_back() {
    let mut office = office();
    assert_eq!(reassign(&mut office, None, true), Err(ErrorCode::NoReassignmentInProgress));
    reassign(&mut office, Some(&[3, 2]), false).unwrap();
    let epoch = office.partition("t").leader_epoch;
    catch_up(&mut office, &[1, 2]).unwrap();
    reassign(&mut office, None, true).unwrap();
    assert_eq!(replicas(&office), (vec![2, 1], vec![], vec![]));
    assert_eq!(office.seen("t"), (1, vec![1, 2], vec![]));
    assert!(office.partition("t").leader_epoch > epoch, "who was added is fenced");
}

#[test]
fn taking_back_does_not_lose_the_only_replica_in_sync() {
    let mut office = office();
    reassign(&mut office, Some(&[3, 4]), false).unwrap();
    catch_up(&mut office, &[1, 3]).unwrap();
    office.fence(1);
    assert_eq!(office.seen("t"), (3, vec![3], vec![]));
    assert_eq!(reassign(&mut office, None, true), Err(ErrorCode::InvalidReplicaAssignment));
    assert_eq!(reassign(&mut office, Some(&[2, 4]), true), Err(ErrorCode::InvalidReplicaAssignment));
}

#[test]
fn another_goal_takes_the_place_of_the_first() {
    let mut office = office();
    reassign(&mut office, Some(&[3, 2]), false).unwrap();
    reassign(&mut office, Some(&[1, 4]), false).unwrap();
    assert_eq!(replicas(&office), (vec![1, 4, 2], vec![4], vec![2]));
    catch_up(&mut office, &[1, 2, 4]).ok();
    assert_eq!(replicas(&office), (vec![1, 4], vec![], vec![]));
}

#[test]
fn goals_are_checked() {
    let cases: [(&[i32], bool, Result<(), ErrorCode>); 6] = [
        (&[3], false, Err(ErrorCode::InvalidReplicationFactor)),
        (&[1], true, Ok(())),
        (&[1, 2, 3], true, Ok(())),
        (&[1, 1], true, Err(ErrorCode::InvalidReplicaAssignment)),
        (&[1, 9], true, Err(ErrorCode::InvalidReplicaAssignment)),
        (&[], true, Err(ErrorCode::InvalidReplicaAssignment)),
    ];
    for (goal, allows, expected) in cases {
        assert_eq!(reassign(&mut office(), Some(goal), allows), expected, "{goal:?}");
    }
    let mut office = office();
    reassign(&mut office, Some(&[2, 1]), false).unwrap();
    assert_eq!(replicas(&office), (vec![2, 1], vec![], vec![]), "an order takes no catching up");
    reassign(&mut office, Some(&[2]), true).unwrap();
    assert_eq!((replicas(&office).0, office.seen("t").0), (vec![2], 2), "nor do fewer");
}
