//! `kill -9` in the middle of a producer's run: every acknowledged record is there after the restart, at its offset, and
//! none is there twice. And a log of two gigabytes serves its first record within a second of the process's start.
//!
//! `KILL_SEED` repeats the times of a run, as far as a machine repeats itself.

#![allow(clippy::print_stdout, reason = "a test that measures says what")]

mod node;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use client::Client;
use client::admin::TopicPartitionName;
use client::consumer::{FetchConfig, Fetcher, OffsetReset};
use client::producer::{Delivery, Producer, ProducerConfig, ProducerRecord};
use node::{Node, consume};

const KILLS: u32 = 50;
const GIGABYTES: u64 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_fifty_kills() {
    let seed = std::env::var("KILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(seed_of_now);
    println!("KILL_SEED={seed}");
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::found(folder.path(), &[]);
    // Segments that roll every second or so: some kills hit a roll.
    node.create_topic("journal", &[("segment.bytes", "4194304")]).await;

    let stopping = Arc::new(AtomicBool::new(false));
    let producing = tokio::spawn(produce(node.client(), Arc::clone(&stopping), seed));
    let mut random = seed;
    for kill in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(20 + next(&mut random) % 500)).await;
        node.kill();
        node.start();
        // Sometimes it is killed before it serves.
        if kill % 5 != 0 {
            node.wait_ready();
        }
    }
    node.wait_ready();
    tokio::time::sleep(Duration::from_millis(500)).await;
    stopping.store(true, Ordering::Relaxed);
    let acknowledged = producing.await.expect("the producer does not panic");
    println!("{} records acknowledged over {KILLS} kills", acknowledged.len());

    let end = acknowledged.values().copied().max().expect("something was acknowledged") + 1;
    let records = consume(node.client(), "journal", 0, end).await;
    assert!(records.len() >= acknowledged.len(), "{} of {} are there", records.len(), acknowledged.len());
    for (expected, record) in (0..).zip(&records) {
        assert_eq!(record.offset, expected, "offsets have no gap");
        let value = record.value.as_ref().expect("a value");
        let number = u64::from_be_bytes(value[..8].try_into().expect("eight bytes"));
        // The producer numbers what it sends from 0: another number means a loss, a duplicate or a changed order.
        assert_eq!(number, expected.unsigned_abs(), "at offset {expected}");
        assert_eq!(value.len(), value_len(number), "record {number} is whole");
    }
    for (number, offset) in &acknowledged {
        // A retry that found its record in place may not be told where that is.
        assert!(
            *offset == number.cast_signed() || *offset < 0,
            "record {number} was acknowledged at {offset}"
        );
    }
}

/// Sends numbered records until it is told to stop; answers which were acknowledged, and where.
async fn produce(client: Client, stopping: Arc<AtomicBool>, seed: u64) -> BTreeMap<u64, i64> {
    let config = ProducerConfig {
        linger: Duration::from_millis(1),
        batch_bytes: 32 << 10,
        ..ProducerConfig::default()
    };
    let producer = Producer::new(client, config);
    let mut random = seed ^ 0x5555;
    let mut waiting: Vec<(u64, Delivery)> = Vec::new();
    let mut acknowledged = BTreeMap::new();
    for number in 0.. {
        if stopping.load(Ordering::Relaxed) {
            break;
        }
        let mut value = vec![number as u8; value_len(number)];
        value[..8].copy_from_slice(&number.to_be_bytes());
        let record = ProducerRecord {
            topic: "journal".to_owned(),
            partition: Some(0),
            value: Some(Bytes::from(value)),
            ..ProducerRecord::default()
        };
        waiting.push((number, producer.send(record).await.expect("it is queued")));
        if next(&mut random).is_multiple_of(100) {
            tokio::time::sleep(Duration::from_millis(next(&mut random) % 20)).await;
        }
        if waiting.len() >= 2000 {
            collect(waiting.drain(..1000), &mut acknowledged).await;
        }
    }
    collect(waiting.drain(..), &mut acknowledged).await;
    acknowledged
}

async fn collect(deliveries: impl Iterator<Item = (u64, Delivery)>, acknowledged: &mut BTreeMap<u64, i64>) {
    for (number, delivery) in deliveries {
        let delivered = delivery.wait().await.unwrap_or_else(|error| panic!("record {number}: {error}"));
        acknowledged.insert(number, delivered.offset);
    }
}

fn value_len(number: u64) -> usize {
    8 + (number.wrapping_mul(2_654_435_761) % 900) as usize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gigabytes_are_served_within_a_second_of_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::found(folder.path(), &[]);
    node.create_topic("large", &[]).await;
    let config = ProducerConfig { batch_bytes: 900 << 10, ..ProducerConfig::default() };
    let producer = Producer::new(node.client(), config);
    let value = Bytes::from(vec![b'x'; 100 << 10]);
    let count = (GIGABYTES << 30) / value.len() as u64;
    let mut last = None;
    for _ in 0..count {
        let record = ProducerRecord {
            topic: "large".to_owned(),
            partition: Some(0),
            value: Some(value.clone()),
            ..ProducerRecord::default()
        };
        last = Some(producer.send(record).await.expect("it is queued"));
    }
    let last = last.expect("there is one").wait().await.expect("it is acknowledged").offset;
    node.kill();

    let begin = Instant::now();
    node.start();
    let first = first_fetch(&node, last).await;
    let elapsed = begin.elapsed();
    println!("{count} records, {GIGABYTES} GiB: {} ms from exec to the first fetch", elapsed.as_millis());
    assert_eq!(first, last);
    assert!(elapsed < Duration::from_secs(1), "took {elapsed:?}:\n{}", node.log());
}

/// Asks for the record at an offset until it is given.
async fn first_fetch(node: &Node, offset: i64) -> i64 {
    let config = FetchConfig { reset: OffsetReset::Fail, ..FetchConfig::default() };
    let mut fetcher = Fetcher::new(node.client(), config);
    fetcher.assign(BTreeMap::from([(TopicPartitionName::new("large", 0), offset)]));
    loop {
        if let Ok(records) = fetcher.poll().await
            && let Some(record) = records.first()
        {
            return record.offset;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *random >> 33
}

fn seed_of_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
