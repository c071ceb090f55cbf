//! What a leader decides, case by case, and what holds after any sequence of events.

use std::time::Duration;

use proptest::prelude::*;
use record::BatchSummary;
use types::{
    BrokerId, ErrorCode, LeaderEpoch, LeaderEpochs, Monotonic, Now, Offset, PartitionEpoch, ProducerEpoch,
    ProducerId, Sequence, Timestamp,
};

use super::{Acks, Appended, Effect, Event, Leader, LeaderConfig, WaiterId};
use crate::{PartitionState, ProducerStates, ReplicaLog};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Alone in sync of as many replicas as `min_insync_replicas` asks for.
fn leader(min_insync_replicas: usize) -> Leader {
    let mut state = PartitionState::single(BrokerId(0), LeaderEpoch(3), PartitionEpoch(5));
    state.replicas.extend((1..min_insync_replicas).map(|id| BrokerId(i32::try_from(id).unwrap())));
    let config = LeaderConfig { min_insync_replicas, ..LeaderConfig::default() };
    Leader::new(at(0), BrokerId(0), state, config, log())
}

fn log() -> ReplicaLog {
    let epochs = LeaderEpochs::new(vec![(LeaderEpoch(1), Offset(0)), (LeaderEpoch(2), Offset(6))]).unwrap();
    ReplicaLog::recovered(Offset(0), Offset(10), Offset(10), epochs, ProducerStates::default())
}

fn at(seconds: u64) -> Now {
    Now { monotonic: Monotonic(Duration::from_secs(seconds)), wall: Timestamp(1_000) }
}

fn plain(count: i32) -> BatchSummary {
    BatchSummary {
        producer_id: ProducerId::NONE,
        producer_epoch: ProducerEpoch::NONE,
        base_sequence: Sequence::NONE,
        ..idempotent(0, 0, count)
    }
}

fn idempotent(epoch: i16, sequence: i32, count: i32) -> BatchSummary {
    crate::test_batch(ProducerId(7), ProducerEpoch(epoch), Sequence(sequence), count)
}

/// Appends as a shell without flush settings does; gives back the answers that left.
fn append(leader: &mut Leader, batch: BatchSummary, acks: Acks, id: u64) -> Vec<Effect> {
    let mut answers = write(leader, batch, acks, id);
    let end = leader.bounds().log_end;
    leader.handle(at(0), Event::Durable { end }, &mut answers);
    answers
}

/// Appends as a shell with flush settings does before the fsync.
fn write(leader: &mut Leader, batch: BatchSummary, acks: Acks, id: u64) -> Vec<Effect> {
    let mut effects = Vec::new();
    let event = Event::Append { batch: batch.clone(), acks, waiter: WaiterId(id), timeout: TIMEOUT };
    leader.handle(at(0), event, &mut effects);
    if let [Effect::Write { base_offset, leader_epoch }] = effects[..] {
        effects.clear();
        let batch = BatchSummary { base_offset, leader_epoch, ..batch };
        leader.handle(at(0), Event::Written { batch }, &mut effects);
    }
    effects
}

fn answered(id: u64, base_offset: i64) -> Effect {
    let appended = Appended { base_offset: Offset(base_offset), max_timestamp: Timestamp(500) };
    Effect::Complete { waiter: WaiterId(id), result: Ok(appended) }
}

fn refused(id: u64, error: ErrorCode) -> Effect {
    Effect::Complete { waiter: WaiterId(id), result: Err(error) }
}

#[test]
fn offsets_follow_one_another() {
    let mut leader = leader(1);
    assert_eq!(append(&mut leader, plain(5), Acks::All, 1), [answered(1, 10)]);
    assert_eq!(append(&mut leader, plain(2), Acks::All, 2), [answered(2, 15)]);
    assert_eq!(leader.bounds().high_watermark, Offset(17));
}

#[test]
fn acks_all_waits_for_durability_and_acks_one_does_not() {
    let mut leader = leader(1);
    assert_eq!(write(&mut leader, plain(1), Acks::All, 1), []);
    assert_eq!(write(&mut leader, plain(1), Acks::Leader, 2), [answered(2, 11)]);
    assert_eq!(leader.bounds().high_watermark, Offset(10), "not synced, not visible");
    let mut effects = Vec::new();
    leader.handle(at(0), Event::Durable { end: Offset(11) }, &mut effects);
    assert_eq!(effects, [answered(1, 10)]);
}

#[test]
fn too_few_in_sync_replicas_refuse_acks_all_only() {
    let mut leader = leader(2);
    assert_eq!(append(&mut leader, plain(1), Acks::All, 1), [refused(1, ErrorCode::NotEnoughReplicas)]);
    assert_eq!(append(&mut leader, plain(1), Acks::Leader, 2), [answered(2, 10)]);
    assert_eq!(leader.bounds().high_watermark, Offset(10), "the high watermark stands still");
}

#[test]
fn a_failed_write_takes_no_offset_and_is_told() {
    let mut leader = leader(1);
    let mut effects = Vec::new();
    let event =
        Event::Append { batch: idempotent(0, 0, 3), acks: Acks::All, waiter: WaiterId(1), timeout: TIMEOUT };
    leader.handle(at(0), event, &mut effects);
    effects.clear();
    leader.handle(at(0), Event::WriteFailed { error: ErrorCode::KafkaStorageError }, &mut effects);
    assert_eq!(effects, [refused(1, ErrorCode::KafkaStorageError)]);
    assert_eq!(append(&mut leader, idempotent(0, 0, 3), Acks::All, 2), [answered(2, 10)], "the retry is new");
}

#[test]
fn a_repeated_batch_answers_its_original_offset() {
    let mut leader = leader(1);
    for (id, sequence) in [(1, 0), (2, 3), (3, 6), (4, 9), (5, 12)] {
        append(&mut leader, idempotent(0, sequence, 3), Acks::All, id);
    }
    assert_eq!(append(&mut leader, idempotent(0, 0, 3), Acks::All, 6), [answered(6, 10)]);
    assert_eq!(append(&mut leader, idempotent(0, 12, 3), Acks::All, 7), [answered(7, 22)]);
    append(&mut leader, idempotent(0, 15, 3), Acks::All, 8);
    let out_of_order = ErrorCode::OutOfOrderSequenceNumber;
    assert_eq!(
        append(&mut leader, idempotent(0, 0, 3), Acks::All, 9),
        [refused(9, out_of_order)],
        "the sixth"
    );
    assert_eq!(leader.bounds().log_end, Offset(28));
}

#[test]
fn a_repeated_batch_waits_for_the_high_watermark_like_the_original() {
    let mut leader = leader(1);
    write(&mut leader, idempotent(0, 0, 3), Acks::All, 1);
    assert_eq!(write(&mut leader, idempotent(0, 0, 3), Acks::All, 2), []);
    let mut effects = Vec::new();
    leader.handle(at(0), Event::Durable { end: Offset(13) }, &mut effects);
    assert_eq!(effects, [answered(1, 10), answered(2, 10)]);
}

#[test]
fn sequences_and_epochs_are_judged_as_kafka_does() {
    let cases = [
        ("a gap", idempotent(4, 6, 1), Some(ErrorCode::OutOfOrderSequenceNumber)),
        ("the next", idempotent(4, 5, 1), None),
        ("an older epoch", idempotent(3, 5, 1), Some(ErrorCode::InvalidProducerEpoch)),
        ("a new epoch from 0", idempotent(5, 0, 1), None),
        ("a new epoch from 5", idempotent(5, 5, 1), Some(ErrorCode::OutOfOrderSequenceNumber)),
        ("a part of what is there", idempotent(4, 0, 2), Some(ErrorCode::OutOfOrderSequenceNumber)),
    ];
    for (what, batch, error) in cases {
        let mut leader = leader(1);
        append(&mut leader, idempotent(4, 0, 5), Acks::All, 1);
        let expected = error.map_or(answered(2, 15), |error| refused(2, error));
        assert_eq!(append(&mut leader, batch, Acks::All, 2), [expected], "{what}");
    }
}

#[test]
fn an_unknown_producer_may_start_anywhere_and_sequences_wrap() {
    let mut leader = leader(1);
    assert_eq!(append(&mut leader, idempotent(0, i32::MAX - 1, 3), Acks::All, 1), [answered(1, 10)]);
    assert_eq!(append(&mut leader, idempotent(0, 1, 1), Acks::All, 2), [answered(2, 13)]);
}

#[test]
fn producers_survive_a_snapshot_and_expire() {
    let mut leader = leader(1);
    append(&mut leader, idempotent(2, 0, 3), Acks::All, 1);
    let mut states = ProducerStates::from_snapshot(&leader.producer_snapshot());
    assert!(states.check(&idempotent(2, 0, 3)).is_ok_and(|check| check != crate::SequenceCheck::InOrder));
    states.expire(Timestamp(500 + 60_000), Duration::from_secs(60));
    assert!(states.is_empty());
}

#[test]
fn a_waiting_request_times_out_and_its_records_stay() {
    let mut leader = leader(1);
    write(&mut leader, plain(1), Acks::All, 1);
    assert_eq!(leader.next_deadline(), Some(at(30).monotonic));
    let mut effects = Vec::new();
    leader.handle(at(29), Event::Tick, &mut effects);
    assert_eq!(effects, []);
    leader.handle(at(30), Event::Tick, &mut effects);
    assert_eq!(effects, [refused(1, ErrorCode::RequestTimedOut)]);
    assert_eq!(leader.bounds().log_end, Offset(11));
}

#[test]
fn resigning_tells_everybody_who_waits() {
    let mut leader = leader(1);
    write(&mut leader, plain(1), Acks::All, 1);
    let mut effects = Vec::new();
    leader.handle(at(1), Event::Resigned { error: ErrorCode::NotLeaderOrFollower }, &mut effects);
    assert_eq!(effects, [refused(1, ErrorCode::NotLeaderOrFollower)]);
    assert_eq!(leader.waiting_count(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Append { count: i32, acks: Acks, repeats: bool, fails: bool },
    Durable { back: i64 },
    Tick { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let acks = prop_oneof![Just(Acks::None), Just(Acks::Leader), Just(Acks::All)];
    prop_oneof![
        4 => (1..5i32, acks, any::<bool>(), prop::bool::weighted(0.1))
            .prop_map(|(count, acks, repeats, fails)| Step::Append { count, acks, repeats, fails }),
        3 => (0..4i64).prop_map(|back| Step::Durable { back }),
        1 => (0..40u64).prop_map(|seconds| Step::Tick { seconds }),
    ]
}

proptest! {
    #[test]
    fn any_sequence_keeps_order_and_answers_once(steps in prop::collection::vec(step(), 1..60)) {
        let mut leader = leader(1);
        let mut answers = std::collections::BTreeMap::new();
        let mut last: Option<BatchSummary> = None;
        let mut next_sequence = 0;
        for (id, step) in (0..).zip(steps) {
            let before = leader.bounds();
            let mut effects = Vec::new();
            match step {
                Step::Append { count, acks, repeats, fails } => {
                    let batch = match &last {
                        Some(last) if repeats => last.clone(),
                        _ => idempotent(0, next_sequence, count),
                    };
                    let event = Event::Append { batch: batch.clone(), acks, waiter: WaiterId(id), timeout: TIMEOUT };
                    leader.handle(at(0), event, &mut effects);
                    if let [Effect::Write { base_offset, leader_epoch }] = effects[..] {
                        prop_assert_eq!(base_offset, before.log_end);
                        effects.clear();
                        if fails {
                            let event = Event::WriteFailed { error: ErrorCode::KafkaStorageError };
                            leader.handle(at(0), event, &mut effects);
                        } else {
                            let written = BatchSummary { base_offset, leader_epoch, ..batch.clone() };
                            leader.handle(at(0), Event::Written { batch: written }, &mut effects);
                            next_sequence = batch.base_sequence.plus(batch.record_count).0;
                            last = Some(batch);
                        }
                    }
                }
                Step::Durable { back } => {
                    let end = Offset(leader.bounds().log_end.0 - back);
                    leader.handle(at(0), Event::Durable { end }, &mut effects);
                }
                Step::Tick { seconds } => leader.handle(at(seconds), Event::Tick, &mut effects),
            }
            for effect in effects {
                let Effect::Complete { waiter, result } = effect else { panic!("{effect:?}") };
                prop_assert!(answers.insert(waiter, result).is_none(), "answered twice: {waiter:?}");
            }
            let bounds = leader.bounds();
            prop_assert!(before.high_watermark <= bounds.high_watermark, "the high watermark went back");
            prop_assert!(bounds.high_watermark <= bounds.log_end);
            prop_assert!(bounds.log_start <= bounds.high_watermark);
        }
    }
}
