//! A journal: numbered records from one idempotent producer, and the check that each that was acknowledged is there, once, at
//! its place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use client::Client;
use client::producer::{Delivery, Producer, ProducerConfig, ProducerRecord};

use crate::node::consume;

/// A topic of one partition.
pub const TOPIC: &str = "journal";

/// What the times of a run follow from; `KILL_SEED` repeats them.
pub fn seed() -> u64 {
    let seed = std::env::var("KILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(seed_of_now);
    println!("KILL_SEED={seed}");
    seed
}

/// Sends numbered records until it is told to stop; answers which were acknowledged, and where.
pub async fn produce(client: Client, stopping: Arc<AtomicBool>, seed: u64) -> BTreeMap<u64, i64> {
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
            topic: TOPIC.to_owned(),
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

/// Reads the journal and compares it with what was acknowledged.
pub async fn check(client: Client, acknowledged: &BTreeMap<u64, i64>) {
    let end = acknowledged.values().copied().max().expect("something was acknowledged") + 1;
    let records = consume(client, TOPIC, 0, end).await;
    assert!(records.len() >= acknowledged.len(), "{} of {} are there", records.len(), acknowledged.len());
    for (expected, record) in (0..).zip(&records) {
        assert_eq!(record.offset, expected, "offsets have no gap");
        let value = record.value.as_ref().expect("a value");
        let number = u64::from_be_bytes(value[..8].try_into().expect("eight bytes"));
        // The producer numbers what it sends from 0: another number means a loss, a duplicate or a changed order.
        assert_eq!(number, expected.unsigned_abs(), "at offset {expected}");
        assert_eq!(value.len(), value_len(number), "record {number} is whole");
    }
    for (number, offset) in acknowledged {
        // A retry that found its record in place may not be told where that is.
        assert!(
            *offset == number.cast_signed() || *offset < 0,
            "record {number} was acknowledged at {offset}"
        );
    }
}

/// The next of a sequence of numbers that look random.
pub fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *random >> 33
}

fn seed_of_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
