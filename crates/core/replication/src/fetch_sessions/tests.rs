//! Sessions as KIP-227 tells them: epochs, what an incremental response holds, who gives way.

use std::time::Duration;

use types::{ErrorCode, LeaderEpoch, Monotonic, Offset, PartitionId, TopicId, Uuid};

use super::{FetchSessionRequest, FetchSessions, SessionConfig};
use crate::fetch_session::{FetchContext, PartitionAnswer, PartitionRequest, SessionPartition, SessionTopic};

const EVICTION: Duration = Duration::from_secs(120);

fn sessions(slots_max: usize) -> FetchSessions {
    FetchSessions::new(SessionConfig { slots_max, eviction_after: EVICTION })
}

fn at(seconds: u64) -> Monotonic {
    Monotonic(Duration::from_secs(seconds))
}

fn partition(index: i32) -> SessionPartition {
    let topic = SessionTopic::Id(TopicId(Uuid::from_random([7; 16])));
    SessionPartition { topic, partition: PartitionId(index) }
}

fn wants(index: i32, offset: i64) -> (SessionPartition, PartitionRequest) {
    let request = PartitionRequest {
        fetch_offset: Offset(offset),
        log_start: Offset(-1),
        max_bytes: 1 << 20,
        current_leader_epoch: LeaderEpoch::NONE,
        last_fetched_epoch: LeaderEpoch::NONE,
    };
    (partition(index), request)
}

fn request(session_id: i32, epoch: i32, partitions: &[i32]) -> FetchSessionRequest {
    FetchSessionRequest {
        session_id,
        epoch,
        uses_topic_ids: true,
        is_follower: false,
        partitions: partitions.iter().map(|&index| wants(index, 0)).collect(),
        forgotten: Vec::new(),
        fresh_id: 1000,
    }
}

fn quiet(index: i32, high_watermark: i64) -> (SessionPartition, PartitionAnswer) {
    let answer = PartitionAnswer {
        error: ErrorCode::None,
        has_records: false,
        is_notable: false,
        high_watermark: Offset(high_watermark),
        log_start: Offset(0),
    };
    (partition(index), answer)
}

fn with_records(index: i32, high_watermark: i64) -> (SessionPartition, PartitionAnswer) {
    let (key, answer) = quiet(index, high_watermark);
    (key, PartitionAnswer { has_records: true, ..answer })
}

fn indexes(context: &FetchContext) -> Vec<i32> {
    match context {
        FetchContext::Incremental { partitions, .. } => {
            partitions.iter().map(|(key, _)| key.partition.0).collect()
        }
        other => panic!("not incremental: {other:?}"),
    }
}

#[test]
fn epoch_minus_one_makes_no_session() {
    let mut sessions = sessions(10);
    assert_eq!(sessions.open(at(0), &request(0, -1, &[0])), Ok(FetchContext::Sessionless));
    assert!(sessions.is_empty());
}

#[test]
fn a_session_remembers_what_was_asked() {
    let mut sessions = sessions(10);
    let full = sessions.open(at(0), &request(0, 0, &[0, 1, 2])).unwrap();
    assert_eq!(full, FetchContext::Full { session_id: 1000 });
    assert_eq!(sessions.answer(&full, &[quiet(0, 5), quiet(1, 5), quiet(2, 5)]), [true, true, true]);

    let mut second = request(1000, 1, &[]);
    second.partitions = vec![wants(1, 5), wants(3, 0)];
    second.forgotten = vec![partition(0)];
    let context = sessions.open(at(1), &second).unwrap();
    let FetchContext::Incremental { partitions, .. } = &context else { panic!("{context:?}") };
    assert_eq!(partitions, &[wants(1, 5), wants(2, 0), wants(3, 0)]);
}

#[test]
fn an_incremental_response_holds_only_news() {
    let mut sessions = sessions(10);
    let full = sessions.open(at(0), &request(0, 0, &[0, 1, 2])).unwrap();
    sessions.answer(&full, &[quiet(0, 5), quiet(1, 5), quiet(2, 5)]);
    let context = sessions.open(at(1), &request(1000, 1, &[])).unwrap();
    let selected = sessions.answer(&context, &[quiet(0, 5), with_records(1, 5), quiet(2, 6)]);
    assert_eq!(selected, [false, true, true]);
    let context = sessions.open(at(2), &request(1000, 2, &[])).unwrap();
    let (key, answer) = quiet(0, 5);
    let failed = (key, PartitionAnswer { error: ErrorCode::NotLeaderOrFollower, ..answer });
    assert_eq!(sessions.answer(&context, &[failed]), [true]);
    let context = sessions.open(at(3), &request(1000, 3, &[])).unwrap();
    assert_eq!(sessions.answer(&context, &[quiet(0, 5)]), [true], "good again is news");
}

#[test]
fn who_was_told_in_vain_is_told_again() {
    let mut sessions = sessions(10);
    let full = sessions.open(at(0), &request(0, 0, &[0])).unwrap();
    sessions.answer(&full, &[quiet(0, 5)]);
    let mut epoch = 0;
    let mut next =
        |sessions: &mut FetchSessions, wanted: Vec<_>, answer: (SessionPartition, PartitionAnswer)| {
            epoch += 1;
            let asked = FetchSessionRequest { partitions: wanted, ..request(1000, epoch, &[]) };
            let context = sessions.open(at(1), &asked).unwrap();
            sessions.answer(&context, &[answer])
        };
    assert_eq!(next(&mut sessions, vec![], quiet(0, 5)), [false]);

    let (key, answer) = quiet(0, 6);
    assert_eq!(next(&mut sessions, vec![], (key, PartitionAnswer { is_notable: true, ..answer })), [true]);
    assert_eq!(next(&mut sessions, vec![], quiet(0, 6)), [true], "it heard where the logs diverge, no more");
    assert_eq!(next(&mut sessions, vec![], quiet(0, 6)), [false]);

    let (key, wanted) = wants(0, 0);
    let in_epoch = PartitionRequest { current_leader_epoch: LeaderEpoch(4), ..wanted };
    assert_eq!(next(&mut sessions, vec![(key.clone(), in_epoch)], quiet(0, 6)), [true], "the epoch is new");
    assert_eq!(next(&mut sessions, vec![], quiet(0, 6)), [false]);

    let begins_at = |log_start| (key.clone(), PartitionRequest { log_start: Offset(log_start), ..in_epoch });
    let starts_at_3 = || {
        let (key, answer) = quiet(0, 6);
        (key, PartitionAnswer { log_start: Offset(3), ..answer })
    };
    assert_eq!(next(&mut sessions, vec![begins_at(0)], starts_at_3()), [true]);
    assert_eq!(next(&mut sessions, vec![], starts_at_3()), [true], "it still begins at 0");
    assert_eq!(next(&mut sessions, vec![begins_at(3)], starts_at_3()), [false]);
}

#[test]
fn partitions_that_got_records_go_to_the_end() {
    let mut sessions = sessions(10);
    let full = sessions.open(at(0), &request(0, 0, &[0, 1, 2])).unwrap();
    sessions.answer(&full, &[with_records(0, 5), quiet(1, 5), quiet(2, 5)]);
    let context = sessions.open(at(1), &request(1000, 1, &[])).unwrap();
    assert_eq!(indexes(&context), [1, 2, 0]);
}

#[test]
fn a_wrong_epoch_or_id_is_refused() {
    let mut sessions = sessions(10);
    sessions.open(at(0), &request(0, 0, &[0])).unwrap();
    assert_eq!(sessions.open(at(1), &request(1000, 2, &[])), Err(ErrorCode::InvalidFetchSessionEpoch));
    assert_eq!(sessions.open(at(1), &request(1001, 1, &[])), Err(ErrorCode::FetchSessionIdNotFound));
    let mut by_name = request(1000, 1, &[]);
    by_name.uses_topic_ids = false;
    assert_eq!(sessions.open(at(1), &by_name), Err(ErrorCode::FetchSessionTopicIdError));
    assert!(sessions.open(at(1), &request(1000, 1, &[])).is_ok(), "refusals change nothing");
}

#[test]
fn a_session_ends_with_its_last_partition_or_by_epoch_minus_one() {
    let mut sessions = sessions(10);
    sessions.open(at(0), &request(0, 0, &[0])).unwrap();
    let mut forget = request(1000, 1, &[]);
    forget.forgotten = vec![partition(0)];
    assert_eq!(sessions.open(at(1), &forget), Ok(FetchContext::Sessionless));
    sessions.open(at(2), &request(0, 0, &[0])).unwrap();
    assert_eq!(sessions.open(at(3), &request(1000, -1, &[0])), Ok(FetchContext::Sessionless));
    assert!(sessions.is_empty());
}

#[test]
fn epochs_wrap_to_one() {
    let mut sessions = sessions(10);
    sessions.open(at(0), &request(0, 0, &[0])).unwrap();
    sessions.sessions.get_mut(&1000).unwrap().epoch = i32::MAX;
    sessions.open(at(1), &request(1000, i32::MAX, &[])).unwrap();
    assert!(sessions.open(at(2), &request(1000, 1, &[])).is_ok());
}

#[test]
fn slots_are_bounded_and_the_stale_give_way() {
    let mut sessions = sessions(1);
    assert_eq!(sessions.open(at(0), &request(0, 0, &[0])).unwrap().session_id(), 1000);
    assert_eq!(sessions.open(at(60), &request(0, 0, &[1])), Ok(FetchContext::Sessionless), "no slot");
    let context = sessions.open(at(121), &request(0, 0, &[1])).unwrap();
    assert_eq!(context.session_id(), 1000, "the first was not used for two minutes");
    assert_eq!(sessions.len(), 1);
}

#[test]
fn a_follower_takes_the_slot_of_a_consumer_and_keeps_it() {
    let mut sessions = sessions(1);
    sessions.open(at(0), &request(0, 0, &[0])).unwrap();
    let follower = FetchSessionRequest { is_follower: true, fresh_id: 2000, ..request(0, 0, &[0, 1]) };
    assert_eq!(sessions.open(at(1), &follower).unwrap().session_id(), 2000);
    assert_eq!(sessions.open(at(2), &request(0, 0, &[0])), Ok(FetchContext::Sessionless));
}
