//! `kill -9` in the middle of a producer's run: every acknowledged record is there after the restart, at its offset, and
//! none is there twice. And a log of two gigabytes serves its first record within a second of the process's start.
//!
//! `KILL_SEED` repeats the times of a run, as far as a machine repeats itself.

#![allow(clippy::print_stdout, reason = "a test that measures says what")]

use compat::journal;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use client::admin::TopicPartitionName;
use client::consumer::{FetchConfig, Fetcher, OffsetReset};
use client::producer::{Producer, ProducerConfig, ProducerRecord};
use compat::node::Node;

const KILLS: u32 = 50;
const GIGABYTES: u64 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_fifty_kills() {
    let seed = journal::seed();
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::found(folder.path(), &[]);
    // Segments that roll every second or so: some kills hit a roll.
    node.create_topic(journal::TOPIC, &[("segment.bytes", "4194304")]).await;

    let stopping = Arc::new(AtomicBool::new(false));
    let producing = tokio::spawn(journal::produce(node.client(), Arc::clone(&stopping), seed));
    let mut random = seed;
    for kill in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(20 + journal::next(&mut random) % 500)).await;
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

    journal::check(node.client(), &acknowledged).await;
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
