//! A topic that is created, written, read, deleted, and created again under the same name. What is read of it is what was
//! written to this one, all of it, and nothing of those before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::admin::{NewTopic, OffsetSpec, TopicPartitionName};
use client::consumer::{FetchConfig, Fetcher, OffsetReset};
use client::producer::{Producer, ProducerConfig, ProducerRecord};
use client::{Admin, Client};
use tokio::time::sleep;
use types::TopicId;

use super::{id_of, timestamp, value_of};
use crate::history::{History, RecordId};
use chance::Random;

/// The name that is used again and again.
const NAME: &str = "fleeting";
/// How often something is asked at most before it is tried anew.
const ATTEMPTS_MAX: usize = 100;
/// Longer than any broker is cut off.
const PATIENCE: Duration = Duration::from_secs(30);

/// One life after the other until it is told to stop.
pub async fn live(client: Client, mut random: Random, history: History, stop: Arc<AtomicBool>) {
    let mut life: u64 = 0;
    let mut former = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        life += 1;
        let Some(topic) = create(&client, &former, &stop).await else { return };
        former.insert(topic);
        let written = write(&client, life, &mut random, &history).await;
        check(&client, life, &written, &history, &stop).await;
        delete(&client, topic, &stop).await;
    }
}

/// Creates it, and answers its identity once it is another than before.
async fn create(client: &Client, former: &BTreeSet<TopicId>, stop: &AtomicBool) -> Option<TopicId> {
    let new = NewTopic {
        name: NAME.to_owned(),
        partitions: Some(1),
        replication_factor: Some(3),
        configs: [("min.insync.replicas", "2"), ("flush.messages", "1")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    };
    while !stop.load(Ordering::Relaxed) {
        let result = Admin::new(client.clone()).create_topic(&new).await;
        if let Some(id) = known_id(client).await.filter(|id| !former.contains(id)) {
            return Some(id);
        }
        tracing::debug!(?result, "creating a topic again");
        sleep(Duration::from_millis(100)).await;
    }
    None
}

async fn known_id(client: &Client) -> Option<TopicId> {
    let metadata = client.refresh(&[NAME]).await.ok()?;
    metadata.topic(NAME).ok().map(|topic| topic.topic_id)
}

/// What was acknowledged of a life.
#[derive(Debug, Default)]
struct Written {
    ids: BTreeSet<RecordId>,
    /// The largest offset that was told.
    last: i64,
}

/// Writes some records. Each life has a producer of its own.
async fn write(client: &Client, life: u64, random: &mut Random, history: &History) -> Written {
    let config = ProducerConfig { delivery_timeout: Duration::from_secs(5), ..ProducerConfig::default() };
    let producer = Producer::new(client.clone(), config);
    let mut written = Written { last: -1, ..Written::default() };
    for number in 0..random.between(1, 40) {
        let id = life << 32 | number;
        let record = ProducerRecord {
            topic: NAME.to_owned(),
            partition: Some(0),
            value: Some(value_of(id, 0)),
            timestamp: Some(timestamp(history.lock().now)),
            ..ProducerRecord::default()
        };
        let Ok(delivery) = producer.send(record).await else { continue };
        if let Ok(delivered) = delivery.wait().await {
            written.ids.insert(id);
            // One that is not told is after those before it.
            written.last = if delivered.offset < 0 { written.last + 1 } else { delivered.offset };
        }
    }
    written
}

/// Reads it until it is right. A broker that is cut off may show an older state for as long as it is; what stays wrong is
/// wrong.
async fn check(client: &Client, life: u64, written: &Written, history: &History, stop: &AtomicBool) {
    let began = history.lock().now;
    let mut wrong = Vec::new();
    while !stop.load(Ordering::Relaxed) && history.lock().now < began + PATIENCE {
        if let Some(read) = read(client, written.last, stop).await {
            wrong = judge(life, written, &read);
            if wrong.is_empty() {
                history.lock().lives += 1;
                return;
            }
        }
        sleep(Duration::from_millis(500)).await;
    }
    if !stop.load(Ordering::Relaxed) {
        history.lock().violations.append(&mut wrong);
    }
}

/// All that can be read, if the end could be reached.
async fn read(client: &Client, last: i64, stop: &AtomicBool) -> Option<BTreeMap<i64, Option<RecordId>>> {
    let name = TopicPartitionName::new(NAME, 0);
    let mut fetcher =
        Fetcher::new(client.clone(), FetchConfig { reset: OffsetReset::Earliest, ..FetchConfig::default() });
    fetcher.assign(BTreeMap::from([(name.clone(), 0)]));
    let mut end = None;
    let mut read = BTreeMap::new();
    for _ in 0..ATTEMPTS_MAX {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        if end.is_none() {
            let ends = Admin::new(client.clone())
                .list_offsets(std::slice::from_ref(&name), OffsetSpec::Latest)
                .await;
            end = ends.ok().and_then(|ends| ends.get(&name).map(|end| end.offset));
        }
        match (end, fetcher.positions().get(&name)) {
            (Some(end), Some(next)) if *next >= end => return (end > last).then_some(read),
            _ => {}
        }
        match fetcher.poll().await {
            Ok(records) => {
                read.extend(records.iter().map(|record| (record.offset, id_of(record.value.as_ref()))));
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    None
}

fn judge(life: u64, written: &Written, read: &BTreeMap<i64, Option<RecordId>>) -> Vec<String> {
    let found: BTreeSet<RecordId> = read.values().flatten().copied().collect();
    let missing = written.ids.difference(&found);
    let missing = missing.map(|id| format!("re-created: {id:x} is missing from life {life} of a topic"));
    let strange = found.iter().filter(|id| *id >> 32 != life);
    let strange = strange.map(|id| format!("re-created: {id:x} has come back in life {life} of a topic"));
    missing.chain(strange).collect()
}

/// Until it is gone.
async fn delete(client: &Client, topic: TopicId, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let result = Admin::new(client.clone()).delete_topic(NAME).await;
        if result.is_ok() || known_id(client).await.is_some_and(|id| id != topic) {
            return;
        }
        if result.as_ref().is_err_and(|error| error.code() == Some(types::ErrorCode::UnknownTopicOrPartition))
        {
            return;
        }
        tracing::debug!(?result, "deleting a topic again");
        sleep(Duration::from_millis(100)).await;
    }
}
