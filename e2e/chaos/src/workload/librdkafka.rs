//! librdkafka: idempotent producers with acks=all over all partitions, and a consumer group that commits as it goes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use super::{FLUSHED, LIBRDKAFKA, PARTITIONS, PLAIN, Stop};
use crate::ledger::{Ledger, Part, RecordId};
use chance::Random;

/// Longer than any fault: a record that was not delivered by then is a failure.
const DELIVERY_TIMEOUT_MS: &str = "120000";
const COMMIT_INTERVAL: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(5);

/// What all clients have. Timeouts are short because the faults are: the defaults of a minute would outlast the run.
fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("socket.timeout.ms", "5000")
        .set("socket.connection.setup.timeout.ms", "2000")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "500")
        .set("retry.backoff.ms", "20")
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set_log_level(RDKafkaLogLevel::Critical);
    config
}

/// Creates both topics with three replicas.
pub fn create_topics(bootstrap: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = config(bootstrap).create()?;
    let topic = |name| {
        NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(3))
            .set("min.insync.replicas", "2")
            .set("segment.bytes", "1048576")
    };
    let topics = [topic(PLAIN), topic(FLUSHED).set("flush.messages", "1")];
    for result in block_on(admin.create_topics(&topics, &AdminOptions::new()))? {
        result.map_err(|(name, code)| anyhow::anyhow!("creating {name}: {code}"))?;
    }
    Ok(())
}

/// Notes what is delivered.
struct Deliveries {
    ledger: Ledger,
    producer: u32,
    log: Mutex<Option<File>>,
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        // A producer that cannot go on says so here; that nobody can be reached for a while is no news.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.ledger.lock().violation(format!("librdkafka producer {}: {error}: {reason}", self.producer));
        }
    }

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some(log) = self.log.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            let _ = writeln!(log, "{} {facility} {message}", clock());
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<u64>) {
        let id = RecordId { producer: self.producer, number: *number };
        let mut told = self.ledger.lock();
        match result {
            Ok(message) => {
                told.acknowledged((message.topic().to_owned(), message.partition()), message.offset(), id);
            }
            Err((error, _)) => told.violation(format!("delivery: {id:?} failed: {error}")),
        }
    }
}

/// The time of day in UTC, as nodes write it into their logs.
fn clock() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs() % (24 * 60 * 60);
    format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, since.subsec_micros())
}

/// Sends until it is told to stop, and then until everything is delivered. Writes down what librdkafka does, if there is where
/// to.
pub fn produce(
    bootstrap: &str,
    producer_number: u32,
    mut random: Random,
    ledger: &Ledger,
    log: Option<File>,
    stop: &Stop,
) {
    let mut config = config(bootstrap);
    if log.is_some() {
        config.set("debug", "eos,msg,topic").set_log_level(RDKafkaLogLevel::Debug);
    }
    let context = Deliveries { ledger: ledger.clone(), producer: producer_number, log: Mutex::new(log) };
    let producer: BaseProducer<Deliveries> = config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "5")
        .set("message.timeout.ms", DELIVERY_TIMEOUT_MS)
        .set("request.timeout.ms", "5000")
        .create_with_context(context)
        .expect("the configuration is ours");
    let mut number = 0;
    while !stop.is_set() {
        for _ in 0..random.between(1, 12) {
            let topic = if random.one_in(2) { PLAIN } else { FLUSHED };
            let partition =
                i32::try_from(random.index(PARTITIONS.unsigned_abs() as usize)).expect("it is small");
            let padding = "x".repeat(random.index(300));
            let value = format!("{producer_number}.{number} {padding}");
            let record = BaseRecord::<(), str, Box<u64>>::with_opaque_to(topic, Box::new(number))
                .partition(partition)
                .payload(&value);
            // A full queue is one that waits for a leader: the number is used again.
            if producer.send(record).is_ok() {
                number += 1;
            }
        }
        producer.poll(Duration::from_millis(random.between(1, 20)));
    }
    if let Err(error) = producer.flush(Duration::from_secs(120)) {
        ledger.lock().violation(format!("delivery: producer {producer_number} could not flush: {error}"));
    }
}

/// One member of the group; reads, commits and reads back what is committed until it is told to stop.
pub fn consume(bootstrap: &str, ledger: &Ledger, stop: &Stop) {
    let consumer: BaseConsumer = config(bootstrap)
        .set("group.id", LIBRDKAFKA)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "500")
        .set("check.crcs", "true")
        .create()
        .expect("the configuration is ours");
    consumer.subscribe(&[PLAIN, FLUSHED]).expect("they are names");
    let mut next: BTreeMap<Part, i64> = BTreeMap::new();
    let mut committed_at = Instant::now();
    while !stop.is_set() {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
            let part = (message.topic().to_owned(), message.partition());
            let mut told = ledger.lock();
            match message.payload().and_then(RecordId::parse) {
                Some(id) => told.read(LIBRDKAFKA, part.clone(), message.offset(), id),
                None => told.violation(format!("{part:?} gave a strange record at {}", message.offset())),
            }
            next.insert(part, message.offset() + 1);
        }
        if committed_at.elapsed() >= COMMIT_INTERVAL {
            commit(&consumer, &mut next, ledger);
            committed_at = Instant::now();
        }
    }
}

fn commit(consumer: &BaseConsumer, next: &mut BTreeMap<Part, i64>, ledger: &Ledger) {
    // What was taken away meanwhile is another's to commit.
    let Ok(assigned) = consumer.assignment() else { return };
    let owned = |part: &Part| assigned.find_partition(&part.0, part.1).is_some();
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in std::mem::take(next).into_iter().filter(|(part, _)| owned(part)) {
        list.add_partition_offset(&topic, partition, Offset::Offset(offset))
            .expect("offsets are not negative");
    }
    if list.count() == 0 {
        return;
    }
    let is_committed = consumer.commit(&list, CommitMode::Sync).is_ok();
    let mut told = ledger.lock();
    for (part, offset) in offsets(&list) {
        match is_committed {
            true => told.committed(LIBRDKAFKA, part, offset),
            false => told.uncertain_commit(LIBRDKAFKA, part, offset),
        }
    }
    drop(told);
    let _ = read_back(consumer, LIBRDKAFKA, &list, ledger);
}

/// Compares what a group has committed with what it was told.
pub fn check_committed(bootstrap: &str, group: &'static str, ledger: &Ledger) -> Result<()> {
    let consumer: BaseConsumer = config(bootstrap).set("group.id", group).create()?;
    let mut list = TopicPartitionList::new();
    for topic in [PLAIN, FLUSHED] {
        list.add_partition_range(topic, 0, PARTITIONS - 1);
    }
    read_back(&consumer, group, &list, ledger)
}

fn read_back(
    consumer: &BaseConsumer,
    group: &'static str,
    list: &TopicPartitionList,
    ledger: &Ledger,
) -> Result<()> {
    let told = ledger.lock();
    let parts = list.elements().into_iter().map(|element| (element.topic().to_owned(), element.partition()));
    let acknowledged: BTreeMap<Part, i64> =
        parts.map(|part| (part.clone(), told.committed_of(group, &part))).collect();
    drop(told);
    let mut asked = TopicPartitionList::new();
    for (topic, partition) in acknowledged.keys() {
        asked.add_partition(topic, *partition);
    }
    let read = consumer.committed_offsets(asked, PATIENCE).context("committed offsets")?;
    let mut told = ledger.lock();
    for element in read.elements() {
        let part = (element.topic().to_owned(), element.partition());
        match (element.error(), element.offset()) {
            (Ok(()), Offset::Offset(offset)) => {
                told.committed_read(group, &part, offset, acknowledged[&part])
            }
            (Ok(()), Offset::Invalid) => told.committed_read(group, &part, 0, acknowledged[&part]),
            _ => {}
        }
    }
    Ok(())
}

fn offsets(list: &TopicPartitionList) -> Vec<(Part, i64)> {
    let entry = |element: &TopicPartitionListElem<'_>| {
        let offset = element.offset().to_raw().unwrap_or(-1);
        ((element.topic().to_owned(), element.partition()), offset)
    };
    list.elements().iter().map(entry).collect()
}

/// Who leads a partition, as some broker says.
pub fn leader(bootstrap: &str, topic: &str, partition: i32) -> Option<usize> {
    let consumer: BaseConsumer = config(bootstrap).set("socket.timeout.ms", "1000").create().ok()?;
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(1)).ok()?;
    let partitions = metadata.topics().first()?.partitions();
    let leader = partitions.iter().find(|known| known.id() == partition)?.leader();
    usize::try_from(leader).ok()
}

/// Looks who leads, again and again, and counts how often that changed.
pub fn watch_leaders(bootstrap: &str, ledger: &Ledger, stop: &Stop) {
    let consumer: BaseConsumer =
        config(bootstrap).set("socket.timeout.ms", "1000").create().expect("the configuration is ours");
    let mut leaders: BTreeMap<Part, i32> = BTreeMap::new();
    while !stop.is_set() {
        if let Ok(metadata) = consumer.fetch_metadata(None, Duration::from_secs(1)) {
            let topics = metadata.topics().iter().filter(|topic| [PLAIN, FLUSHED].contains(&topic.name()));
            for (topic, partition) in
                topics.flat_map(|topic| topic.partitions().iter().map(move |p| (topic, p)))
            {
                let part = (topic.name().to_owned(), partition.id());
                if partition.leader() >= 0
                    && leaders
                        .insert(part, partition.leader())
                        .is_some_and(|former| former != partition.leader())
                {
                    ledger.lock().leader_changes += 1;
                }
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
