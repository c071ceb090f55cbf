//! Every append is answered, whatever changes while it is under way: `flush.messages`, the space that is left, the log's
//! idle files. With real threads, as what is looked for is a wake-up that got lost between them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use config::{BrokerLayers, Overrides, TopicConfig};
use record::{BatchBuilder, BatchHeader, Compression};
use replication::{Acks, PartitionState};
use storage::DataDir;
use storage::fake::FakeDisk;
use types::{
    BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Monotonic, Now, Offset, PartitionEpoch, PartitionId,
    Timestamp, TopicId, TopicPartition, Uuid,
};

use super::{Append, AppendTicket, Assignment, OpenPartition, Partition, Partitions, ReplicaSettings};

const PARTITIONS: u8 = 6;
const PRODUCERS: usize = 3;
const RUN: Duration = Duration::from_secs(3);
/// Far beyond what any of it takes.
const LOST_AFTER: Duration = Duration::from_secs(20);
const PLENTY: u64 = 1 << 40;

fn now(since: Instant) -> Now {
    Now { wall: Timestamp(1_700_000_000_000), monotonic: Monotonic(since.elapsed()) }
}

fn config(flushes: bool) -> Arc<TopicConfig> {
    let mut overrides = Overrides::new();
    if flushes {
        overrides.insert("flush.messages".to_owned(), "1".to_owned());
    }
    Arc::new(TopicConfig::resolve(&overrides, &BrokerLayers::none()))
}

fn open(partitions: &Partitions, topic: u8) -> Arc<Partition> {
    let open = OpenPartition {
        topic_name: format!("t{topic}").into(),
        id: TopicPartition { topic: TopicId(Uuid([topic; 16])), partition: PartitionId(0) },
        assignment: Assignment {
            state: PartitionState::single(BrokerId(1), LeaderEpoch(1), PartitionEpoch(0)),
            eligible: vec![(BrokerId(1), Some(BrokerEpoch(1)))],
        },
        config: config(false),
    };
    partitions.open(Now::default(), open).unwrap()
}

fn batch() -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(Timestamp(1_700_000_000_000), None, Some(b"value"), &[]);
    builder.build().unwrap()
}

/// Appends one batch and waits for its answer.
fn produce(partition: &Arc<Partition>, since: Instant) -> Result<Offset, ErrorCode> {
    let bytes = batch();
    let batch = BatchHeader::parse(&bytes).unwrap().summary();
    let append = Append { batch, bytes, acks: Acks::All, timeout: Duration::from_secs(3600) };
    let mut answer = match partition.append(now(since), append) {
        AppendTicket::Done(answer) => return answer.map(|appended| appended.base_offset),
        AppendTicket::Waiting(answer) => answer,
    };
    let begun = Instant::now();
    loop {
        match answer.try_recv() {
            Ok(answer) => return answer.map(|appended| appended.base_offset),
            Err(tokio::sync::oneshot::error::TryRecvError::Empty) => {
                assert!(begun.elapsed() < LOST_AFTER, "an answer was lost");
                thread::yield_now();
            }
            Err(tokio::sync::oneshot::error::TryRecvError::Closed) => panic!("an answer was dropped"),
        }
    }
}

#[test]
fn no_answer_is_lost_while_flushing_and_free_space_come_and_go() {
    let disk = FakeDisk::new(9);
    let dir = DataDir::open(Arc::new(disk.clone()), Path::new("/data"), 1, Some("c")).unwrap();
    let partitions = Partitions::new(vec![Arc::new(dir)], ReplicaSettings::of(BrokerId(1)));
    let all: Vec<_> = (1..=PARTITIONS).map(|topic| open(&partitions, topic)).collect();
    let (since, is_over) = (Instant::now(), AtomicBool::new(false));
    let (acknowledged, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for partition in &all {
            for _ in 0..PRODUCERS {
                scope.spawn(|| {
                    while since.elapsed() < RUN {
                        match produce(partition, since) {
                            Ok(_) => acknowledged.fetch_add(1, Ordering::Relaxed),
                            Err(ErrorCode::KafkaStorageError) => refused.fetch_add(1, Ordering::Relaxed),
                            Err(error) => panic!("{error:?}"),
                        };
                    }
                });
            }
        }
        // What the node's tasks do: two fsyncs at a time, and housekeeping.
        let errands = partitions.errands();
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    for partition in errands.flushes.take_now() {
                        partition.flush(now(since));
                    }
                    thread::yield_now();
                }
            });
        }
        let changes = scope.spawn(|| {
            for round in 0.. {
                if since.elapsed() > RUN {
                    break;
                }
                let flushes = round % 2 == 0;
                all.iter().for_each(|partition| partition.configure(now(since), config(flushes)));
                disk.set_capacity(if round % 5 == 4 { 0 } else { PLENTY });
                partitions.data_dir().refresh_space().ok();
                for partition in &all {
                    if round % 3 == 0 {
                        partition.close_idle_files();
                    }
                    partition.tick(now(since));
                    if let Some(checkpoint) = partition.begin_due_checkpoint(now(since)) {
                        checkpoint.run().ok();
                    }
                }
                thread::sleep(Duration::from_millis(2));
            }
            disk.set_capacity(PLENTY);
        });
        changes.join().unwrap();
        // The flushers go on until the last answer has come.
        scope.spawn(|| {
            while since.elapsed() < RUN + Duration::from_secs(1) {
                thread::sleep(Duration::from_millis(10));
            }
            is_over.store(true, Ordering::Relaxed);
        });
    });
    let (acknowledged, refused) = (acknowledged.into_inner(), refused.into_inner());
    assert!(acknowledged > 1_000 && refused > 0, "{acknowledged} acknowledged, {refused} refused");
    let there: i64 = all.iter().map(|partition| partition.bounds().log_end.0).sum();
    assert_eq!(
        u64::try_from(there).unwrap(),
        acknowledged,
        "what was acknowledged is there, and nothing else"
    );
}
