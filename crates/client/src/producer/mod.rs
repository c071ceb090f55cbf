//! Producing: records are batched per partition, sent by one task a partition, and every one of them is answered.
//!
//! **Invariant:** a partition has one batch on its way at a time. Order and exactly-once sequence numbers follow from
//! that, and records that come meanwhile make the next batch fuller.

mod partitioner;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use record::{Compression, RecordHeader};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use types::Timestamp;

pub use partitioner::partition_for_key;

use crate::{Client, Error};
use partitioner::Sticky;
use worker::{Queued, Worker};

/// When the broker answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Never: a lost record is not noticed.
    None,
    /// Once the leader has the record.
    Leader,
    /// Once every replica in sync has it.
    All,
}

/// How a producer batches and how patient it is.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// When the broker answers.
    pub acks: Acks,
    /// How batches are compressed.
    pub compression: Compression,
    /// Whether a retry can never write a record twice. Needs acks of all replicas.
    pub is_idempotent: bool,
    /// A batch of this size is sent at once.
    pub batch_bytes: usize,
    /// How long a batch that is not full waits for more.
    pub linger: Duration,
    /// Time for a record to be acknowledged, retries included.
    pub delivery_timeout: Duration,
    /// Records of one partition that wait to be sent; more make the caller wait.
    pub queued_records_max: usize,
}

/// A record to send.
#[derive(Clone, Debug, Default)]
pub struct ProducerRecord {
    /// The topic.
    pub topic: String,
    /// The partition; `None` lets the key decide, as in Kafka's own producer.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; `None` deletes the key from a compacted topic.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Vec<RecordHeader>,
    /// The time; `None` is now.
    pub timestamp: Option<Timestamp>,
}

/// Where a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The partition.
    pub partition: i32,
    /// The offset; -1 without acks, or when a retry found the record there already.
    pub offset: i64,
}

/// A record on its way.
#[derive(Debug)]
pub struct Delivery(oneshot::Receiver<Result<Delivered, Arc<Error>>>);

/// Sends records. Dropping it abandons what is not sent: call [`Producer::close`].
#[derive(Debug)]
pub struct Producer {
    client: Client,
    config: Arc<ProducerConfig>,
    identity: worker::SharedIdentity,
    state: Mutex<State>,
    unsent: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    workers: BTreeMap<(String, i32), mpsc::Sender<Queued>>,
    sticky: BTreeMap<String, Sticky>,
    tasks: JoinSet<()>,
}

impl Default for ProducerConfig {
    fn default() -> ProducerConfig {
        ProducerConfig {
            acks: Acks::All,
            compression: Compression::None,
            is_idempotent: true,
            batch_bytes: 128 << 10,
            linger: Duration::from_millis(5),
            delivery_timeout: Duration::from_secs(120),
            queued_records_max: 10_000,
        }
    }
}

impl ProducerRecord {
    /// About what it takes in a batch.
    pub(crate) fn size(&self) -> usize {
        let field = |field: &Option<Bytes>| field.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter().map(|header| header.key.len() + field(&header.value) + 4);
        field(&self.key) + field(&self.value) + headers.sum::<usize>() + 16
    }
}

impl Delivery {
    /// Waits until the record is acknowledged or given up. Records of one batch fail for one reason, which they share.
    pub async fn wait(self) -> Result<Delivered, Arc<Error>> {
        let abandoned =
            || Arc::new(Error::Invalid("the producer was dropped before it sent this record".to_owned()));
        self.0.await.unwrap_or_else(|_| Err(abandoned()))
    }
}

impl Producer {
    /// Sends through this client.
    pub fn new(client: Client, config: ProducerConfig) -> Producer {
        Producer {
            client,
            identity: worker::SharedIdentity::default(),
            config: Arc::new(config),
            state: Mutex::default(),
            unsent: watch::channel(0).0,
        }
    }

    /// Queues a record. Waits while its partition's queue is full.
    pub async fn send(&self, record: ProducerRecord) -> Result<Delivery, Error> {
        let partitions = self.partition_count(&record.topic).await?;
        let mut state = self.state.lock().await;
        let partition = self.partition(&mut state, &record, partitions)?;
        let queue = self.queue(&mut state, &record.topic, partition);
        drop(state);
        let (answer, waiting) = oneshot::channel();
        self.unsent.send_modify(|count| *count += 1);
        let queued = Queued { record, answer, at: Instant::now(), unsent: self.unsent.clone() };
        let stopped = |_| Error::Invalid("the producer is closed".to_owned());
        queue.send(queued).await.map_err(stopped)?;
        Ok(Delivery(waiting))
    }

    /// Waits until everything that was queued is acknowledged or given up.
    pub async fn flush(&self) {
        let mut unsent = self.unsent.subscribe();
        // The sender lives as long as `self`, so that this waits for the condition only.
        let _ = unsent.wait_for(|&count| count == 0).await;
    }

    /// Sends what is queued, and ends.
    pub async fn close(self) {
        self.flush().await;
        let mut state = self.state.into_inner();
        state.workers.clear();
        while state.tasks.join_next().await.is_some() {}
    }

    /// Asks for the topic, and where brokers create topics on demand waits until it is there.
    async fn partition_count(&self, topic: &str) -> Result<usize, Error> {
        const PAUSE: Duration = Duration::from_millis(100);
        const ATTEMPTS: usize = 30;
        for _ in 0..ATTEMPTS {
            let names = [topic];
            let metadata = self.client.retry(|| self.client.metadata(&names)).await?;
            match metadata.topic(topic) {
                Ok(found) if !found.partitions.is_empty() => return Ok(found.partitions.len()),
                Ok(_) => {}
                Err(error) if error.is_retriable() => {}
                Err(Error::UnknownTopic { .. }) => {
                    let metadata = self.client.refresh_or_create(topic).await?;
                    if metadata.topic(topic).is_ok_and(|topic| !topic.partitions.is_empty()) {
                        continue;
                    }
                }
                Err(error) => return Err(error),
            }
            sleep(PAUSE).await;
        }
        Err(Error::UnknownTopic { topic: topic.to_owned() })
    }

    fn partition(&self, state: &mut State, record: &ProducerRecord, partitions: usize) -> Result<i32, Error> {
        match (record.partition, &record.key) {
            (Some(partition), _) if usize::try_from(partition).is_ok_and(|index| index < partitions) => {
                Ok(partition)
            }
            (Some(partition), _) => {
                Err(Error::UnknownPartition { topic: record.topic.clone(), partition, count: partitions })
            }
            (None, Some(key)) => Ok(partition_for_key(key, partitions)),
            (None, None) => {
                if !state.sticky.contains_key(&record.topic) {
                    state.sticky.insert(record.topic.clone(), Sticky::new());
                }
                let sticky = state.sticky.get_mut(&record.topic).expect("was just put there");
                Ok(sticky.next(record.size(), self.config.batch_bytes, partitions))
            }
        }
    }

    fn queue(&self, state: &mut State, topic: &str, partition: i32) -> mpsc::Sender<Queued> {
        let key = (topic.to_owned(), partition);
        if let Some(queue) = state.workers.get(&key) {
            return queue.clone();
        }
        let (queue, records) = mpsc::channel(self.config.queued_records_max.max(1));
        let worker =
            Worker::new(self.client.clone(), self.config.clone(), self.identity.clone(), key.clone());
        state.tasks.spawn(worker.run(records));
        state.workers.insert(key, queue.clone());
        queue
    }
}
