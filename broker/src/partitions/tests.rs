//! A partition over a disk in memory: what is acknowledged, what readers see, and what a restart finds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config::{BrokerLayers, Overrides, TopicConfig};
use record::{BatchBuilder, BatchHeader, Batches, Compression};
use replication::{Acks, Appended, PartitionState};
use storage::fake::{Crash, FakeDisk};
use storage::{DataDir, Disk};
use tokio::sync::oneshot::error::TryRecvError;
use types::{
    BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Monotonic, Now, Offset, PartitionEpoch, PartitionId,
    ProducerEpoch, ProducerId, Sequence, Timestamp, TopicId, TopicPartition, Uuid,
};

use super::{
    Append, AppendTicket, Assignment, OpenPartition, Partition, Partitions, ReplicaSettings, TopicRef,
};

const EPOCH: LeaderEpoch = LeaderEpoch(3);
const START_MS: i64 = 1_700_000_000_000;
const TIMEOUT: Duration = Duration::from_secs(30);

fn now(since_start: Duration) -> Now {
    let millis = i64::try_from(since_start.as_millis()).unwrap();
    Now { monotonic: Monotonic(since_start), wall: Timestamp(START_MS + millis) }
}

const fn zero() -> Duration {
    Duration::ZERO
}

fn id(topic: u8) -> TopicPartition {
    TopicPartition { topic: TopicId(Uuid([topic; 16])), partition: PartitionId(0) }
}

fn topic_config(overrides: &[(&str, &str)]) -> Arc<TopicConfig> {
    let overrides: Overrides = overrides.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
    Arc::new(TopicConfig::resolve(&overrides, &BrokerLayers::none()))
}

fn partitions(disk: &FakeDisk) -> Partitions {
    let dir = DataDir::open(Arc::new(disk.clone()), Path::new("/data"), 1, Some("c")).unwrap();
    Partitions::new(vec![Arc::new(dir)], ReplicaSettings::of(BrokerId(1)))
}

fn open(partitions: &Partitions, name: &str, topic: u8, config: &[(&str, &str)]) -> Arc<Partition> {
    let open = OpenPartition {
        topic_name: name.into(),
        id: id(topic),
        assignment: Assignment {
            state: PartitionState::single(BrokerId(1), EPOCH, PartitionEpoch(0)),
            eligible: vec![(BrokerId(1), Some(BrokerEpoch(1)))],
        },
        config: topic_config(config),
    };
    partitions.open(now(zero()), open).unwrap()
}

/// A batch of `count` records, as a client sends it; from a producer if `sequence` is given.
fn batch(count: usize, sequence: Option<i32>) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    if let Some(sequence) = sequence {
        builder = builder.producer(ProducerId(7), ProducerEpoch(0), Sequence(sequence));
    }
    for _ in 0..count {
        builder.push(Timestamp(START_MS), None, Some(b"value"), &[]);
    }
    builder.build().unwrap()
}

fn append(partition: &Arc<Partition>, bytes: Bytes, acks: Acks) -> AppendTicket {
    let batch = BatchHeader::parse(&bytes).unwrap().summary();
    partition.append(now(zero()), Append { batch, bytes, acks, timeout: TIMEOUT })
}

/// The answer of an append that needs nobody else.
fn appended(partition: &Arc<Partition>, bytes: Bytes) -> Result<Offset, ErrorCode> {
    match append(partition, bytes, Acks::All) {
        AppendTicket::Done(answer) => answer.map(|Appended { base_offset, .. }| base_offset),
        AppendTicket::Waiting(_) => panic!("one replica and no flush: there is nothing to wait for"),
    }
}

/// First offsets and epochs of the batches that a consumer gets.
fn read(partition: &Partition, from: i64) -> Vec<(i64, i32)> {
    let slice =
        partition.reader().read(Offset(from), partition.bounds().high_watermark, u32::MAX, true).unwrap();
    Batches::new(slice.read_to_bytes().unwrap())
        .map(|batch| batch.unwrap())
        .inspect(|batch| assert!(batch.is_intact(), "patching leaves the checksum alone"))
        .map(|batch| (batch.header().base_offset.0, batch.header().leader_epoch.0))
        .collect()
}

#[test]
fn batches_get_their_place_and_can_be_read_at_once() {
    let partitions = partitions(&FakeDisk::new(1));
    let partition = open(&partitions, "t", 1, &[]);
    let mut watch = partition.watch();
    assert_eq!(appended(&partition, batch(3, None)), Ok(Offset(0)));
    assert_eq!(appended(&partition, batch(2, None)), Ok(Offset(3)));
    assert!(watch.has_changed().unwrap(), "readers that wait are woken");
    assert_eq!(watch.borrow_and_update().high_watermark, Offset(5));
    assert_eq!(read(&partition, 0), [(0, EPOCH.0), (3, EPOCH.0)]);
    assert_eq!(read(&partition, 4), [(3, EPOCH.0)], "a batch is given whole");
}

#[test]
fn a_repeated_batch_is_answered_with_its_place_even_after_a_restart() {
    let disk = FakeDisk::new(2);
    for shutdown in ["none", "clean", "crash"] {
        let partitions = partitions(&disk);
        let partition = open(&partitions, "t", 1, &[]);
        if shutdown == "none" {
            assert_eq!(appended(&partition, batch(3, Some(0))), Ok(Offset(0)));
            assert_eq!(appended(&partition, batch(2, Some(3))), Ok(Offset(3)));
        }
        assert_eq!(appended(&partition, batch(2, Some(3))), Ok(Offset(3)), "after {shutdown}");
        assert_eq!(partition.bounds().log_end, Offset(5), "not written twice");
        assert_eq!(appended(&partition, batch(1, Some(9))), Err(ErrorCode::OutOfOrderSequenceNumber));
        match shutdown {
            "none" => partitions.close_all(now(zero())),
            _ => {
                drop((partition, partitions));
                disk.restart(Crash::Process);
            }
        }
    }
}

#[test]
fn with_flush_on_an_answer_waits_for_the_disk() {
    let disk = FakeDisk::new(3);
    let partitions_before = partitions(&disk);
    let partition = open(&partitions_before, "t", 1, &[("flush.messages", "1")]);
    let AppendTicket::Waiting(mut answer) = append(&partition, batch(1, None), Acks::All) else {
        panic!("nothing is durable yet")
    };
    let AppendTicket::Done(Ok(_)) = append(&partition, batch(1, None), Acks::Leader) else {
        panic!("the leader's write is enough for acks=1")
    };
    assert_eq!(partition.bounds().high_watermark, Offset(0), "consumers do not see it either");
    assert_eq!(answer.try_recv(), Err(TryRecvError::Empty));
    partition.flush(now(zero()));
    assert_eq!(answer.try_recv().unwrap().map(|appended| appended.base_offset), Ok(Offset(0)));
    assert_eq!(partition.bounds().high_watermark, Offset(2));
    drop((partition, partitions_before));
    disk.restart(Crash::Power);
    let after = partitions(&disk);
    let partition = open(&after, "t", 1, &[]);
    assert_eq!(read(&partition, 0).len(), 2, "what was acknowledged is there");
}

#[test]
fn one_fsync_carries_all_that_asked_for_one() {
    let partitions = partitions(&FakeDisk::new(3));
    let partition = open(&partitions, "t", 1, &[("flush.messages", "1")]);
    let asked = || partitions.errands().flushes.take_now().len();
    for _ in 0..3 {
        append(&partition, batch(1, None), Acks::All);
    }
    assert_eq!(asked(), 1);
    partition.flush(now(zero()));
    assert_eq!((partition.bounds().high_watermark, asked()), (Offset(3), 0));
    append(&partition, batch(1, None), Acks::All);
    assert_eq!(asked(), 1, "what came after it asks again");
}

#[test]
fn who_waits_too_long_is_told_so() {
    let partitions = partitions(&FakeDisk::new(4));
    let partition = open(&partitions, "t", 1, &[("flush.messages", "1")]);
    let AppendTicket::Waiting(mut answer) = append(&partition, batch(1, None), Acks::All) else { panic!() };
    partition.tick(now(TIMEOUT - Duration::from_millis(1)));
    assert_eq!(answer.try_recv(), Err(TryRecvError::Empty));
    partition.tick(now(TIMEOUT));
    assert_eq!(answer.try_recv().unwrap().unwrap_err(), ErrorCode::RequestTimedOut);
}

#[test]
fn a_full_disk_refuses_batches_and_serves_readers() {
    let disk = FakeDisk::new(5);
    let partitions = partitions(&disk);
    let partition = open(&partitions, "t", 1, &[]);
    assert_eq!(appended(&partition, batch(1, None)), Ok(Offset(0)));
    disk.set_capacity(0);
    partitions.data_dir().refresh_space().unwrap();
    assert_eq!(appended(&partition, batch(1, None)), Err(ErrorCode::KafkaStorageError));
    assert_eq!(read(&partition, 0), [(0, EPOCH.0)]);
    disk.set_capacity(1 << 40);
    partitions.data_dir().refresh_space().unwrap();
    assert_eq!(appended(&partition, batch(1, None)), Ok(Offset(1)), "it goes on once there is space");
}

#[test]
fn a_broken_disk_takes_all_its_partitions_offline() {
    let disk = FakeDisk::new(5);
    let partitions = partitions(&disk);
    let (one, other) = (open(&partitions, "t", 1, &[]), open(&partitions, "u", 2, &[]));
    assert_eq!(appended(&one, batch(1, None)), Ok(Offset(0)));
    disk.set_broken(true);
    assert!(!partitions.is_disk_failed());
    assert_eq!(appended(&one, batch(1, None)), Err(ErrorCode::KafkaStorageError));
    assert!(partitions.is_disk_failed());
    partitions.fail_offline(now(zero()));
    assert!(!one.is_online() && !other.is_online());
    disk.set_broken(false);
    assert!(appended(&other, batch(1, None)).is_err(), "only a start trusts it again");
    assert_eq!(*partitions.log_dirs().failures().borrow(), 1);
}

#[test]
fn a_broken_directory_takes_only_its_partitions_offline() {
    let disks = [FakeDisk::new(5), FakeDisk::new(6), FakeDisk::new(7)];
    let dir = |disk: &FakeDisk| {
        Arc::new(DataDir::open(Arc::new(disk.clone()), Path::new("/data"), 1, Some("c")).unwrap())
    };
    let settings = ReplicaSettings::of(BrokerId(1));
    let partitions = Partitions::new(disks.iter().map(dir).collect(), settings);
    let open_all = |partitions: &Partitions| -> Vec<_> {
        (0..6).map(|index| open(partitions, &format!("t{index}"), index + 1, &[])).collect()
    };
    let all = open_all(&partitions);
    let held = |partitions: &Partitions, index: usize| -> Vec<_> {
        let found = partitions.log_dirs().all()[index].data_dir().found_logs().unwrap();
        found.into_iter().map(|log| log.name).collect()
    };
    assert_eq!([0, 1, 2].map(|index| held(&partitions, index)), [["t0", "t3"], ["t1", "t4"], ["t2", "t5"]]);
    for partition in &all {
        assert_eq!(appended(partition, batch(1, None)), Ok(Offset(0)));
    }
    disks[1].set_broken(true);
    assert_eq!(appended(&all[1], batch(1, None)), Err(ErrorCode::KafkaStorageError));
    partitions.fail_offline(now(zero()));
    let online: Vec<_> = all.iter().map(|partition| partition.is_online()).collect();
    assert_eq!(online, [true, false, true, true, false, true]);
    assert!(!partitions.is_disk_failed(), "the node lives on");
    for index in [0, 2, 3, 5] {
        assert_eq!(appended(&all[index], batch(1, None)), Ok(Offset(1)));
    }
    let next = open(&partitions, "u", 9, &[]);
    assert_ne!(next.log_dir().data_dir().directory_id(), all[1].log_dir().data_dir().directory_id());

    partitions.close_all(now(zero()));
    drop((all, next, partitions));
    disks[1].set_broken(false);
    let again = Partitions::new(disks.iter().map(dir).collect(), settings);
    for (index, partition) in open_all(&again).iter().enumerate() {
        let name = format!("t{index}");
        assert!(held(&again, index % 3).contains(&name), "{name} stays where it is");
        assert_eq!(read(partition, 0)[0], (0, EPOCH.0), "{name} has what it had");
    }
}

#[test]
fn an_fsync_that_fails_is_a_broken_disk() {
    let disk = FakeDisk::new(5);
    let partitions = partitions(&disk);
    let partition = open(&partitions, "t", 1, &[("flush.messages", "1")]);
    let AppendTicket::Waiting(mut answer) = append(&partition, batch(1, None), Acks::All) else { panic!() };
    disk.set_broken(true);
    partition.flush(now(zero()));
    assert_eq!(answer.try_recv().unwrap().unwrap_err(), ErrorCode::KafkaStorageError);
    assert!(partitions.is_disk_failed() && !partition.is_online());
}

#[test]
fn an_idle_log_goes_on_after_its_files_were_closed() {
    let disk = FakeDisk::new(6);
    let before = partitions(&disk);
    let partition = open(&before, "t", 1, &[("index.interval.bytes", "1")]);
    for end in 1..4 {
        assert_eq!(appended(&partition, batch(1, None)), Ok(Offset(end - 1)));
        let held = partition.reader().read(Offset(0), Offset(end), u32::MAX, true).unwrap();
        // Twice: the first finds it written.
        partition.close_idle_files();
        partition.close_idle_files();
        assert_eq!(held.read_to_bytes().unwrap().len(), usize::try_from(end).unwrap() * batch(1, None).len());
        assert_eq!(read(&partition, 0).len(), usize::try_from(end).unwrap());
    }
    drop((partition, before));
    disk.restart(Crash::Process);
    assert_eq!(read(&open(&partitions(&disk), "t", 1, &[]), 0).len(), 3);
}

#[test]
fn deleted_records_stay_deleted() {
    let disk = FakeDisk::new(6);
    let before = partitions(&disk);
    let partition = open(&before, "t", 1, &[]);
    for _ in 0..5 {
        appended(&partition, batch(2, None)).unwrap();
    }
    let delete = |to: Option<i64>| partition.delete_records(now(zero()), to.map(Offset));
    assert_eq!(delete(Some(11)), Err(ErrorCode::OffsetOutOfRange));
    assert_eq!(delete(Some(-7)), Err(ErrorCode::OffsetOutOfRange));
    assert_eq!(delete(Some(4)), Ok(Offset(4)));
    assert_eq!(delete(Some(1)), Ok(Offset(4)), "the start never moves back");
    assert_eq!(partition.bounds().log_start, Offset(4));
    assert!(partition.reader().read(Offset(3), Offset(10), u32::MAX, true).is_err());
    drop((partition, before));
    disk.restart(Crash::Power);
    let after = partitions(&disk);
    let partition = open(&after, "t", 1, &[]);
    assert!(partition.bounds().log_start >= partition.bounds().log_end.min(Offset(4)));
    assert_eq!(
        partition.delete_records(now(zero()), None),
        Ok(partition.bounds().log_end),
        "-1 is everything"
    );
}

#[test]
fn retention_moves_the_start_that_readers_see() {
    let partitions = partitions(&FakeDisk::new(7));
    let config = [("segment.bytes", "1048576"), ("retention.bytes", "1"), ("segment.jitter.ms", "0")];
    let partition = open(&partitions, "t", 1, &config);
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(Timestamp(START_MS), None, Some(&[0; 600_000]), &[]);
    let large = builder.build().unwrap();
    for _ in 0..3 {
        appended(&partition, large.clone()).unwrap();
    }
    partition.maintain(now(zero()), TIMEOUT);
    assert_eq!(partition.bounds().log_start, Offset(2), "only the active segment is left");
    assert_eq!(read(&partition, 2).len(), 1);
}

#[test]
fn a_closed_partition_turns_everybody_away() {
    let partitions = partitions(&FakeDisk::new(8));
    let partition = open(&partitions, "t", 1, &[("flush.messages", "1")]);
    let AppendTicket::Waiting(mut answer) = append(&partition, batch(1, None), Acks::All) else { panic!() };
    partitions.delete(now(zero()), id(1)).unwrap();
    assert_eq!(answer.try_recv().unwrap().unwrap_err(), ErrorCode::UnknownTopicOrPartition);
    let AppendTicket::Done(Err(_)) = append(&partition, batch(1, None), Acks::Leader) else {
        panic!("there is no log any more")
    };
    assert!(partition.delete_records(now(zero()), None).is_err());
}

#[test]
fn a_topic_of_the_same_name_is_another_topic() {
    let partitions = partitions(&FakeDisk::new(9));
    let find = |topic: TopicRef<'_>, partition| {
        partitions.find(topic, PartitionId(partition)).map(|partition| partition.id().topic)
    };
    assert_eq!(find(TopicRef::Name("t"), 0), Err(ErrorCode::UnknownTopicOrPartition));
    appended(&open(&partitions, "t", 1, &[]), batch(1, None)).unwrap();
    assert_eq!(find(TopicRef::Name("t"), 0), Ok(id(1).topic));
    assert_eq!(find(TopicRef::Name("t"), 1), Err(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(find(TopicRef::Id(id(1).topic), 1), Err(ErrorCode::UnknownTopicOrPartition));
    partitions.delete(now(zero()), id(1)).unwrap();
    let again = open(&partitions, "t", 2, &[]);
    assert_eq!(again.bounds().log_end, Offset(0), "it begins empty");
    assert_eq!(find(TopicRef::Id(id(1).topic), 0), Err(ErrorCode::UnknownTopicId));
    assert_eq!(find(TopicRef::Name("t"), 0), Ok(id(2).topic));
}

#[test]
fn a_topic_that_came_anew_while_the_node_was_down_begins_empty_and_the_old_log_is_set_aside() {
    let disk = FakeDisk::new(19);
    let before = partitions(&disk);
    let partition = open(&before, "t", 1, &[]);
    appended(&partition, batch(3, None)).unwrap();
    drop((partition, before));
    disk.restart(Crash::Process);
    let after = partitions(&disk);
    let partition = open(&after, "t", 2, &[]);
    assert_eq!((partition.bounds().log_start, partition.bounds().log_end), (Offset(0), Offset(0)));
    assert_eq!(appended(&partition, batch(1, None)), Ok(Offset(0)));
    let names = disk.read_dir(Path::new("/data")).unwrap().into_iter().map(|entry| entry.name);
    assert_eq!(names.filter(|name| name.starts_with("t-0.") && name.ends_with("-stray")).count(), 1);
}

#[test]
fn a_failed_write_leaves_no_trace_and_the_next_takes_its_place() {
    let disk = FakeDisk::new(10);
    let before = partitions(&disk);
    let partition = open(&before, "t", 1, &[]);
    assert_eq!(appended(&partition, batch(1, Some(0))), Ok(Offset(0)));
    disk.crash_after(0);
    assert_eq!(appended(&partition, batch(1, Some(1))), Err(ErrorCode::KafkaStorageError));
    assert_eq!(partition.bounds().log_end, Offset(1));
    drop((partition, before));
    disk.restart(Crash::Process);
    let after = partitions(&disk);
    let partition = open(&after, "t", 1, &[]);
    assert_eq!(appended(&partition, batch(1, Some(1))), Ok(Offset(1)), "the retry is the first that counts");
}
