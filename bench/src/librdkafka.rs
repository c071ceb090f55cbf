//! The second client: librdkafka, which is what most programs that are not written in Java use.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

const RECORD_BYTES: usize = 1024;
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Kafka takes half a minute for a thousand partitions where two cores are busy.
const CREATE_TIMEOUT: Duration = Duration::from_secs(300);

/// Waits until a broker answers a metadata request.
pub(crate) fn wait_until_answers(bootstrap: &str, timeout: Duration) -> Result<()> {
    wait_for(bootstrap, timeout, |metadata| !metadata.brokers().is_empty())
}

/// Waits until so many brokers are known.
pub(crate) fn wait_until_brokers(bootstrap: &str, brokers: usize, timeout: Duration) -> Result<()> {
    wait_for(bootstrap, timeout, |metadata| metadata.brokers().len() == brokers)
}

/// Waits until metadata is as it should be.
pub(crate) fn wait_for(bootstrap: &str, timeout: Duration, is_so: impl Fn(&Metadata) -> bool) -> Result<()> {
    let begun = Instant::now();
    let mut last = String::from("nobody answers");
    while begun.elapsed() < timeout {
        // A fresh client for each try: librdkafka backs off between dials of one client.
        let client: BaseConsumer = config(bootstrap).set("socket.timeout.ms", "10000").create()?;
        match client.fetch_metadata(None, Duration::from_secs(10)) {
            Ok(metadata) if is_so(&metadata) => return Ok(()),
            Ok(metadata) => last = describe(&metadata),
            Err(error) => last = error.to_string(),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    bail!("not what {bootstrap} should say after {timeout:?}: {last}")
}

fn describe(metadata: &Metadata) -> String {
    let partitions = |topic: &MetadataTopic| topic.partitions().len();
    let topics = metadata.topics().iter().map(|topic| format!("{} ({})", topic.name(), partitions(topic)));
    let topics: Vec<_> = topics.collect();
    format!("{} brokers, topics {}", metadata.brokers().len(), topics.join(", "))
}

/// Whether all partitions of all topics have a leader and all their replicas are in sync.
pub(crate) fn is_in_sync(metadata: &Metadata) -> bool {
    let partitions = || metadata.topics().iter().flat_map(MetadataTopic::partitions);
    partitions()
        .all(|partition| partition.leader() >= 0 && partition.isr().len() == partition.replicas().len())
}

/// A topic to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Topic<'a> {
    pub(crate) name: &'a str,
    pub(crate) partitions: i32,
    pub(crate) replicas: i32,
    pub(crate) configs: &'a [(&'a str, &'a str)],
}

/// Creates a topic whose files go away soon after it is deleted, and waits until it is led.
pub(crate) fn create(bootstrap: &str, topic: Topic<'_>) -> Result<()> {
    let mut new = NewTopic::new(topic.name, topic.partitions, TopicReplication::Fixed(topic.replicas))
        .set("file.delete.delay.ms", "1000");
    for (key, value) in topic.configs {
        new = new.set(key, value);
    }
    create_and_wait(bootstrap, &new)
}

/// Creates a topic of one partition on these brokers, the first of which will lead.
pub(crate) fn create_on(bootstrap: &str, name: &str, replicas: &[i32]) -> Result<()> {
    let assignment = [replicas];
    create_and_wait(bootstrap, &NewTopic::new(name, 1, TopicReplication::Variable(&assignment)))
}

fn create_and_wait(bootstrap: &str, new: &NewTopic<'_>) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = config(bootstrap).create()?;
    for result in block_on(admin.create_topics([new], &AdminOptions::new()))? {
        result.map_err(|(name, code)| anyhow::anyhow!("creating {name}: {code}"))?;
    }
    let is_there = |metadata: &Metadata| metadata.topics().iter().any(|topic| topic.name() == new.name);
    wait_for(bootstrap, CREATE_TIMEOUT, |metadata| is_there(metadata) && is_in_sync(metadata))
}

/// One replica.
pub(crate) fn create_topic(bootstrap: &str, name: &str, partitions: i32) -> Result<()> {
    create(bootstrap, Topic { name, partitions, replicas: 1, configs: &[] })
}

/// Deletes a topic.
pub(crate) fn delete_topic(bootstrap: &str, topic: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = config(bootstrap).create()?;
    for result in block_on(admin.delete_topics(&[topic], &AdminOptions::new()))? {
        result.map_err(|(name, code)| anyhow::anyhow!("deleting {name}: {code}"))?;
    }
    Ok(())
}

/// Produces 1 KiB records with acks=all and gives back MB per second, from the first send to the last delivery.
pub(crate) fn produce_mb_s(bootstrap: &str, topic: &str, records: u64) -> Result<f64> {
    let producer: BaseProducer<FailOnError> = config(bootstrap)
        .set("acks", "all")
        .set("linger.ms", "5")
        .set("batch.size", "65536")
        .set("queue.buffering.max.messages", "200000")
        .create_with_context(FailOnError)?;
    let payload = payload();
    let begun = Instant::now();
    for _ in 0..records {
        let mut record = BaseRecord::<(), [u8]>::to(topic).payload(&payload);
        while let Err((error, back)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error).context("send");
            }
            producer.poll(Duration::from_millis(1));
            record = back;
        }
    }
    producer.flush(STALL_TIMEOUT).context("flush")?;
    Ok(mb_s(records, begun.elapsed()))
}

/// Consumes a topic from the start and gives back MB per second, from the first record to the last.
pub(crate) fn consume_mb_s(bootstrap: &str, topic: &str, partitions: i32, records: u64) -> Result<f64> {
    let consumer: BaseConsumer = config(bootstrap)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("fetch.message.max.bytes", "1048576")
        .set("queued.max.messages.kbytes", "131072")
        .create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let mut begun = Instant::now();
    for seen in 0..records {
        let message = consumer.poll(STALL_TIMEOUT).context("no record in time")??;
        debug_assert_eq!(message.payload_len(), RECORD_BYTES);
        if seen == 0 {
            begun = Instant::now();
        }
    }
    Ok(mb_s(records, begun.elapsed()))
}

/// What all clients have in common.
pub(crate) fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config.set_log_level(rdkafka::config::RDKafkaLogLevel::Critical);
    config
}

/// Bytes that do not compress, as `ProducerPerformance` sends: a multiplicative generator with a fixed seed.
fn payload() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*state >> 56) as u8
    };
    (0..RECORD_BYTES).map(|_| next(&mut state)).collect()
}

fn mb_s(records: u64, elapsed: Duration) -> f64 {
    records as f64 * RECORD_BYTES as f64 / 1e6 / elapsed.as_secs_f64()
}

/// A failed delivery would make the rate a lie, so it ends the run.
struct FailOnError;

impl ClientContext for FailOnError {}

impl ProducerContext for FailOnError {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            panic!("delivery failed: {error}");
        }
    }
}
