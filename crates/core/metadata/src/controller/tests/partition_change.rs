//! How one partition changes, case by case: replicas 1, 2, 3, of which some may lead.

use types::{BrokerId, LeaderEpoch, PartitionEpoch};

use super::super::partition_change::{Election, PartitionChangeBuilder};
use crate::{PartitionChange, PartitionImage};

fn ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().map(|&id| BrokerId(id)).collect()
}

fn partition(leader: i32, isr: &[i32], elr: &[i32]) -> PartitionImage {
    PartitionImage {
        replicas: ids(&[1, 2, 3]),
        isr: ids(isr),
        elr: ids(elr),
        leader: Some(BrokerId(leader)).filter(|leader| leader.0 > 0),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(9),
        ..PartitionImage::default()
    }
}

/// What becomes of a partition with `min.insync.replicas` 2.
fn after(
    partition: &PartitionImage,
    living: &[i32],
    change: impl FnOnce(PartitionChangeBuilder<'_>) -> PartitionChangeBuilder<'_>,
) -> PartitionImage {
    let may_lead = |id: BrokerId| living.contains(&id.0);
    let change = change(PartitionChangeBuilder::new(partition, &may_lead, 2)).build();
    let mut state = partition.clone();
    change.iter().for_each(|change| state.change(change));
    state
}

/// Leader, in sync, eligible, leader epoch.
type Seen<'a> = (i32, &'a [i32], &'a [i32], i32);
/// Leader, in sync, eligible, who goes, what is left.
type Going<'a> = (i32, &'a [i32], &'a [i32], i32, Seen<'a>);

fn seen(state: &PartitionImage) -> (i32, Vec<i32>, Vec<i32>, i32) {
    let numbers = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect();
    let leader = state.leader.map_or(-1, |leader| leader.0);
    (leader, numbers(&state.isr), numbers(&state.elr), state.leader_epoch.0)
}

#[test]
fn a_broker_that_goes_leaves_and_the_first_in_sync_leads() {
    let cases: [Going<'_>; 8] = [
        (1, &[1, 2, 3], &[], 1, (2, &[2, 3], &[], 6)),
        (1, &[1, 2, 3], &[], 3, (1, &[1, 2], &[], 5)),
        (1, &[1, 3], &[], 1, (3, &[3], &[1], 6)),
        (3, &[1, 2, 3], &[], 3, (1, &[1, 2], &[], 6)),
        // Fewer than two are in sync: who leaves stays eligible.
        (1, &[1, 2], &[], 2, (1, &[1], &[2], 5)),
        // The last one stays in sync, whether it is the leader or has long gone.
        (1, &[1], &[2], 1, (2, &[2], &[1], 6)),
        (1, &[1], &[], 1, (-1, &[1], &[], 6)),
        (-1, &[1], &[], 1, (-1, &[1], &[], 5)),
    ];
    for (leader, isr, elr, goes, (led, kept, eligible, epoch)) in cases {
        let living: Vec<_> = [1, 2, 3].into_iter().filter(|id| *id != goes).collect();
        let state = after(&partition(leader, isr, elr), &living, |builder| builder.without(BrokerId(goes)));
        let case = format!("{goes} of {isr:?} goes, {elr:?} are eligible, {leader} leads");
        assert_eq!(seen(&state), (led, kept.to_vec(), eligible.to_vec(), epoch), "{case}");
    }
}

#[test]
fn nothing_changes_nothing() {
    let state = partition(1, &[1, 2], &[]);
    let may_lead = |_| true;
    assert_eq!(PartitionChangeBuilder::new(&state, &may_lead, 2).build(), None);
    let gone = partition(1, &[1, 2], &[]);
    assert_eq!(PartitionChangeBuilder::new(&gone, &may_lead, 2).without(BrokerId(3)).build(), None);
}

#[test]
fn who_may_have_lost_records_is_neither_in_sync_nor_eligible() {
    let unclean = |partition: &PartitionImage, id: i32, living: &[i32]| {
        after(partition, living, |builder| builder.without_unclean(BrokerId(id)))
    };
    assert_eq!(seen(&unclean(&partition(1, &[1, 2], &[]), 2, &[1])), (1, vec![1], vec![], 5));
    assert_eq!(seen(&unclean(&partition(1, &[1], &[2, 3]), 3, &[1])), (1, vec![1], vec![2], 5));
    // The last one goes too, and is remembered as the leader that has most.
    let lost = unclean(&partition(-1, &[1], &[2]), 1, &[]);
    assert_eq!((seen(&lost), &lost.last_known_elr), ((-1, vec![], vec![2], 5), &ids(&[1])));
    let eligible = after(&lost, &[1, 2], |builder| builder);
    assert_eq!((seen(&eligible), eligible.is_recovering), ((2, vec![2], vec![], 6), false));
    assert!(eligible.last_known_elr.is_empty());
    // With nobody eligible any more, only the last leader may lead: the others wait.
    let lost = unclean(&lost, 2, &[]);
    assert_eq!((seen(&lost), &lost.last_known_elr), ((-1, vec![], vec![], 5), &ids(&[1])));
    let waits = after(&lost, &[2, 3], |builder| builder);
    assert_eq!(waits, lost);
    let recovered = after(&lost, &[1, 2, 3], |builder| builder);
    assert_eq!((seen(&recovered), recovered.is_recovering), ((1, vec![1], vec![], 6), true));
}

#[test]
fn an_unclean_election_takes_whoever_lives_and_forgets_the_rest() {
    let state = partition(-1, &[1], &[]);
    let living = [3];
    assert_eq!(after(&state, &living, |builder| builder), state, "not without being allowed");
    let elected = after(&state, &living, |builder| builder.election(Election::Unclean));
    assert_eq!((seen(&elected), elected.is_recovering), ((3, vec![3], vec![], 6), true));
    // Where somebody in sync or eligible lives, the election is clean all the same.
    let clean = after(&partition(-1, &[1], &[2]), &[2, 3], |builder| builder.election(Election::Unclean));
    assert_eq!((seen(&clean), clean.is_recovering), ((2, vec![2], vec![1], 6), false));
}

#[test]
fn the_preferred_replica_leads_if_it_is_in_sync() {
    let prefer = |state: &PartitionImage, living: &[i32]| {
        seen(&after(state, living, |builder| builder.election(Election::Preferred))).0
    };
    assert_eq!(prefer(&partition(2, &[1, 2], &[]), &[1, 2, 3]), 1);
    assert_eq!(prefer(&partition(2, &[2, 3], &[]), &[1, 2, 3]), 2);
    assert_eq!(prefer(&partition(2, &[1, 2], &[]), &[2, 3]), 2);
    assert_eq!(prefer(&partition(-1, &[2, 3], &[]), &[1, 2, 3]), 2);
}

#[test]
fn a_reassignment_is_complete_when_all_that_is_added_is_in_sync() {
    let mut state = partition(1, &[1, 2, 3], &[]);
    let merged = ids(&[4, 2, 1, 3]);
    let all = [1, 2, 3, 4];
    state = after(&state, &all, |builder| builder.replicas(merged, ids(&[4]), ids(&[1, 3])));
    assert_eq!((&state.adding, &state.removing), (&ids(&[4]), &ids(&[1, 3])));
    assert_eq!(seen(&state), (1, vec![1, 2, 3], vec![], 5));
    state = after(&state, &all, |builder| builder.isr(ids(&[1, 2, 3, 4])));
    assert_eq!((&state.replicas, state.is_reassigning()), (&ids(&[4, 2]), false));
    assert_eq!(seen(&state), (4, vec![2, 4], vec![], 6));
}

#[test]
fn who_is_in_sync_does_not_go_before_enough_others_are() {
    let go = |state: &PartitionImage, goes: &[i32]| {
        after(state, &[1, 2, 3], |builder| builder.replicas(ids(&[1, 2, 3]), Vec::new(), ids(goes)))
    };
    let waits = go(&partition(3, &[1, 3], &[]), &[3]);
    assert_eq!((&waits.removing, seen(&waits)), (&ids(&[3]), (3, vec![1, 3], vec![], 5)));
    let left = after(&waits, &[1, 2, 3], |builder| builder.isr(ids(&[1, 2, 3])));
    assert_eq!((&left.replicas, seen(&left)), (&ids(&[1, 2]), (1, vec![1, 2], vec![], 6)));
    // More than there will be replicas is not asked for.
    let alone = go(&partition(1, &[1, 3], &[]), &[2, 3]);
    assert_eq!((&alone.replicas, seen(&alone)), (&ids(&[1]), (1, vec![1], vec![], 6)));
    // Who is not in sync may go at any time.
    let fewer = go(&partition(1, &[1], &[2]), &[3]);
    assert_eq!((&fewer.replicas, seen(&fewer)), (&ids(&[1, 2]), (1, vec![1], vec![2], 6)));
}

#[test]
fn replicas_that_go_at_once_are_fenced_by_a_new_leader_epoch() {
    let state = partition(1, &[1, 2, 3], &[]);
    let left = after(&state, &[1, 2, 3], |builder| builder.replicas(ids(&[1, 2, 3]), Vec::new(), ids(&[3])));
    assert_eq!((&left.replicas, seen(&left)), (&ids(&[1, 2]), (1, vec![1, 2], vec![], 6)));
}

#[test]
fn any_change_raises_the_partition_epoch_and_only_leaders_the_leader_epoch() {
    let mut state = partition(1, &[1, 2], &[]);
    state.change(&PartitionChange { isr: Some(ids(&[1])), ..PartitionChange::default() });
    assert_eq!((state.leader_epoch, state.partition_epoch), (LeaderEpoch(5), PartitionEpoch(10)));
    state.change(&PartitionChange { leader: Some(Some(BrokerId(1))), ..PartitionChange::default() });
    assert_eq!((state.leader_epoch, state.partition_epoch), (LeaderEpoch(6), PartitionEpoch(11)));
}
