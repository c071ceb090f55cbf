//! The cleaner over partitions on a disk in memory: what it chooses, and what is there afterwards.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config::{BrokerLayers, Overrides, TopicConfig};
use record::{BatchBuilder, BatchHeader, Batches, Compression};
use replication::{Acks, PartitionState};
use storage::DataDir;
use storage::fake::FakeDisk;
use types::{
    BrokerEpoch, BrokerId, LeaderEpoch, Monotonic, Now, PartitionEpoch, PartitionId, ProducerEpoch,
    ProducerId, Sequence, Timestamp, TopicId, TopicPartition, Uuid,
};

use super::cleaner::{Cleaner, Throttle};
use super::{Append, AppendTicket, Assignment, OpenPartition, Partition, Partitions, ReplicaSettings};
use crate::seams::{Blocking, Wall};

const START_MS: i64 = 1_700_000_000_000;

fn now() -> Now {
    Now { monotonic: Monotonic(Duration::ZERO), wall: Timestamp(START_MS) }
}

fn cleaner(disk: &FakeDisk) -> Cleaner {
    let dir = DataDir::open(Arc::new(disk.clone()), Path::new("/data"), 1, Some("c")).unwrap();
    Cleaner {
        partitions: Arc::new(Partitions::new(vec![Arc::new(dir)], ReplicaSettings::of(BrokerId(1)))),
        wall: Wall::real(),
        dedupe_bytes: 1 << 20,
        throttle: Throttle::new(u64::MAX, Blocking::inline(), Wall::real()),
        is_stopping: Box::new(|| false),
    }
}

fn open(partitions: &Partitions, topic: u8, policy: &str) -> Arc<Partition> {
    let overrides: Overrides = [("cleanup.policy", policy), ("segment.bytes", "1048576")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let config = Arc::new(TopicConfig::resolve(&overrides, &BrokerLayers::none()));
    let id = TopicPartition { topic: TopicId(Uuid([topic; 16])), partition: PartitionId(0) };
    let assignment = Assignment {
        state: PartitionState::single(BrokerId(1), LeaderEpoch(0), PartitionEpoch(0)),
        eligible: vec![(BrokerId(1), Some(BrokerEpoch(1)))],
    };
    let open = OpenPartition { topic_name: format!("t{topic}").into(), id, assignment, config };
    partitions.open(now(), open).unwrap()
}

/// Appends `count` batches of 64 KiB, each of one record with one of ten keys.
fn fill(partition: &Arc<Partition>, count: i32) {
    for at in 0..count {
        let builder = BatchBuilder::new(Compression::None);
        let mut builder = builder.producer(ProducerId(7), ProducerEpoch(0), Sequence(at));
        let value = vec![u8::try_from(at % 251).unwrap(); 64 << 10];
        let key = format!("key-{}", at % 10);
        builder.push(Timestamp(START_MS), Some(key.as_bytes()), Some(&value), &[]);
        let bytes = builder.build().unwrap();
        let batch = BatchHeader::parse(&bytes).unwrap().summary();
        let append = Append { batch, bytes, acks: Acks::All, timeout: Duration::from_secs(1) };
        assert!(matches!(partition.append(now(), append), AppendTicket::Done(Ok(_))));
    }
}

fn bytes(partition: &Partition) -> Bytes {
    let reader = partition.reader();
    reader.read(reader.log_start(), reader.log_end(), u32::MAX, true).unwrap().read_to_bytes().unwrap()
}

/// The first byte of the last value of each key, and how many records there are.
fn last_values(partition: &Partition) -> (BTreeMap<Bytes, u8>, usize) {
    let (mut last, mut count) = (BTreeMap::new(), 0);
    for batch in Batches::new(bytes(partition)) {
        for record in batch.unwrap().records().unwrap() {
            let record = record.unwrap();
            last.insert(record.key.unwrap(), record.value.unwrap()[0]);
            count += 1;
        }
    }
    (last, count)
}

#[test]
fn the_filthiest_log_is_compacted_until_none_is_left() {
    let cleaner = cleaner(&FakeDisk::new(1));
    let compacted = open(&cleaner.partitions, 1, "compact");
    let kept = open(&cleaner.partitions, 2, "delete");
    fill(&compacted, 60);
    fill(&kept, 60);
    let (before, count) = last_values(&compacted);
    assert_eq!(count, 60);
    let kept_before = bytes(&kept);
    let mut rounds = 0;
    while cleaner.clean_filthiest() {
        rounds += 1;
    }
    assert_eq!(rounds, 1);
    let (after, count) = last_values(&compacted);
    assert_eq!(after, before);
    // Ten of the segments that are at rest, and all of the one that is written.
    assert!(count < 30, "{count} records are left");
    assert_eq!(bytes(&kept), kept_before);
    let facts = cleaner.partitions.cleaner().facts();
    assert!(facts.uncleanable.is_empty() && facts.last_round.bytes_after < facts.last_round.bytes_before);
    // It goes on where it was, also with its producer.
    fill_more(&compacted);
}

fn fill_more(partition: &Arc<Partition>) {
    let mut builder = BatchBuilder::new(Compression::None);
    builder = builder.producer(ProducerId(7), ProducerEpoch(0), Sequence(60));
    builder.push(Timestamp(START_MS), Some(b"key"), Some(b"value"), &[]);
    let bytes = builder.build().unwrap();
    let batch = BatchHeader::parse(&bytes).unwrap().summary();
    let append = Append { batch, bytes, acks: Acks::All, timeout: Duration::from_secs(1) };
    let AppendTicket::Done(Ok(appended)) = partition.append(now(), append) else { panic!("not appended") };
    assert_eq!(appended.base_offset.0, 60);
}

#[test]
fn a_damaged_log_is_left_alone_and_said_to_be_so() {
    let disk = FakeDisk::new(2);
    let cleaner = cleaner(&disk);
    let partition = open(&cleaner.partitions, 1, "compact");
    fill(&partition, 60);
    disk.flip_bit(Path::new("/data/t1-0/00000000000000000000.log"), 8 * 5000);
    while cleaner.clean_filthiest() {}
    let facts = cleaner.partitions.cleaner().facts();
    assert_eq!(facts.uncleanable.len(), 1);
    assert_eq!(last_values(&partition).1, 60, "nothing was changed");
    assert!(!disk_has(&disk, ".cleaned") && !disk_has(&disk, ".swap"));
}

fn disk_has(disk: &FakeDisk, suffix: &str) -> bool {
    use storage::Disk;
    disk.read_dir(Path::new("/data/t1-0")).unwrap().iter().any(|entry| entry.name.ends_with(suffix))
}

#[test]
fn a_node_that_stops_does_not_wait_for_a_round() {
    let disk = FakeDisk::new(3);
    let cleaner = cleaner(&disk);
    let partition = open(&cleaner.partitions, 1, "compact");
    fill(&partition, 60);
    let backlog = partition.compaction_backlog(now()).unwrap();
    assert!(partition.compact(now(), &backlog, 1 << 20, &|_| ControlFlow::Break(())).is_err());
    assert_eq!(last_values(&partition).1, 60);
    assert!(!disk_has(&disk, ".cleaned"));
}
