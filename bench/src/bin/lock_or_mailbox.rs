//! How the shell around a partition is entered: by a lock, or through the mailbox of a task. The same leader and the same log
//! on both sides, appends from several tasks, on two threads: the figures of docs/adr/0007.
#![allow(clippy::print_stdout, reason = "a command that prints its results")]

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use record::{BatchBuilder, BatchHeader, BatchSummary, Compression, patched_prefix};
use replication::{
    Acks, Effect, Event, Leader, LeaderConfig, PartitionState, ProducerStates, ReplicaLog, WaiterId,
};
use storage::{DataDir, Log, LogConfig, RealDisk};
use tokio::sync::{mpsc, oneshot};
use types::{
    BrokerId, LeaderEpoch, Monotonic, Now, Offset, PartitionEpoch, PartitionId, Timestamp, TopicId,
    TopicPartition, Uuid,
};

const PRODUCERS: usize = 8;
const MAILBOX: usize = 64;
const ROUNDS: usize = 5;
const TIMEOUT: Duration = Duration::from_secs(30);

/// What is behind the lock, or what the task owns.
struct Shell {
    leader: Leader,
    log: Log,
}

impl Shell {
    fn append(&mut self, now: Now, batch: &BatchSummary, bytes: &Bytes) -> Result<Offset> {
        let mut effects = Vec::with_capacity(2);
        let waiter = WaiterId(0);
        let append = Event::Append { batch: batch.clone(), acks: Acks::All, waiter, timeout: TIMEOUT };
        self.leader.handle(now, append, &mut effects);
        let Some(&Effect::Write { base_offset, leader_epoch }) = effects.first() else {
            anyhow::bail!("refused: {effects:?}");
        };
        let batch = BatchSummary { base_offset, leader_epoch, ..batch.clone() };
        let prefix = patched_prefix(&batch, base_offset, leader_epoch);
        self.log.append(&batch, &prefix, &bytes[prefix.len()..], now.wall, &Vec::new)?;
        effects.clear();
        self.leader.handle(now, Event::Written { batch }, &mut effects);
        let end = self.leader.bounds().log_end;
        self.leader.handle(now, Event::Durable { end }, &mut effects);
        Ok(base_offset)
    }
}

struct Request {
    batch: BatchSummary,
    bytes: Bytes,
    answer: oneshot::Sender<Result<Offset>>,
}

/// A partition, entered in one of the two ways.
#[derive(Clone)]
enum Partition {
    Lock(Arc<Mutex<Shell>>),
    Mailbox(mpsc::Sender<Request>),
}

impl Partition {
    fn locked(shell: Shell) -> Partition {
        Partition::Lock(Arc::new(Mutex::new(shell)))
    }

    fn with_mailbox(mut shell: Shell) -> Partition {
        let (sender, mut requests) = mpsc::channel::<Request>(MAILBOX);
        tokio::spawn(async move {
            while let Some(Request { batch, bytes, answer }) = requests.recv().await {
                answer.send(shell.append(now(), &batch, &bytes)).ok();
            }
        });
        Partition::Mailbox(sender)
    }

    async fn append(&self, batch: &BatchSummary, bytes: &Bytes) -> Result<Offset> {
        match self {
            Partition::Lock(shell) => {
                shell.lock().unwrap_or_else(PoisonError::into_inner).append(now(), batch, bytes)
            }
            Partition::Mailbox(sender) => {
                let (answer, answered) = oneshot::channel();
                let request = Request { batch: batch.clone(), bytes: bytes.clone(), answer };
                sender.send(request).await.ok().context("the task ended")?;
                answered.await?
            }
        }
    }
}

fn now() -> Now {
    Now { monotonic: Monotonic(Duration::ZERO), wall: Timestamp(0) }
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("| partitions | batch | lock | mailbox | lock p99 | mailbox p99 |");
    println!("|---|---|---|---|---|---|");
    for partitions in [1, 6] {
        for (kib, appends) in [(1, 100_000), (64, 8_000)] {
            let mut samples = [Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                for (of_way, way) in samples.iter_mut().zip([Partition::locked, Partition::with_mailbox]) {
                    of_way.push(runtime.block_on(run(way, partitions, kib, appends))?);
                }
            }
            let [lock, mailbox] = samples.map(median);
            println!(
                "| {partitions} | {kib} KiB | {:.0} appends/s | {:.0} appends/s | {:.0} µs | {:.0} µs |",
                lock.0, mailbox.0, lock.1, mailbox.1
            );
        }
    }
    Ok(())
}

fn median(mut samples: Vec<(f64, f64)>) -> (f64, f64) {
    samples.sort_by(|a, b| a.0.total_cmp(&b.0));
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

/// Appends by several tasks over all partitions: appends a second, and the 99th percentile of one, in microseconds.
async fn run(way: fn(Shell) -> Partition, count: i32, kib: usize, appends: usize) -> Result<(f64, f64)> {
    // The page cache takes what is written; the disk is not what is compared.
    let folder = tempfile::tempdir()?;
    let dir = DataDir::open(Arc::new(RealDisk), folder.path(), 0, None)?;
    let partitions: Vec<_> =
        (0..count).map(|index| Ok(way(open(&dir, folder.path(), index)?))).collect::<Result<_>>()?;
    let (batch, bytes) = sample(kib)?;
    let begun = Instant::now();
    let producers = (0..PRODUCERS).map(|producer| {
        let (partitions, batch, bytes) = (partitions.clone(), batch.clone(), bytes.clone());
        tokio::spawn(async move {
            let mut waits = Vec::with_capacity(appends / PRODUCERS);
            for i in 0..appends / PRODUCERS {
                let asked = Instant::now();
                partitions[(producer + i) % partitions.len()].append(&batch, &bytes).await?;
                waits.push(asked.elapsed());
                // A request came from a socket before, and an answer goes to one: other tasks get their turn.
                tokio::task::yield_now().await;
            }
            anyhow::Ok(waits)
        })
    });
    let mut waits = Vec::with_capacity(appends);
    for producer in producers.collect::<Vec<_>>() {
        waits.extend(producer.await??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    waits.sort();
    let p99 = waits.get(waits.len() * 99 / 100).copied().unwrap_or_default();
    Ok((waits.len() as f64 / seconds, p99.as_secs_f64() * 1e6))
}

fn open(dir: &DataDir, path: &Path, index: i32) -> Result<Shell> {
    let id = TopicPartition { topic: TopicId(Uuid::from_random([7; 16])), partition: PartitionId(index) };
    let (mut log, _) = dir
        .create_or_open_log("appends", id, LogConfig::default(), Timestamp(0))
        .with_context(|| path.display().to_string())?;
    log.assign_epoch(LeaderEpoch(0), Offset::ZERO)?;
    let epochs = log.epochs().clone();
    let known = ReplicaLog::recovered(
        Offset::ZERO,
        Offset::ZERO,
        Offset::ZERO,
        epochs,
        ProducerStates::from_snapshot(&[]),
    );
    let state = PartitionState::single(BrokerId(0), LeaderEpoch(0), PartitionEpoch(0));
    let leader = Leader::new(now(), BrokerId(0), state, LeaderConfig::default(), known);
    Ok(Shell { leader, log })
}

/// A batch of one record of so many KiB.
fn sample(kib: usize) -> Result<(BatchSummary, Bytes)> {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(Timestamp(0), None, Some(&vec![b'x'; kib << 10]), &[]);
    let bytes = builder.build()?;
    let header = BatchHeader::parse(&bytes).context("a batch")?;
    Ok((header.summary(), bytes))
}
