//! Clients of a compacted topic: writers that each own some keys, and a reader that reads it from its beginning over and over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use client::admin::{OffsetSpec, TopicPartitionName};
use client::consumer::{FetchConfig, Fetcher, OffsetReset};
use client::producer::{Producer, ProducerConfig, ProducerRecord};
use client::{Admin, Client};
use tokio::time::sleep;

use super::{id_of, timestamp, value_of};
use crate::history::{History, KEYED, RecordId};
use crate::properties::compacted::{self, Key};
use chance::Random;

/// Keys of each writer.
const KEYS: u64 = 6;
/// One record of so many deletes its key.
const TOMBSTONE_ONE_IN: u64 = 8;
/// How long a tombstone stays: longer than any replica is away, or a value would come back with it; and who takes longer to
/// read may have seen a value and miss that it was deleted.
pub const DELETE_RETENTION: Duration = Duration::from_secs(30);
/// How often a reader asks at most until it has read what there was.
const POLLS_MAX: usize = 200;

/// Writes and deletes its keys until it is told to stop. One record at a time: so the order of a key's records is known.
pub async fn write(client: Client, writer: u64, mut random: Random, history: History, stop: Arc<AtomicBool>) {
    let config = ProducerConfig { delivery_timeout: Duration::from_secs(15), ..ProducerConfig::default() };
    let producer = Producer::new(client, config);
    let mut next: RecordId = writer << 32;
    while !stop.load(Ordering::Relaxed) {
        next += 1;
        let key = writer << 32 | random.between(0, KEYS);
        let is_tombstone = random.one_in(TOMBSTONE_ONE_IN);
        let padding = usize::try_from(random.between(0, 400)).expect("it is small");
        let record = ProducerRecord {
            topic: KEYED.to_owned(),
            partition: Some(0),
            key: Some(Bytes::copy_from_slice(&key.to_be_bytes())),
            value: (!is_tombstone).then(|| value_of(next, padding)),
            timestamp: Some(timestamp(history.lock().now)),
            ..ProducerRecord::default()
        };
        history.lock().keyed.sent(key, next, is_tombstone);
        if let Ok(delivery) = producer.send(record).await {
            match delivery.wait().await {
                Ok(delivered) => history.lock().keyed.acknowledged(key, next, delivered.offset),
                Err(_) => history.lock().given_up += 1,
            }
        }
        sleep(Duration::from_millis(random.between(0, 60))).await;
    }
}

/// Reads everything from the beginning on, again and again, and compares it with what had been acknowledged before.
pub async fn read(client: Client, history: History, stop: Arc<AtomicBool>) {
    let admin = Admin::new(client.clone());
    let name = TopicPartitionName::new(KEYED, 0);
    while !stop.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(500)).await;
        let (began, before) = {
            let told = history.lock();
            (told.now, told.keyed.clone())
        };
        let Ok(ends) = admin.list_offsets(std::slice::from_ref(&name), OffsetSpec::Latest).await else {
            continue;
        };
        // A broker that is cut off may show an older end: not all that was acknowledged is before that.
        let is_stale = |end: &i64| *end <= before.last_offset();
        let Some(end) = ends.get(&name).map(|end| end.offset).filter(|end| !is_stale(end)) else { continue };
        let config = FetchConfig { reset: OffsetReset::Earliest, ..FetchConfig::default() };
        let mut fetcher = Fetcher::new(client.clone(), config);
        fetcher.assign(BTreeMap::from([(name.clone(), 0)]));
        let mut last: BTreeMap<Key, Option<RecordId>> = BTreeMap::new();
        let is_read = |fetcher: &Fetcher| fetcher.positions().get(&name).is_some_and(|next| *next >= end);
        for _ in 0..POLLS_MAX {
            match fetcher.poll().await {
                Ok(records) => last.extend(records.iter().filter_map(|record| {
                    Some((compacted::key_of(record.key.as_ref())?, id_of(record.value.as_ref())))
                })),
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
            if is_read(&fetcher) || stop.load(Ordering::Relaxed) {
                break;
            }
        }
        if is_read(&fetcher) {
            let mut told = history.lock();
            let told = &mut *told;
            if told.now >= began + DELETE_RETENTION {
                continue;
            }
            before.check(&told.keyed, &last, "a reader", &mut told.violations);
            told.keyed_reads += 1;
        }
    }
}
