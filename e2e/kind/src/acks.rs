//! A producer outside of the cluster that notes when each write was acknowledged: librdkafka over the brokers' node ports.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use k8s_openapi::jiff::Timestamp;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext};

/// Between two records of one partition, and for so long acknowledgements are taken as they come.
const PACE: Duration = Duration::from_millis(10);
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);
/// What one record of a filling weighs.
const FILLING_BYTES: usize = 16 * 1024;

/// A producer with acks=all that sends to each partition in turn until it is told to end.
#[derive(Debug)]
pub struct Acks {
    sender: JoinHandle<Result<Written>>,
    is_over: Arc<AtomicBool>,
}

/// What came of it.
#[derive(Debug)]
pub struct Written {
    /// Records, every one of which was acknowledged.
    pub sent: usize,
    /// The longest time between two acknowledgements of one partition.
    pub longest_gap: Duration,
    /// Which partition that was, and when it ended: where to look in the brokers' logs.
    pub longest_gap_ended: Option<(i32, Timestamp)>,
    /// The longest time between two acknowledgements of any partitions.
    pub longest_gap_of_all: Duration,
}

impl Acks {
    /// Begins to send, and returns once every partition has acknowledged.
    pub fn begin(bootstrap: &str, topic: &str, partitions: i32) -> Result<Acks> {
        let producer = producer(bootstrap)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (told, topic) = (Arc::clone(&is_over), topic.to_owned());
        for partition in 0..partitions {
            send(&producer, &topic, partition, "first")?;
        }
        producer.flush(DELIVERY_TIMEOUT).context("the first records")?;
        let sender = spawn(move || {
            let mut sent = partitions.unsigned_abs() as usize;
            while !told.load(Ordering::Relaxed) {
                for partition in 0..partitions {
                    send(&producer, &topic, partition, &format!("{sent:020}"))?;
                    sent += 1;
                }
                // Not a poll without time and then a sleep: that hands over one delivery report, and the others wait.
                producer.poll(PACE);
            }
            producer.flush(DELIVERY_TIMEOUT).context("the last records")?;
            producer.context().seen().outcome(sent)
        });
        Ok(Acks { sender, is_over })
    }

    /// Stops; fails if a record was not delivered.
    pub fn end(self) -> Result<Written> {
        self.is_over.store(true, Ordering::Relaxed);
        self.sender.join().map_err(|_| anyhow!("the sender panicked"))?
    }
}

/// Writes so many bytes to a topic, over its partitions, and returns when all are acknowledged.
pub fn fill(bootstrap: &str, topic: &str, partitions: i32, bytes: usize) -> Result<()> {
    let producer = producer(bootstrap)?;
    // What does not compress: the data is to be as large as it says.
    let value: String = (0..FILLING_BYTES).map(|at| char::from(b'!' + (at * at % 89) as u8)).collect();
    let records = bytes / FILLING_BYTES;
    for record in 0..records {
        let partition = i32::try_from(record % partitions.unsigned_abs() as usize)?;
        send(&producer, topic, partition, &value)?;
        producer.poll(Duration::ZERO);
    }
    producer.flush(Duration::from_secs(120)).context("filling")?;
    producer.context().seen().outcome(records).map(drop)
}

fn producer(bootstrap: &str) -> Result<BaseProducer<Deliveries>> {
    let delivery = DELIVERY_TIMEOUT.as_millis().to_string();
    let config = [
        ("bootstrap.servers", bootstrap),
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("linger.ms", "0"),
        ("message.timeout.ms", &delivery),
        ("retry.backoff.ms", "20"),
        ("retry.backoff.max.ms", "100"),
        ("reconnect.backoff.ms", "20"),
        ("reconnect.backoff.max.ms", "200"),
        ("socket.timeout.ms", "1000"),
    ];
    let mut client = ClientConfig::new();
    for (key, value) in config {
        client.set(key, value);
    }
    client.set_log_level(RDKafkaLogLevel::Critical);
    Ok(client.create_with_context(Deliveries::default())?)
}

/// Waits while the queue is full.
fn send(producer: &BaseProducer<Deliveries>, topic: &str, partition: i32, value: &str) -> Result<()> {
    loop {
        let record = BaseRecord::<(), str>::to(topic).partition(partition).payload(value);
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                producer.poll(Duration::from_millis(10));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// What came back.
#[derive(Debug, Default)]
struct Deliveries(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// The last acknowledgement of each partition.
    last: BTreeMap<i32, Instant>,
    longest_gap: Duration,
    longest_gap_ended: Option<(i32, Timestamp)>,
    last_of_all: Option<Instant>,
    longest_gap_of_all: Duration,
    acknowledged: usize,
    failures: Vec<String>,
}

impl Deliveries {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn acknowledged(&mut self, partition: i32, now: Instant) {
        self.acknowledged += 1;
        if let Some(last) = self.last.insert(partition, now)
            && now - last > self.longest_gap
        {
            self.longest_gap = now - last;
            self.longest_gap_ended = Some((partition, Timestamp::now()));
        }
        if let Some(last) = self.last_of_all.replace(now) {
            self.longest_gap_of_all = self.longest_gap_of_all.max(now - last);
        }
    }

    fn outcome(&self, sent: usize) -> Result<Written> {
        let first: Vec<_> = self.failures.iter().take(3).collect();
        ensure!(self.failures.is_empty(), "{} of {sent} records failed: {first:?}", self.failures.len());
        ensure!(self.acknowledged == sent, "{sent} records sent, {} acknowledged", self.acknowledged);
        Ok(Written {
            sent,
            longest_gap: self.longest_gap,
            longest_gap_ended: self.longest_gap_ended,
            longest_gap_of_all: self.longest_gap_of_all,
        })
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut seen = self.seen();
        match result {
            Ok(message) => seen.acknowledged(message.partition(), Instant::now()),
            Err((error, _)) => seen.failures.push(error.to_string()),
        }
    }
}
