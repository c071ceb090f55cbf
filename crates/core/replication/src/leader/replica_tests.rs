//! What a leader does about its followers, case by case.

use std::time::Duration;

use record::BatchSummary;
use types::{
    BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, LeaderEpochs, Monotonic, Now, Offset, PartitionEpoch,
    ProducerEpoch, ProducerId, Sequence, Timestamp,
};

use super::{
    Acks, CommittedIsr, Effect, Event, FetchRefusal, FollowerAnswer, FollowerFetch, InSync, IsrProposal,
    Leader, LeaderConfig, ProposalId, WaiterId,
};
use crate::rule::{Rule, break_rule};
use crate::{PartitionState, ProducerStates, ReplicaLog};

const EPOCH: LeaderEpoch = LeaderEpoch(3);

fn at(seconds: u64) -> Now {
    Now { monotonic: Monotonic(Duration::from_secs(seconds)), wall: Timestamp(1_000) }
}

fn broker_epoch(broker: i32) -> BrokerEpoch {
    BrokerEpoch(i64::from(100 + broker))
}

fn state(partition_epoch: i32, isr: &[i32]) -> PartitionState {
    PartitionState {
        partition_epoch: PartitionEpoch(partition_epoch),
        leader_epoch: EPOCH,
        leader: Some(BrokerId(0)),
        replicas: vec![BrokerId(0), BrokerId(1), BrokerId(2)],
        isr: isr.iter().copied().map(BrokerId).collect(),
    }
}

/// Node 0 of 0, 1, 2 leads a log from 0 to 10: epoch 1 from 0, epoch 2 from 6, epoch 3 to come. All are registered.
fn leader(isr: &[i32], min_insync_replicas: usize, high_watermark: i64) -> Leader {
    let epochs = LeaderEpochs::new(vec![(LeaderEpoch(1), Offset(0)), (LeaderEpoch(2), Offset(6))]).unwrap();
    let log = ReplicaLog::recovered(
        Offset(0),
        Offset(10),
        Offset(high_watermark),
        epochs,
        ProducerStates::default(),
    );
    let config = LeaderConfig { min_insync_replicas, ..LeaderConfig::default() };
    let mut leader = Leader::new(at(0), BrokerId(0), state(5, isr), config, log);
    for broker in 0..3 {
        let registered =
            Event::BrokerChanged { broker: BrokerId(broker), eligible: Some(broker_epoch(broker)) };
        assert_eq!(handle(&mut leader, at(0), registered), []);
    }
    leader
}

fn handle(leader: &mut Leader, now: Now, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    leader.handle(now, event, &mut effects);
    effects
}

/// A fetch of a follower whose last record is the one before `fetch_offset` in the leader's log.
fn at_offset(broker: i32, fetch_offset: i64) -> FollowerFetch {
    let last_fetched_epoch = match fetch_offset {
        ..=6 => LeaderEpoch(1),
        7..=10 => LeaderEpoch(2),
        _ => EPOCH,
    };
    FollowerFetch {
        broker: BrokerId(broker),
        broker_epoch: broker_epoch(broker),
        leader_epoch: EPOCH,
        fetch_offset: Offset(fetch_offset),
        last_fetched_epoch,
        log_start: Offset(0),
    }
}

fn fetch(leader: &mut Leader, now: Now, fetch: FollowerFetch) -> Vec<Effect> {
    let mut effects = Vec::new();
    let answer = leader.follower_fetch(now, &fetch, &mut effects).expect("not refused");
    assert!(matches!(answer, FollowerAnswer::Read { .. }), "{answer:?}");
    effects
}

/// Appends `count` records as a shell without flush settings does.
fn append(leader: &mut Leader, now: Now, count: i32, acks: Acks, id: u64) -> Vec<Effect> {
    let batch = crate::test_batch(ProducerId::NONE, ProducerEpoch::NONE, Sequence::NONE, count);
    let timeout = Duration::from_secs(30);
    let event = Event::Append { batch: batch.clone(), acks, waiter: WaiterId(id), timeout };
    let mut effects = handle(leader, now, event);
    if let [Effect::Write { base_offset, leader_epoch }] = effects[..] {
        let batch = BatchSummary { base_offset, leader_epoch, ..batch };
        effects = handle(leader, now, Event::Written { batch });
        let end = leader.bounds().log_end;
        effects.extend(handle(leader, now, Event::Durable { end }));
    }
    effects
}

fn proposal(id: u64, partition_epoch: i32, isr: &[(i32, Option<BrokerEpoch>)]) -> Effect {
    let isr = isr.iter().map(|&(broker, broker_epoch)| InSync { broker: BrokerId(broker), broker_epoch });
    Effect::ProposeIsr(IsrProposal {
        id: ProposalId(id),
        leader_epoch: EPOCH,
        partition_epoch: PartitionEpoch(partition_epoch),
        isr: isr.collect(),
    })
}

fn known(broker: i32) -> (i32, Option<BrokerEpoch>) {
    (broker, Some(broker_epoch(broker)))
}

fn committed(partition_epoch: i32, isr: &[i32]) -> Result<CommittedIsr, ErrorCode> {
    let PartitionState { partition_epoch, leader_epoch, isr, .. } = state(partition_epoch, isr);
    Ok(CommittedIsr { leader_epoch, partition_epoch, isr })
}

fn answered(id: u64, result: Result<CommittedIsr, ErrorCode>) -> Event {
    Event::IsrAnswered { proposal: ProposalId(id), result }
}

fn high_watermark(leader: &Leader) -> i64 {
    leader.bounds().high_watermark.0
}

fn is_answer(effects: &[Effect], id: u64, error: Option<ErrorCode>) -> bool {
    matches!(effects, [Effect::Complete { waiter, result }]
        if *waiter == WaiterId(id) && result.err() == error)
}

#[test]
fn acks_all_waits_for_the_slowest_in_sync_replica() {
    let mut leader = leader(&[0, 1, 2], 2, 10);
    assert_eq!(append(&mut leader, at(0), 5, Acks::All, 1), []);
    assert!(is_answer(&append(&mut leader, at(0), 1, Acks::Leader, 2), 2, None));
    assert_eq!(fetch(&mut leader, at(1), at_offset(1, 16)), []);
    assert_eq!(fetch(&mut leader, at(1), at_offset(2, 12)), []);
    assert_eq!(high_watermark(&leader), 12);
    assert!(is_answer(&fetch(&mut leader, at(1), at_offset(2, 15)), 1, None));
    assert_eq!(high_watermark(&leader), 15);
}

#[test]
fn the_high_watermark_waits_for_replicas_that_have_not_been_heard_of() {
    let mut leader = leader(&[0, 1], 1, 4);
    assert!(!leader.is_high_watermark_settled());
    assert_eq!(high_watermark(&leader), 4);
    fetch(&mut leader, at(1), at_offset(1, 6));
    assert_eq!(high_watermark(&leader), 6);
    fetch(&mut leader, at(1), at_offset(1, 10));
    assert!(leader.is_high_watermark_settled());
}

#[test]
fn a_follower_joins_at_the_high_watermark_and_counts_at_once() {
    let mut leader = leader(&[0, 1], 1, 6);
    fetch(&mut leader, at(1), at_offset(1, 10));
    assert_eq!(fetch(&mut leader, at(1), at_offset(2, 9)), [], "before the high watermark");
    assert_eq!(
        fetch(&mut leader, at(1), at_offset(2, 10)),
        [proposal(0, 5, &[known(0), known(1), known(2)])]
    );
    append(&mut leader, at(1), 2, Acks::Leader, 1);
    fetch(&mut leader, at(2), at_offset(1, 12));
    assert_eq!(high_watermark(&leader), 10, "it may be in sync already");
    assert_eq!(handle(&mut leader, at(2), answered(0, committed(6, &[0, 1, 2]))), []);
    fetch(&mut leader, at(2), at_offset(2, 12));
    assert_eq!(high_watermark(&leader), 12);
    assert_eq!(leader.state(), state(6, &[0, 1, 2]));
}

#[test]
fn who_begins_before_what_was_deleted_does_not_join() {
    let mut leader = leader(&[0, 1], 1, 10);
    handle(&mut leader, at(0), Event::LogStartMoved { to: Offset(5) });
    fetch(&mut leader, at(1), at_offset(1, 10));
    assert_eq!(fetch(&mut leader, at(1), at_offset(2, 10)), [], "it would show deleted records");
    let told = FollowerFetch { log_start: Offset(5), ..at_offset(2, 10) };
    assert_eq!(fetch(&mut leader, at(1), told), [proposal(0, 5, &[known(0), known(1), known(2)])]);
}

#[test]
fn who_is_not_eligible_does_not_join() {
    let cases = [
        ("fenced or shutting down", None),
        ("registered anew", Some(BrokerEpoch(7_000))),
        ("not yet known by its new registration", Some(BrokerEpoch(1))),
    ];
    for (what, eligible) in cases {
        let mut leader = leader(&[0], 1, 10);
        handle(&mut leader, at(0), Event::BrokerChanged { broker: BrokerId(1), eligible });
        let mut effects = Vec::new();
        let result = leader.follower_fetch(at(1), &at_offset(1, 10), &mut effects);
        assert_eq!(effects, [], "{what}");
        let is_stale = eligible == Some(BrokerEpoch(7_000));
        assert_eq!(result.is_err(), is_stale, "{what}");
    }
}

#[test]
fn who_lags_is_proposed_out_and_counts_until_that_is_committed() {
    let mut leader = leader(&[0, 1, 2], 2, 10);
    fetch(&mut leader, at(1), at_offset(1, 10));
    fetch(&mut leader, at(1), at_offset(2, 10));
    assert_eq!(leader.next_deadline(), None, "all have all");
    append(&mut leader, at(5), 2, Acks::All, 1);
    fetch(&mut leader, at(6), at_offset(1, 12));
    assert_eq!(leader.next_deadline(), Some(at(31).monotonic));
    assert_eq!(handle(&mut leader, at(30), Event::Tick), []);
    assert_eq!(handle(&mut leader, at(31), Event::Tick), [proposal(0, 5, &[known(0), known(1)])]);
    assert_eq!(high_watermark(&leader), 10);
    assert_eq!(handle(&mut leader, at(32), answered(0, committed(6, &[0, 1]))), []);
    let effects = handle(&mut leader, at(32), Event::Changed(state(6, &[0, 1])));
    assert!(is_answer(&effects, 1, None), "{effects:?}");
    assert_eq!(high_watermark(&leader), 12);
}

#[test]
fn a_raised_min_isr_is_known_before_who_lags_is_done_without() {
    let mut leader = leader(&[0, 1], 1, 10);
    fetch(&mut leader, at(1), at_offset(1, 10));
    assert_eq!(append(&mut leader, at(10), 2, Acks::All, 1), []);
    let asked = handle(&mut leader, at(35), Event::Tick);
    assert_eq!(asked, [proposal(0, 5, &[known(0)])]);
    // The controller has raised min.insync.replicas to 2 meanwhile: it keeps 1 eligible to lead, without the two records.
    assert_eq!(handle(&mut leader, at(36), answered(0, committed(6, &[0]))), []);
    assert_eq!(high_watermark(&leader), 10, "nothing is acknowledged by the old value");
    let raised = LeaderConfig { min_insync_replicas: 2, ..LeaderConfig::default() };
    assert_eq!(handle(&mut leader, at(36), Event::Configured(raised)), []);
    let effects = handle(&mut leader, at(36), Event::Changed(state(6, &[0])));
    assert!(
        effects.iter().all(|effect| !matches!(effect, Effect::Complete { result: Ok(_), .. })),
        "{effects:?}"
    );
    assert_eq!(high_watermark(&leader), 10);
}

#[test]
fn a_follower_that_keeps_up_with_an_earlier_end_stays() {
    let mut leader = leader(&[0, 1], 1, 10);
    for second in 1..100 {
        append(&mut leader, at(second), 1, Acks::Leader, second);
        // It always asks for what was the end at its fetch before.
        fetch(&mut leader, at(second), at_offset(1, 9 + i64::try_from(second).unwrap()));
        assert_eq!(handle(&mut leader, at(second), Event::Tick), []);
    }
}

#[test]
fn too_few_in_sync_refuse_before_and_after_the_append() {
    let mut leader = leader(&[0, 1], 2, 10);
    fetch(&mut leader, at(1), at_offset(1, 10));
    assert_eq!(append(&mut leader, at(1), 2, Acks::All, 1), []);
    assert_eq!(handle(&mut leader, at(2), Event::Changed(state(6, &[0]))), []);
    assert_eq!(high_watermark(&leader), 10, "it stands still");
    assert!(is_answer(&append(&mut leader, at(3), 1, Acks::All, 2), 2, Some(ErrorCode::NotEnoughReplicas)));
    let effects = handle(&mut leader, at(31), Event::Tick);
    assert!(is_answer(&effects, 1, Some(ErrorCode::NotEnoughReplicasAfterAppend)), "{effects:?}");
}

#[test]
fn more_than_all_replicas_cannot_be_required() {
    let mut leader = leader(&[0, 1, 2], 5, 10);
    assert_eq!(append(&mut leader, at(0), 2, Acks::All, 1), []);
    fetch(&mut leader, at(1), at_offset(1, 12));
    assert!(is_answer(&fetch(&mut leader, at(1), at_offset(2, 12)), 1, None));
}

#[test]
fn refused_proposals_are_dropped_kept_or_repeated() {
    let cases = [
        ("nothing was tried", ErrorCode::OperationNotAttempted, None, 12),
        ("not eligible there", ErrorCode::IneligibleReplica, None, 12),
        ("the image will tell", ErrorCode::InvalidUpdateVersion, None, 10),
        ("there is another leader", ErrorCode::FencedLeaderEpoch, None, 10),
        ("no answer", ErrorCode::RequestTimedOut, Some(Duration::from_millis(2_050)), 10),
        ("no controller", ErrorCode::NotController, Some(Duration::from_millis(2_050)), 10),
    ];
    for (what, error, repeated_at, watermark) in cases {
        let mut leader = leader(&[0, 1], 1, 10);
        let asked = fetch(&mut leader, at(1), at_offset(2, 10));
        assert_eq!(asked, [proposal(0, 5, &[(0, Some(broker_epoch(0))), (1, None), known(2)])]);
        handle(&mut leader, at(1), Event::BrokerChanged { broker: BrokerId(2), eligible: None });
        assert_eq!(handle(&mut leader, at(2), answered(0, Err(error))), [], "{what}");
        append(&mut leader, at(2), 2, Acks::Leader, 1);
        fetch(&mut leader, at(2), at_offset(1, 12));
        assert_eq!(high_watermark(&leader), watermark, "{what}");
        let is_repeated = leader.next_deadline().is_some();
        assert_eq!(leader.next_deadline(), repeated_at.map(Monotonic), "{what}");
        let again = handle(&mut leader, at(3), Event::Tick);
        assert_eq!(again, if is_repeated { asked } else { Vec::new() }, "{what}");
    }
}

#[test]
fn a_refusal_of_a_repeated_proposal_shuts_the_other_copy_out_first() {
    let mut leader = leader(&[0, 1], 1, 10);
    fetch(&mut leader, at(1), at_offset(2, 10));
    handle(&mut leader, at(1), Event::BrokerChanged { broker: BrokerId(2), eligible: None });
    handle(&mut leader, at(2), answered(0, Err(ErrorCode::RequestTimedOut)));
    handle(&mut leader, at(3), Event::Tick);
    let effects = handle(&mut leader, at(4), answered(0, Err(ErrorCode::IneligibleReplica)));
    assert_eq!(effects, [proposal(1, 5, &[(0, Some(broker_epoch(0))), (1, None)])]);
    append(&mut leader, at(4), 2, Acks::Leader, 1);
    fetch(&mut leader, at(4), at_offset(1, 12));
    assert_eq!(high_watermark(&leader), 10, "the first copy may yet be committed");
    handle(&mut leader, at(5), answered(1, committed(6, &[0, 1])));
    assert_eq!(high_watermark(&leader), 12);
}

#[test]
fn a_state_is_replaced_by_a_later_one_only() {
    let mut leader = leader(&[0, 1], 1, 10);
    fetch(&mut leader, at(1), at_offset(2, 10));
    handle(&mut leader, at(2), Event::Changed(state(8, &[0])));
    handle(&mut leader, at(2), answered(0, committed(6, &[0, 1, 2])));
    handle(&mut leader, at(2), Event::Changed(state(7, &[0, 1])));
    assert_eq!(leader.state(), state(8, &[0]));
}

#[test]
fn a_late_answer_does_not_settle_the_next_proposal() {
    let mut leader = leader(&[0, 1], 1, 10);
    fetch(&mut leader, at(0), at_offset(1, 10));
    fetch(&mut leader, at(0), at_offset(2, 10));
    handle(&mut leader, at(1), Event::Changed(state(6, &[0, 1])));
    assert_eq!(
        fetch(&mut leader, at(1), at_offset(2, 10)),
        [proposal(1, 6, &[known(0), known(1), known(2)])]
    );
    handle(&mut leader, at(1), answered(0, committed(6, &[0, 1])));
    append(&mut leader, at(1), 2, Acks::Leader, 1);
    fetch(&mut leader, at(2), at_offset(1, 12));
    handle(&mut leader, at(2), Event::BrokerChanged { broker: BrokerId(2), eligible: None });
    assert_eq!(high_watermark(&leader), 10, "the second proposal may be committed");
}

#[test]
fn the_place_of_a_follower_is_checked_by_epoch_and_range() {
    let out_of_range = FetchRefusal::OutOfRange { log_start: Offset(4), log_end: Offset(10) };
    let diverging =
        |epoch, end| Ok(FollowerAnswer::Diverging { epoch: LeaderEpoch(epoch), end_offset: Offset(end) });
    let read = Ok(FollowerAnswer::Read { upto: Offset(10), high_watermark: Offset(6), log_start: Offset(4) });
    let cases = [
        ("at the end", 10, 2, 3, read),
        ("an empty log at the start", 4, -1, 3, read),
        ("too far in the last epoch", 12, 2, 3, diverging(2, 10)),
        ("too far in an earlier epoch", 8, 1, 3, diverging(1, 6)),
        ("an epoch that is not here", 9, 0, 3, diverging(0, 4)),
        ("an epoch that may have been here", 4, 0, 3, Err(out_of_range)),
        ("before the start", 3, 1, 3, Err(out_of_range)),
        ("after the end", 11, -1, 3, Err(out_of_range)),
        ("an older leader epoch", 10, 2, 2, Err(FetchRefusal::FencedEpoch(EPOCH))),
        ("a newer leader epoch", 10, 2, 4, Err(FetchRefusal::UnknownEpoch(EPOCH))),
    ];
    for (what, offset, last_epoch, leader_epoch, expected) in cases {
        let mut leader = leader(&[0, 1, 2], 1, 6);
        handle(&mut leader, at(0), Event::LogStartMoved { to: Offset(4) });
        let fetch = FollowerFetch {
            last_fetched_epoch: LeaderEpoch(last_epoch),
            leader_epoch: LeaderEpoch(leader_epoch),
            ..at_offset(1, offset)
        };
        let result = leader.follower_fetch(at(1), &fetch, &mut Vec::new());
        assert_eq!(result, expected, "{what}");
        let is_known = leader.remote_replicas().any(|remote| remote.log_end.is_some());
        assert_eq!(is_known, expected == read, "{what}: only a log that is a part of this one counts");
    }
}

#[test]
fn a_stranger_and_an_earlier_incarnation_are_refused() {
    let mut leader = leader(&[0, 1], 1, 10);
    let stranger = leader.follower_fetch(at(1), &at_offset(9, 10), &mut Vec::new());
    assert_eq!(stranger, Err(FetchRefusal::NotLeader));
    let anew = FollowerFetch { broker_epoch: BrokerEpoch(900), ..at_offset(1, 6) };
    assert_eq!(fetch(&mut leader, at(1), anew), []);
    let late = leader.follower_fetch(at(1), &at_offset(1, 10), &mut Vec::new());
    assert_eq!(late, Err(FetchRefusal::NotLeader));
}

/// A replica lost its log and was registered anew; then a fetch arrives that it sent before.
fn late_fetch_of_a_replica_that_forgot() -> Vec<Effect> {
    let mut leader = leader(&[0], 1, 10);
    let anew = Event::BrokerChanged { broker: BrokerId(1), eligible: Some(BrokerEpoch(900)) };
    let mut effects = handle(&mut leader, at(0), anew);
    let _ = leader.follower_fetch(at(1), &at_offset(1, 10), &mut effects);
    effects
}

#[test]
fn a_replica_that_forgot_is_not_taken_for_what_it_was() {
    assert_eq!(late_fetch_of_a_replica_that_forgot(), []);
    break_rule(Some(Rule::BrokerEpochIsChecked));
    let broken = late_fetch_of_a_replica_that_forgot();
    break_rule(None);
    let taken = proposal(0, 5, &[known(0), (1, Some(BrokerEpoch(900)))]);
    assert_eq!(broken, [taken], "the controller would believe this");
}

#[test]
fn another_leader_ends_it_and_everybody_is_told() {
    let mut leader = leader(&[0, 1], 1, 10);
    append(&mut leader, at(1), 1, Acks::All, 1);
    let next =
        PartitionState { leader: Some(BrokerId(1)), leader_epoch: LeaderEpoch(4), ..state(6, &[0, 1]) };
    let effects = handle(&mut leader, at(2), Event::Changed(next));
    assert!(is_answer(&effects, 1, Some(ErrorCode::NotLeaderOrFollower)), "{effects:?}");
    let effects = append(&mut leader, at(2), 1, Acks::Leader, 2);
    assert!(is_answer(&effects, 2, Some(ErrorCode::NotLeaderOrFollower)), "{effects:?}");
    let late = leader.follower_fetch(at(2), &at_offset(1, 11), &mut Vec::new());
    assert_eq!(late, Err(FetchRefusal::NotLeader));
    assert_eq!(leader.next_deadline(), None);
    assert_eq!(leader.into_log().log_end, Offset(11));
}

#[test]
fn a_new_epoch_of_the_same_leader_begins_in_place() {
    let mut leader = leader(&[0, 1], 1, 10);
    fetch(&mut leader, at(1), at_offset(1, 10));
    append(&mut leader, at(1), 2, Acks::All, 1);
    let next = PartitionState { leader_epoch: LeaderEpoch(4), ..state(6, &[0, 1]) };
    let effects = handle(&mut leader, at(2), Event::Changed(next));
    assert_eq!(effects, [Effect::AssignEpoch { leader_epoch: LeaderEpoch(4), start: Offset(12) }]);
    let late = leader.follower_fetch(at(2), &at_offset(1, 12), &mut Vec::new());
    assert_eq!(late, Err(FetchRefusal::FencedEpoch(LeaderEpoch(4))));
    let now = FollowerFetch { leader_epoch: LeaderEpoch(4), ..at_offset(1, 12) };
    assert!(is_answer(&fetch(&mut leader, at(2), now), 1, None));
}

#[test]
fn deletion_is_done_when_the_replicas_that_live_have_done_it() {
    let mut leader = leader(&[0, 1], 1, 10);
    handle(&mut leader, at(0), Event::LogStartMoved { to: Offset(5) });
    assert_eq!(leader.low_watermark(), Some(Offset(0)));
    fetch(&mut leader, at(1), FollowerFetch { log_start: Offset(5), ..at_offset(1, 10) });
    handle(&mut leader, at(0), Event::BrokerChanged { broker: BrokerId(2), eligible: None });
    assert_eq!(leader.low_watermark(), Some(Offset(5)));
}

#[test]
fn deletion_waits_for_who_may_lead_next_though_it_is_gone() {
    let mut leader = leader(&[0, 1, 2], 1, 10);
    handle(&mut leader, at(0), Event::LogStartMoved { to: Offset(5) });
    fetch(&mut leader, at(1), FollowerFetch { log_start: Offset(5), ..at_offset(1, 10) });
    handle(&mut leader, at(0), Event::BrokerChanged { broker: BrokerId(2), eligible: None });
    assert_eq!(leader.low_watermark(), Some(Offset(0)), "it is in sync until the controller says otherwise");
    handle(&mut leader, at(0), Event::Changed(state(6, &[0, 1])));
    assert_eq!(leader.low_watermark(), Some(Offset(5)));
}

#[test]
fn deletion_is_not_done_while_replicas_that_left_are_eligible() {
    let mut leader = leader(&[0], 2, 10);
    handle(&mut leader, at(0), Event::LogStartMoved { to: Offset(5) });
    for broker in [1, 2] {
        handle(&mut leader, at(0), Event::BrokerChanged { broker: BrokerId(broker), eligible: None });
    }
    // Who left below min.insync.replicas has all that was acknowledged, and may lead from offset 0 on (KIP-966).
    assert_eq!(leader.low_watermark(), None);
    handle(&mut leader, at(0), Event::BrokerChanged { broker: BrokerId(1), eligible: Some(broker_epoch(1)) });
    fetch(&mut leader, at(1), FollowerFetch { log_start: Offset(5), ..at_offset(1, 10) });
    assert_eq!(leader.low_watermark(), None, "it is about to join");
    handle(&mut leader, at(1), Event::Changed(state(6, &[0, 1])));
    assert_eq!(leader.low_watermark(), Some(Offset(5)));
}
