//! Clients: idempotent producers that note what is acknowledged, and consumers that note what they are given.

pub mod chores;
pub mod fleeting;
pub mod keyed;
pub mod trim;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use client::admin::{NewTopic, OffsetToCommit, TopicPartitionName};
use client::consumer::{FetchConfig, Fetcher, OffsetReset};
use client::producer::{Producer, ProducerConfig, ProducerRecord};
use client::{Admin, Client};
use tokio::time::sleep;
use types::Timestamp;

use crate::history::{FLUSHED, History, KEYED, PLAIN, Part, RecordId, TRIMMED};
use crate::world::EPOCH_MS;
use chance::Random;

/// Partitions of each topic.
pub const PARTITIONS: i32 = 2;

/// How long a coordinator may be cut off from the others, and take to hear of them again.
const CUT_OFF_MAX: Duration = Duration::from_secs(20);

/// The group whose offsets are committed.
const GROUP: &str = "group";

/// All partitions whose replicas hold the same bytes.
pub fn parts() -> impl Iterator<Item = Part> {
    let wide = [FLUSHED, PLAIN].into_iter();
    wide.flat_map(|topic| (0..PARTITIONS).map(move |partition| (topic, partition))).chain([(TRIMMED, 0)])
}

/// All partitions that are there from the beginning to the end.
pub fn all_parts() -> impl Iterator<Item = Part> {
    parts().chain([(KEYED, 0)])
}

/// A record's value: who it is, and something to fill a sector now and then.
pub fn value_of(id: RecordId, padding: usize) -> Bytes {
    let mut value = id.to_be_bytes().to_vec();
    value.resize(8 + padding, 0x7e);
    value.into()
}

/// Which record a value belongs to.
pub fn id_of(value: Option<&Bytes>) -> Option<RecordId> {
    Some(u64::from_be_bytes(*value?.first_chunk()?))
}

/// What a right clock shows at a time of the simulation.
pub fn timestamp(now: Duration) -> Timestamp {
    Timestamp(EPOCH_MS + i64::try_from(now.as_millis()).unwrap_or(0))
}

/// The topics that are there from the beginning to the end.
fn topics(has_unclean_elections: bool) -> [NewTopic; 4] {
    let topic = |name: &str, partitions: i32, configs: &[(&str, &str)]| {
        let configs = [("min.insync.replicas", "2"), ("segment.bytes", "1048576")]
            .iter()
            .chain(has_unclean_elections.then_some(&("unclean.leader.election.enable", "true")))
            .chain(configs);
        NewTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            replication_factor: Some(3),
            configs: configs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }
    };
    // Small segments, so that there is something to compact; and a tombstone goes soon after.
    let retention = keyed::DELETE_RETENTION.as_millis().to_string();
    let keyed = [
        ("cleanup.policy", "compact"),
        ("flush.messages", "1"),
        ("segment.ms", "3000"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", retention.as_str()),
    ];
    [
        topic(FLUSHED, PARTITIONS, &[("flush.messages", "1")]),
        topic(PLAIN, PARTITIONS, &[]),
        topic(TRIMMED, 1, &[("flush.messages", "1")]),
        topic(KEYED, 1, &keyed),
    ]
}

/// Creates the topics, again and again until they are there.
pub async fn create_topics(client: Client, has_unclean_elections: bool) {
    let admin = Admin::new(client.clone());
    for new in topics(has_unclean_elections) {
        loop {
            let result = admin.create_topic(&new).await;
            let known = client.refresh(&[new.name.as_str()]).await;
            if known.is_ok_and(|metadata| metadata.topic(&new.name).is_ok()) {
                break;
            }
            tracing::debug!(?result, "creating a topic again");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Sends until it is told to stop.
pub async fn produce(
    client: Client,
    producer_number: u64,
    mut random: Random,
    history: History,
    stop: Arc<AtomicBool>,
) {
    let config = ProducerConfig { delivery_timeout: Duration::from_secs(15), ..ProducerConfig::default() };
    let producer = Producer::new(client, config);
    let parts: Vec<Part> = parts().collect();
    let mut next: RecordId = producer_number << 32;
    while !stop.load(Ordering::Relaxed) {
        let part = *random.pick(&parts);
        let sent = history.lock().now;
        let mut waiting = Vec::new();
        for _ in 0..random.between(1, 6) {
            next += 1;
            let padding = usize::try_from(random.between(0, 400)).expect("it is small");
            let record = ProducerRecord {
                topic: part.0.to_owned(),
                partition: Some(part.1),
                value: Some(value_of(next, padding)),
                timestamp: Some(timestamp(sent)),
                ..ProducerRecord::default()
            };
            if let Ok(delivery) = producer.send(record).await {
                waiting.push((next, delivery));
            }
        }
        for (id, delivery) in waiting {
            match delivery.wait().await {
                Ok(delivered) => history.lock().acknowledged(part, delivered.offset, id, sent),
                Err(_) => history.lock().given_up += 1,
            }
        }
        sleep(Duration::from_millis(random.between(0, 80))).await;
    }
}

/// Reads everything from the beginning on, until it is told to stop.
pub async fn consume(client: Client, history: History, stop: Arc<AtomicBool>) {
    let config = FetchConfig { reset: OffsetReset::Earliest, ..FetchConfig::default() };
    let mut fetcher = Fetcher::new(client, config);
    let name = |(topic, partition): Part| TopicPartitionName { topic: topic.to_owned(), partition };
    fetcher.assign(parts().map(|part| (name(part), 0)).collect());
    while !stop.load(Ordering::Relaxed) {
        let since = history.lock().now;
        match fetcher.poll().await {
            Ok(records) => {
                let mut told = history.lock();
                for record in records {
                    let part = parts().find(|part| *part.0 == *record.topic && part.1 == record.partition);
                    if let (Some(part), Some(id)) = (part, id_of(record.value.as_ref())) {
                        told.read(part, record.offset, id, since);
                    }
                }
            }
            Err(error) => {
                tracing::debug!(%error, "consuming again");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Commits ever higher offsets of a group and reads them back, until it is told to stop. The client must not retry: a
/// commit that was sent twice may come true twice, the second time after others. A coordinator that is cut off does not
/// know that another one took its place, and shows old offsets, as Kafka's does: what is read too low is read again, and
/// nothing is committed meanwhile, so that what is lost stays lost.
pub async fn commit(client: Client, history: History, stop: Arc<AtomicBool>) {
    let admin = Admin::new(client);
    let partition = TopicPartitionName { topic: PLAIN.to_owned(), partition: 0 };
    let (mut sent, mut acknowledged) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        sent += 1;
        let offset = OffsetToCommit { partition: partition.clone(), offset: sent, leader_epoch: -1 };
        let began = history.lock().now;
        let result = admin.commit_offsets(GROUP, &[offset]).await;
        history.lock().committed(sent, began, result.is_ok());
        if result.is_ok() {
            acknowledged = sent;
        }
        let asked = history.lock().now;
        let mut is_doubtful = false;
        loop {
            match admin.committed_offsets(GROUP).await {
                Ok(offsets) => {
                    let read = offsets.get(&partition).map_or(0, |committed| committed.offset.max(0));
                    let mut told = history.lock();
                    let is_last = told.now > asked + CUT_OFF_MAX;
                    if told.committed_read(read, acknowledged, sent, is_last) {
                        break;
                    }
                    is_doubtful = true;
                }
                Err(_) if is_doubtful => {}
                Err(_) => break,
            }
            sleep(Duration::from_millis(50)).await;
        }
        sleep(Duration::from_millis(50)).await;
    }
}
