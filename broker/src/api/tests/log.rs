//! What clients do with a log, in every version of every API that they do it by.

use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use protocol::messages::describe_log_dirs_request::{DescribableLogDirTopic, DescribeLogDirsRequest};
use protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use protocol::messages::fetch_response::PartitionData;
use protocol::messages::init_producer_id_request::InitProducerIdRequest;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::messages::produce_response::PartitionProduceResponse;
use protocol::{ApiKey, Records};
use record::{BatchBuilder, Batches, Compression};
use types::{ErrorCode, ProducerEpoch, ProducerId, Sequence, Timestamp, TopicId, Uuid};

use super::{Harness, RequestError, new_peer};

pub(super) const NOW_MS: i64 = 1_700_000_000_000;

fn versions(key: ApiKey) -> impl Iterator<Item = i16> {
    key.versions().min..=key.latest_stable_version()
}

/// A batch of one record with a key.
pub(super) fn batch(timestamp: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(Timestamp(timestamp), Some(b"key"), Some(b"value"), &[]);
    builder.build().unwrap()
}

fn produce_request(name: &'static str, id: TopicId, acks: i16, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData { records: Some(Records::Inline(records)), ..Default::default() };
    let topic = TopicProduceData {
        name: name.into(),
        topic_id: id.0,
        partition_data: vec![data],
        ..Default::default()
    };
    ProduceRequest { acks, timeout_ms: 5000, topic_data: vec![topic], ..Default::default() }
}

/// The request has a name and an id; the version says which of them is sent.
pub(super) async fn produce(
    harness: &Harness,
    version: i16,
    (name, id): (&'static str, TopicId),
    records: Bytes,
) -> PartitionProduceResponse {
    let mut request = produce_request(name, id, -1, records);
    match version >= 13 {
        true => request.topic_data[0].name = Default::default(),
        false => request.topic_data[0].topic_id = Uuid::ZERO,
    }
    harness.ask(version, &request).await.responses.remove(0).partition_responses.remove(0)
}

pub(super) fn fetch_request(version: i16, (name, id): (&'static str, TopicId), from: i64) -> FetchRequest {
    let partition = FetchPartition {
        fetch_offset: from,
        partition_max_bytes: 1 << 20,
        current_leader_epoch: -1,
        ..Default::default()
    };
    let topic = FetchTopic { partitions: vec![partition], ..Default::default() };
    let topic = match version >= 13 {
        true => FetchTopic { topic_id: id.0, ..topic },
        false => FetchTopic { topic: name.into(), ..topic },
    };
    FetchRequest { topics: vec![topic], max_bytes: 1 << 20, session_epoch: -1, ..Default::default() }
}

async fn fetch(harness: &Harness, version: i16, topic: (&'static str, TopicId), from: i64) -> PartitionData {
    let response = harness.ask(version, &fetch_request(version, topic, from)).await;
    assert_eq!(response.error_code, 0);
    response.responses.into_iter().next().unwrap().partitions.remove(0)
}

fn base_offsets(data: &PartitionData) -> Vec<i64> {
    let bytes = data.records.as_ref().and_then(|records| records.inline().cloned()).unwrap();
    Batches::new(bytes).map(|batch| batch.unwrap().header().base_offset.0).collect()
}

#[tokio::test]
async fn every_version_writes_and_reads() {
    let harness = Harness::start().await;
    let topic = ("t", harness.create_topic("t", &[]).await);
    let mut end = 0;
    for version in versions(ApiKey::Produce).filter(|version| *version >= 3) {
        let answer = produce(&harness, version, topic, batch(NOW_MS)).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, end), "produce {version}");
        end += 1;
    }
    for version in versions(ApiKey::Fetch) {
        let data = fetch(&harness, version, topic, 2).await;
        assert_eq!((data.error_code, data.high_watermark), (0, end), "fetch {version}");
        assert_eq!(base_offsets(&data), (2..end).collect::<Vec<_>>(), "fetch {version}");
        let outside = fetch(&harness, version, topic, end + 1).await;
        assert_eq!(outside.error_code, ErrorCode::OffsetOutOfRange.code(), "fetch {version}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn topics_that_are_not_there_are_named_in_every_version() {
    let harness = Harness::start().await;
    let missing = ("missing", TopicId(Uuid([9; 16])));
    for version in versions(ApiKey::Produce).filter(|version| *version >= 3) {
        let error = produce(&harness, version, missing, batch(NOW_MS)).await.error_code;
        let expected =
            if version >= 13 { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        assert_eq!(error, expected.code(), "produce {version}");
    }
    for version in versions(ApiKey::Fetch) {
        let error = fetch(&harness, version, missing, 0).await.error_code;
        let expected =
            if version >= 13 { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        assert_eq!(error, expected.code(), "fetch {version}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_compacted_topic_says_which_record_has_no_key() {
    let harness = Harness::start().await;
    let topic = ("t", harness.create_topic("t", &[("cleanup.policy", "compact")]).await);
    for version in versions(ApiKey::Produce).filter(|version| *version >= 3) {
        let mut builder = BatchBuilder::new(Compression::Gzip);
        builder.push(Timestamp(NOW_MS), Some(b"key"), None, &[]);
        builder.push(Timestamp(NOW_MS), None, Some(b"value"), &[]);
        let answer = produce(&harness, version, topic, builder.build().unwrap()).await;
        assert_eq!(answer.error_code, ErrorCode::InvalidRecord.code(), "produce {version}");
        if version >= 8 {
            assert_eq!(answer.record_errors.len(), 1);
            assert_eq!(answer.record_errors[0].batch_index, 1);
            assert!(answer.error_message.is_some());
        }
    }
    harness.stop().await;
}

#[tokio::test]
async fn acks_zero_is_written_and_not_answered() {
    let harness = Harness::start().await;
    let id = harness.create_topic("t", &[]).await;
    let mut request = produce_request("t", id, 0, batch(NOW_MS));
    request.topic_data[0].topic_id = Uuid::ZERO;
    assert!(harness.send(12, &request).await.unwrap().is_none());
    assert_eq!(base_offsets(&fetch(&harness, 12, ("t", id), 0).await), [0]);
    let mut unknown = produce_request("missing", id, 0, batch(NOW_MS));
    unknown.topic_data[0].topic_id = Uuid::ZERO;
    let refused = harness.send(12, &unknown).await;
    assert!(matches!(refused, Err(RequestError::Unanswerable { .. })), "the connection's end is the answer");
    harness.stop().await;
}

#[tokio::test]
async fn the_broker_s_time_comes_back_to_the_producer() {
    let harness = Harness::start().await;
    let id = harness.create_topic("t", &[("message.timestamp.type", "LogAppendTime")]).await;
    let answer = produce(&harness, 12, ("t", id), batch(1)).await;
    assert!(answer.log_append_time_ms > NOW_MS, "{answer:?}");
    let data = fetch(&harness, 12, ("t", id), 0).await;
    let batch = Batches::new(data.records.unwrap().inline().cloned().unwrap()).next().unwrap().unwrap();
    assert!(batch.is_intact());
    assert_eq!(batch.records().unwrap().next().unwrap().unwrap().timestamp.0, answer.log_append_time_ms);
    harness.stop().await;
}

#[tokio::test]
async fn a_repeated_batch_is_in_the_log_once() {
    let harness = Harness::start().await;
    let topic = ("t", harness.create_topic("t", &[]).await);
    let mut ids = Vec::new();
    for version in versions(ApiKey::InitProducerId) {
        let request = InitProducerIdRequest { transactional_id: None, ..Default::default() };
        let answer = harness.ask(version, &request).await;
        assert_eq!((answer.error_code, answer.producer_epoch), (0, 0), "{version}");
        ids.push(answer.producer_id);
    }
    ids.dedup();
    assert_eq!(ids.len(), versions(ApiKey::InitProducerId).count(), "no id is given twice");
    let mut builder =
        BatchBuilder::new(Compression::None).producer(ProducerId(ids[0]), ProducerEpoch(0), Sequence(0));
    builder.push(Timestamp(NOW_MS), None, Some(b"once"), &[]);
    let bytes = builder.build().unwrap();
    for _ in 0..3 {
        let answer = produce(&harness, 13, topic, bytes.clone()).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, 0));
    }
    assert_eq!(fetch(&harness, 13, topic, 0).await.high_watermark, 1);
    let transactional = InitProducerIdRequest { transactional_id: Some("t".into()), ..Default::default() };
    assert_ne!(harness.ask(4, &transactional).await.error_code, 0);
    harness.stop().await;
}

fn numbered(sequence: i32) -> Bytes {
    let mut builder =
        BatchBuilder::new(Compression::None).producer(ProducerId(1), ProducerEpoch(0), Sequence(sequence));
    builder.push(Timestamp(NOW_MS), None, Some(b"value"), &[]);
    builder.build().unwrap()
}

#[tokio::test]
async fn what_was_sent_behind_a_refused_batch_is_no_gap() {
    let harness = Harness::start().await;
    let unknown = ("t", TopicId(Uuid::ZERO));
    let code = async |sequence| produce(&harness, 12, unknown, numbered(sequence)).await.error_code;
    let [gone, gap] = [ErrorCode::UnknownTopicOrPartition, ErrorCode::OutOfOrderSequenceNumber];
    assert_eq!(code(0).await, gone.code());
    // What the first one failed of is over before the second one is looked at.
    harness.create_topic("t", &[]).await;
    assert_eq!(code(1).await, gone.code(), "its producer is new here, and it would be taken for the first");
    for sequence in 0..2 {
        assert_eq!(code(sequence).await, 0);
    }
    assert_eq!(code(9).await, gap.code(), "nothing was refused before it");
    harness.stop().await;
}

#[tokio::test]
async fn a_refused_batch_that_came_in_by_another_way_holds_nothing_up() {
    let mut harness = Harness::start().await;
    let unknown = ("t", TopicId(Uuid::ZERO));
    let refused = produce(&harness, 12, unknown, numbered(0)).await.error_code;
    assert_eq!(refused, ErrorCode::UnknownTopicOrPartition.code());
    harness.create_topic("t", &[]).await;
    let first = std::mem::replace(&mut harness.peer, new_peer());
    assert_eq!(produce(&harness, 12, unknown, numbered(0)).await.error_code, 0);
    harness.peer = first;
    assert_eq!(produce(&harness, 12, unknown, numbered(1)).await.error_code, 0);
    harness.stop().await;
}

#[tokio::test]
async fn every_version_finds_offsets() {
    let harness = Harness::start().await;
    let topic = ("t", harness.create_topic("t", &[]).await);
    for timestamp in [NOW_MS, NOW_MS + 50, NOW_MS + 10] {
        produce(&harness, 13, topic, batch(timestamp)).await;
    }
    for version in versions(ApiKey::ListOffsets) {
        for (timestamp, since, expected) in [
            (-1, 1, (-1, 3)),
            (-2, 1, (-1, 0)),
            (-3, 7, (NOW_MS + 50, 1)),
            (-4, 8, (-1, 0)),
            (-5, 9, (-1, -1)),
            (NOW_MS + 1, 1, (NOW_MS + 50, 1)),
            (NOW_MS + 51, 1, (-1, -1)),
        ] {
            let partition = ListOffsetsPartition { timestamp, ..Default::default() };
            let asked =
                ListOffsetsTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
            let request = ListOffsetsRequest { replica_id: -1, topics: vec![asked], ..Default::default() };
            let found = harness.ask(version, &request).await.topics.remove(0).partitions.remove(0);
            if version < since {
                assert_eq!(
                    found.error_code,
                    ErrorCode::UnsupportedVersion.code(),
                    "{timestamp} in {version}"
                );
                continue;
            }
            assert_eq!(found.error_code, 0, "{timestamp} in {version}");
            assert_eq!((found.timestamp, found.offset), expected, "{timestamp} in {version}");
        }
    }
    harness.stop().await;
}

#[tokio::test]
async fn every_version_deletes_records_and_knows_epochs() {
    let harness = Harness::start().await;
    let topic = ("t", harness.create_topic("t", &[]).await);
    for _ in 0..4 {
        produce(&harness, 13, topic, batch(NOW_MS)).await;
    }
    for (version, offset) in versions(ApiKey::DeleteRecords).zip(1..) {
        let partition = DeleteRecordsPartition { offset, ..Default::default() };
        let asked =
            DeleteRecordsTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
        let request = DeleteRecordsRequest { topics: vec![asked], timeout_ms: 1000, ..Default::default() };
        let answer = harness.ask(version, &request).await.topics.remove(0).partitions.remove(0);
        assert_eq!((answer.error_code, answer.low_watermark), (0, offset), "{version}");
        let below = fetch(&harness, 13, topic, offset - 1).await;
        assert_eq!((below.error_code, below.log_start_offset), (ErrorCode::OffsetOutOfRange.code(), offset));
    }
    for version in versions(ApiKey::OffsetForLeaderEpoch) {
        let ask = async |current_leader_epoch, leader_epoch| {
            let partition =
                OffsetForLeaderPartition { current_leader_epoch, leader_epoch, ..Default::default() };
            let topic =
                OffsetForLeaderTopic { topic: "t".into(), partitions: vec![partition], ..Default::default() };
            let request =
                OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
            let answer = harness.ask(version, &request).await.topics.remove(0).partitions.remove(0);
            (answer.error_code, answer.leader_epoch, answer.end_offset)
        };
        let partition = harness.node.partitions.all().remove(0);
        let epoch = partition.leader_epoch().0;
        assert_eq!(ask(-1, epoch).await, (0, epoch, 4), "{version}");
        assert_eq!(ask(epoch, epoch + 1).await, (0, -1, -1), "{version}");
        let newer = (ErrorCode::UnknownLeaderEpoch.code(), -1, -1);
        assert_eq!(ask(epoch + 1, epoch).await, newer, "{version}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_fetch_waits_for_enough_and_is_woken_by_it() {
    let harness = Harness::start().await;
    let topic = ("t", harness.create_topic("t", &[]).await);
    let request = FetchRequest { min_bytes: 1, max_wait_ms: 60_000, ..fetch_request(18, topic, 0) };
    let waiting = harness.ask(18, &request);
    let produced = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        produce(&harness, 13, topic, batch(NOW_MS)).await
    };
    let (fetched, _) = tokio::join!(waiting, produced);
    assert_eq!(base_offsets(&fetched.responses[0].partitions[0]), [0]);
    let started = Instant::now();
    let request = FetchRequest { min_bytes: 1 << 20, max_wait_ms: 100, ..fetch_request(18, topic, 0) };
    let fetched = harness.ask(18, &request).await;
    assert!(started.elapsed() >= Duration::from_millis(100), "there is less than was asked for");
    assert_eq!(
        base_offsets(&fetched.responses[0].partitions[0]),
        [0],
        "when the time is over, what is there"
    );
    harness.stop().await;
}

#[tokio::test]
async fn a_session_answers_with_what_is_new() {
    let harness = Harness::start().await;
    let topic = ("t", harness.create_topic("t", &[]).await);
    produce(&harness, 13, topic, batch(NOW_MS)).await;
    let opening = FetchRequest { session_epoch: 0, ..fetch_request(18, topic, 0) };
    let opened = harness.ask(18, &opening).await;
    assert_ne!(opened.session_id, 0);
    assert_eq!(base_offsets(&opened.responses[0].partitions[0]), [0]);
    let session_id = opened.session_id;
    let next = FetchRequest { session_id, session_epoch: 1, ..fetch_request(18, topic, 1) };
    assert!(harness.ask(18, &next).await.responses.is_empty(), "nothing is new");
    produce(&harness, 13, topic, batch(NOW_MS)).await;
    let idle = FetchRequest { session_id, session_epoch: 2, max_bytes: 1 << 20, ..Default::default() };
    let answer = harness.ask(18, &idle).await;
    assert_eq!(base_offsets(&answer.responses[0].partitions[0]), [1], "the session knows what is wanted");
    assert_eq!(answer.responses[0].topic_id, topic.1.0);
    let wrong = harness.ask(18, &idle).await.error_code;
    assert_eq!(wrong, ErrorCode::InvalidFetchSessionEpoch.code());
    let mixed = FetchRequest { session_epoch: 3, ..idle };
    assert_eq!(harness.ask(12, &mixed).await.error_code, ErrorCode::FetchSessionTopicIdError.code());
    harness.stop().await;
}

#[tokio::test]
async fn limits_hold_except_for_the_first_batch() {
    let harness = Harness::start().await;
    let topic = ("t", harness.create_topic("t", &[]).await);
    for _ in 0..3 {
        produce(&harness, 13, topic, batch(NOW_MS)).await;
    }
    let size = i32::try_from(batch(NOW_MS).len()).unwrap();
    for (max_bytes, expected) in [(1, vec![0]), (2 * size, vec![0, 1]), (3 * size - 1, vec![0, 1])] {
        let request = FetchRequest { max_bytes, ..fetch_request(18, topic, 0) };
        let fetched = harness.ask(18, &request).await;
        assert_eq!(base_offsets(&fetched.responses[0].partitions[0]), expected, "{max_bytes}");
    }
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_dirs_are_described_with_their_sizes() {
    let harness = Harness::start().await;
    let topic = ("sized", harness.create_topic("sized", &[]).await);
    harness.create_topic("other", &[]).await;
    produce(&harness, 11, topic, batch(NOW_MS)).await;
    for version in versions(ApiKey::DescribeLogDirs) {
        let mut all =
            harness.ask(version, &DescribeLogDirsRequest { topics: None, ..Default::default() }).await;
        assert_eq!((all.error_code, all.results.len()), (0, 1));
        let dir = all.results.remove(0);
        assert!(dir.error_code == 0 && dir.log_dir.starts_with('/'), "{dir:?}");
        assert_eq!(dir.total_bytes > dir.usable_bytes && dir.usable_bytes > 0, version >= 4, "{dir:?}");
        let names: Vec<_> = dir.topics.iter().map(|topic| topic.name.to_string()).collect();
        assert_eq!(names, ["other", "sized"]);
        let partition = &dir.topics[1].partitions[0];
        assert_eq!(partition.partition_size, i64::try_from(batch(NOW_MS).len()).unwrap());
        assert_eq!((partition.partition_index, partition.offset_lag, partition.is_future_key), (0, 0, false));

        let sized =
            DescribableLogDirTopic { topic: "sized".into(), partitions: vec![0, 7], ..Default::default() };
        let request = DescribeLogDirsRequest { topics: Some(vec![sized]), ..Default::default() };
        let dir = harness.ask(version, &request).await.results.remove(0);
        assert_eq!((dir.topics.len(), dir.topics[0].partitions.len()), (1, 1));
    }
    harness.stop().await;
}
