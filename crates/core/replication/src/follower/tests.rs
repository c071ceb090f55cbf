//! What a follower asks and does, case by case.

use std::time::Duration;

use record::BatchSummary;
use types::{
    BrokerId, ErrorCode, LeaderEpoch, LeaderEpochs, Monotonic, Now, Offset, ProducerEpoch, ProducerId,
    Sequence, Timestamp,
};

use super::{
    BadAnswer, Fetch, FetchAnswer, FetchId, Follower, FollowerConfig, FollowerEffect, FollowerEvent,
    FollowerState,
};
use crate::{ProducerStates, ReplicaLog};

const LEADER: BrokerId = BrokerId(1);

/// Follows epoch 5 with a log from 0 to 10: epoch 1 from 0, epoch 3 from 6.
fn follower() -> Follower {
    let epochs = LeaderEpochs::new(vec![(LeaderEpoch(1), Offset(0)), (LeaderEpoch(3), Offset(6))]).unwrap();
    let log = ReplicaLog::recovered(Offset(0), Offset(10), Offset(4), epochs, ProducerStates::default());
    Follower::new(Some(LEADER), LeaderEpoch(5), FollowerConfig::default(), log)
}

fn at(millis: u64) -> Now {
    Now { monotonic: Monotonic(Duration::from_millis(millis)), wall: Timestamp(1_000) }
}

fn batch(base_offset: i64, epoch: i32, count: i32) -> BatchSummary {
    let batch = crate::test_batch(ProducerId::NONE, ProducerEpoch::NONE, Sequence::NONE, count);
    BatchSummary { base_offset: Offset(base_offset), leader_epoch: LeaderEpoch(epoch), ..batch }
}

fn records(batches: Vec<BatchSummary>) -> FetchAnswer {
    FetchAnswer::Records { batches, high_watermark: Offset(12), log_start: Offset(0) }
}

fn handle(follower: &mut Follower, now: Now, event: FollowerEvent) -> Vec<FollowerEffect> {
    let mut effects = Vec::new();
    follower.handle(now, event, &mut effects);
    effects
}

/// Fetches, and answers.
fn answer(follower: &mut Follower, answer: FetchAnswer) -> Vec<FollowerEffect> {
    let fetch = follower.next_fetch(at(0)).expect("it fetches").id;
    handle(follower, at(0), FollowerEvent::Answered { fetch, answer })
}

#[test]
fn it_asks_from_its_end_with_its_last_epoch() {
    let expected = Fetch {
        id: FetchId(0),
        leader: LEADER,
        leader_epoch: LeaderEpoch(5),
        fetch_offset: Offset(10),
        last_fetched_epoch: LeaderEpoch(3),
        log_start: Offset(0),
    };
    assert_eq!(follower().next_fetch(at(0)), Some(expected));
}

#[test]
fn what_continues_the_log_is_written_and_fetched_on_once_durable() {
    let mut follower = follower();
    let effects = answer(&mut follower, records(vec![batch(10, 3, 2), batch(12, 5, 3)]));
    assert_eq!(effects, [FollowerEffect::Append { count: 2 }]);
    handle(&mut follower, at(0), FollowerEvent::Written { count: 2 });
    let bounds = follower.bounds();
    assert_eq!((bounds.log_end, bounds.high_watermark), (Offset(15), Offset(12)));
    assert_eq!(follower.next_fetch(at(0)), None, "its next offset would acknowledge what is not synced");
    handle(&mut follower, at(0), FollowerEvent::Durable { end: Offset(15) });
    let fetch = follower.next_fetch(at(0)).unwrap();
    assert_eq!((fetch.fetch_offset, fetch.last_fetched_epoch), (Offset(15), LeaderEpoch(5)));
}

#[test]
fn what_does_not_continue_the_log_is_not_written() {
    let (expected, last, current) = (Offset(10), LeaderEpoch(3), LeaderEpoch(5));
    let cases = [
        ("a hole", batch(11, 5, 1), BadAnswer::NotContiguous { expected, offered: Offset(11) }),
        ("a repetition", batch(9, 3, 2), BadAnswer::NotContiguous { expected, offered: Offset(9) }),
        ("an older epoch", batch(10, 2, 1), BadAnswer::EpochWentBack { last, offered: LeaderEpoch(2) }),
        ("a later epoch", batch(10, 6, 1), BadAnswer::EpochAhead { current, offered: LeaderEpoch(6) }),
        ("nothing", batch(10, 5, 0), BadAnswer::Empty { offered: expected }),
    ];
    for (what, bad, problem) in cases {
        let mut follower = follower();
        let effects = answer(&mut follower, records(vec![bad]));
        assert_eq!(effects, [FollowerEffect::Report(problem)], "{what}");
        assert_eq!(follower.bounds().log_end, Offset(10), "{what}");
        assert_eq!(follower.next_deadline(), Some(at(20).monotonic), "{what}");
    }
}

#[test]
fn what_comes_before_a_bad_batch_is_written() {
    let mut follower = follower();
    let effects = answer(&mut follower, records(vec![batch(10, 5, 1), batch(13, 5, 1)]));
    let problem = BadAnswer::NotContiguous { expected: Offset(11), offered: Offset(13) };
    assert_eq!(effects, [FollowerEffect::Report(problem), FollowerEffect::Append { count: 1 }]);
    handle(&mut follower, at(0), FollowerEvent::Written { count: 1 });
    assert_eq!(follower.bounds().log_end, Offset(11));
    assert_eq!(follower.state(), FollowerState::Paused);
}

#[test]
fn a_compacted_log_may_have_holes() {
    let mut follower = follower();
    let config = FollowerConfig { is_compacted: true, ..FollowerConfig::default() };
    handle(&mut follower, at(0), FollowerEvent::Configured(config));
    assert_eq!(answer(&mut follower, records(vec![batch(14, 5, 1)])), [FollowerEffect::Append { count: 1 }]);
}

#[test]
fn a_diverging_log_is_cut_where_both_agree() {
    let cases = [
        ("the leader's epoch 3 is shorter", 3, 8, 8),
        ("the leader has no epoch 3", 1, 7, 6),
        ("the leader's epoch 1 is shorter too", 1, 4, 4),
        ("the leader's epoch 2 is unknown here", 2, 9, 6),
        ("the leader has nothing of ours", 0, 0, 0),
    ];
    for (what, epoch, end_offset, to) in cases {
        let mut follower = follower();
        let diverging = FetchAnswer::Diverging { epoch: LeaderEpoch(epoch), end_offset: Offset(end_offset) };
        let effects = answer(&mut follower, diverging);
        assert_eq!(effects, [FollowerEffect::Truncate { to: Offset(to) }], "{what}");
        assert_eq!(follower.state(), FollowerState::Truncating);
        assert_eq!(follower.next_fetch(at(0)), None, "{what}");
        let truncated = FollowerEvent::Truncated { end: Offset(to), producers: ProducerStates::default() };
        handle(&mut follower, at(0), truncated);
        let fetch = follower.next_fetch(at(0)).unwrap();
        let last = if to > 6 {
            3
        } else if to > 0 {
            1
        } else {
            -1
        };
        assert_eq!((fetch.fetch_offset, fetch.last_fetched_epoch), (Offset(to), LeaderEpoch(last)), "{what}");
        assert_eq!(follower.bounds().high_watermark, Offset(to.min(4)), "{what}");
    }
}

#[test]
fn out_of_range_begins_again_where_the_leader_does() {
    let mut follower = follower();
    let out = FetchAnswer::OutOfRange { log_start: Offset(50), log_end: Offset(70) };
    assert_eq!(answer(&mut follower, out), [FollowerEffect::Restart { at: Offset(50) }]);
    handle(&mut follower, at(0), FollowerEvent::Restarted);
    let fetch = follower.next_fetch(at(0)).unwrap();
    assert_eq!((fetch.fetch_offset, fetch.last_fetched_epoch), (Offset(50), LeaderEpoch::NONE));
    assert_eq!(fetch.log_start, Offset(50));
}

#[test]
fn out_of_range_of_a_shorter_leader_cuts_the_log() {
    let out = FetchAnswer::OutOfRange { log_start: Offset(0), log_end: Offset(7) };
    assert_eq!(answer(&mut follower(), out), [FollowerEffect::Truncate { to: Offset(7) }]);
}

#[test]
fn errors_make_it_rest_and_a_fenced_epoch_makes_it_wait_for_the_next_leader() {
    let mut follower = follower();
    answer(&mut follower, FetchAnswer::Failed(ErrorCode::UnknownLeaderEpoch));
    assert_eq!(follower.next_fetch(at(19)), None);
    assert!(follower.next_fetch(at(20)).is_some());
    answer(&mut follower, FetchAnswer::Failed(ErrorCode::FencedLeaderEpoch));
    assert_eq!((follower.next_fetch(at(9_999)), follower.next_deadline()), (None, None));
    let same = FollowerEvent::LeaderChanged { leader: Some(LEADER), leader_epoch: LeaderEpoch(5) };
    handle(&mut follower, at(9_999), same);
    assert_eq!(follower.next_fetch(at(9_999)), None);
    let next = FollowerEvent::LeaderChanged { leader: Some(BrokerId(2)), leader_epoch: LeaderEpoch(6) };
    handle(&mut follower, at(9_999), next);
    let fetch = follower.next_fetch(at(9_999)).unwrap();
    assert_eq!((fetch.leader, fetch.leader_epoch), (BrokerId(2), LeaderEpoch(6)));
}

#[test]
fn answers_to_an_earlier_fetch_or_leader_count_for_nothing() {
    let mut follower = follower();
    let earlier = follower.next_fetch(at(0)).unwrap().id;
    let last = follower.next_fetch(at(0)).unwrap().id;
    let late = |fetch| FollowerEvent::Answered { fetch, answer: records(vec![batch(10, 5, 1)]) };
    assert_eq!(handle(&mut follower, at(0), late(earlier)), []);
    let next = FollowerEvent::LeaderChanged { leader: None, leader_epoch: LeaderEpoch(6) };
    handle(&mut follower, at(0), next);
    assert_eq!(handle(&mut follower, at(0), late(last)), []);
    assert_eq!((follower.next_fetch(at(0)), follower.state()), (None, FollowerState::Paused));
}

#[test]
fn a_disk_that_refuses_makes_it_rest_where_it_is() {
    let mut follower = follower();
    answer(&mut follower, records(vec![batch(10, 5, 1), batch(11, 5, 1)]));
    handle(&mut follower, at(0), FollowerEvent::Written { count: 1 });
    assert_eq!(follower.bounds().log_end, Offset(11));
    assert_eq!(follower.bounds().high_watermark, Offset(11));
    assert_eq!(follower.next_deadline(), Some(at(20).monotonic));
}

#[test]
fn the_high_watermark_never_follows_a_leader_that_knows_less() {
    let mut follower = follower();
    for (of_leader, expected) in [(3, 4), (7, 7), (5, 7), (99, 10)] {
        let answer_now = FetchAnswer::Records {
            batches: Vec::new(),
            high_watermark: Offset(of_leader),
            log_start: Offset(0),
        };
        assert_eq!(answer(&mut follower, answer_now), []);
        assert_eq!(follower.bounds().high_watermark, Offset(expected));
    }
}

#[test]
fn deleted_records_are_deleted_here_too() {
    let mut follower = follower();
    let answer_now =
        FetchAnswer::Records { batches: Vec::new(), high_watermark: Offset(9), log_start: Offset(7) };
    let effects = answer(&mut follower, answer_now);
    assert_eq!(effects, [FollowerEffect::DeleteRecords { before: Offset(7) }]);
    handle(&mut follower, at(0), FollowerEvent::LogStartMoved { to: Offset(7) });
    assert_eq!(follower.next_fetch(at(0)).unwrap().log_start, Offset(7));
}

#[test]
fn a_leader_whose_log_begins_within_a_batch_can_be_followed() {
    for writable in [0, 1] {
        let mut follower = follower();
        let batches = vec![batch(8, 3, 5)];
        let begins_within =
            FetchAnswer::Records { batches, high_watermark: Offset(13), log_start: Offset(10) };
        let effects = answer(&mut follower, begins_within);
        assert_eq!(effects, [FollowerEffect::Restart { at: Offset(8) }, FollowerEffect::Append { count: 1 }]);
        assert_eq!(handle(&mut follower, at(0), FollowerEvent::Restarted), []);
        let effects = handle(&mut follower, at(0), FollowerEvent::Written { count: writable });
        let bounds = follower.bounds();
        assert_eq!(bounds.log_start, Offset(10));
        if writable == 1 {
            assert_eq!(effects, [FollowerEffect::DeleteRecords { before: Offset(10) }]);
            assert_eq!((bounds.log_end, bounds.high_watermark), (Offset(13), Offset(13)));
        } else {
            assert_eq!(effects, [FollowerEffect::Restart { at: Offset(10) }]);
            assert_eq!((bounds.log_end, bounds.high_watermark), (Offset(10), Offset(10)));
        }
    }
}
