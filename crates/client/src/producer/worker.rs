//! The task of one partition: takes queued records, makes a batch, sends it until it is acknowledged or its time is over.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::{InitProducerIdRequest, ProduceRequest};
use protocol::{Records, Utf8Bytes};
use record::BatchBuilder;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};
use types::{ErrorCode, ProducerEpoch, ProducerId, Sequence, Timestamp};

use super::{Acks, Delivered, ProducerConfig, ProducerRecord};
use crate::{BrokerError, Client, Error, Purpose};

/// The last version that names topics; later ones need an id, which old brokers do not tell.
const PRODUCE_BY_NAME_MAX: i16 = 12;

/// A record that waits to be sent.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) record: ProducerRecord,
    pub(super) answer: oneshot::Sender<Result<Delivered, Arc<Error>>>,
    pub(super) at: Instant,
    pub(super) unsent: watch::Sender<usize>,
}

/// Who writes, for deduplication.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    id: ProducerId,
    epoch: ProducerEpoch,
}

/// The identity that all partitions share until one of them has to leave it.
pub(super) type SharedIdentity = Arc<Mutex<Option<Identity>>>;

/// One partition's state.
#[derive(Debug)]
pub(super) struct Worker {
    client: Client,
    config: Arc<ProducerConfig>,
    shared: SharedIdentity,
    own: Option<Identity>,
    topic: String,
    partition: i32,
    next_sequence: Sequence,
    /// A batch was given up and may have been written or not: its sequence numbers cannot be used again.
    is_uncertain: bool,
}

impl Worker {
    pub(super) fn new(
        client: Client,
        config: Arc<ProducerConfig>,
        shared: SharedIdentity,
        (topic, partition): (String, i32),
    ) -> Worker {
        let next_sequence = Sequence(0);
        Worker { client, config, shared, own: None, topic, partition, next_sequence, is_uncertain: false }
    }

    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Queued>) {
        while let Some(first) = queue.recv().await {
            let batch = self.collect(first, &mut queue).await;
            self.settle(batch).await;
        }
    }

    /// Delivers a batch and answers its records. A batch that is too large for the topic goes in halves, until each part
    /// fits or is the one record that does not.
    async fn settle(&mut self, batch: Vec<Queued>) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            let result = Box::pin(self.deliver(&part)).await.map_err(Arc::new);
            if part.len() > 1 && result.as_ref().is_err_and(|error| is_too_large(error)) {
                // The first half is on top: records keep their order.
                parts.push(part.split_off(part.len() / 2));
                parts.push(part);
                continue;
            }
            if result.is_err() {
                self.is_uncertain = true;
            }
            answer(part, &result);
        }
    }

    /// What fits into one batch: all that waits, and what comes while the batch lingers.
    async fn collect(&self, first: Queued, queue: &mut mpsc::Receiver<Queued>) -> Vec<Queued> {
        let until = Instant::now() + self.config.linger;
        let mut size = first.record.size();
        let mut batch = vec![first];
        while size < self.config.batch_bytes {
            let next = match queue.try_recv() {
                Ok(next) => Some(next),
                Err(mpsc::error::TryRecvError::Disconnected) => None,
                Err(mpsc::error::TryRecvError::Empty) => timeout_at(until, queue.recv()).await.ok().flatten(),
            };
            let Some(next) = next else { break };
            size += next.record.size();
            batch.push(next);
        }
        batch
    }

    /// The base offset under which the batch was written.
    async fn deliver(&mut self, batch: &[Queued]) -> Result<(i32, i64), Error> {
        let deadline = batch[0].at + self.config.delivery_timeout;
        let identity = match self.config.is_idempotent && self.config.acks == Acks::All {
            true => Some(self.identity().await?),
            false => None,
        };
        let bytes = self.build(batch, identity)?;
        let mut pause = self.client.config().retry_backoff;
        loop {
            let error = match self.attempt(&bytes).await {
                Ok(offset) => {
                    let count = i32::try_from(batch.len()).unwrap_or(i32::MAX);
                    self.next_sequence = self.next_sequence.plus(count);
                    return Ok((self.partition, offset));
                }
                Err(error) => error,
            };
            // A batch that may have been written is only repeated if the broker can tell that it has it.
            let is_safe =
                identity.is_some() || error.code().is_some() || matches!(error, Error::Connect { .. });
            if !error.is_retriable() || !is_safe || Instant::now() + pause >= deadline {
                return Err(error);
            }
            tracing::debug!(%error, topic = self.topic, partition = self.partition, "producing again");
            self.client.forget_topic(&self.topic);
            sleep(pause).await;
            pause = (pause * 2).min(self.client.config().retry_backoff_max);
        }
    }

    fn build(&self, batch: &[Queued], identity: Option<Identity>) -> Result<Bytes, Error> {
        let mut builder = BatchBuilder::new(self.config.compression);
        if let Some(Identity { id, epoch }) = identity {
            builder = builder.producer(id, epoch, self.next_sequence);
        }
        let now = now();
        for Queued { record, .. } in batch {
            let timestamp = record.timestamp.unwrap_or(now);
            builder.push(timestamp, record.key.as_deref(), record.value.as_deref(), &record.headers);
        }
        builder.build().map_err(|error| Error::Invalid(format!("the records do not make a batch: {error}")))
    }

    async fn attempt(&self, batch: &Bytes) -> Result<i64, Error> {
        let metadata = self.client.metadata(&[&self.topic]).await?;
        let topic_id = metadata.topic(&self.topic)?.topic_id;
        let connection =
            self.client.broker(metadata.leader(&self.topic, self.partition)?, Purpose::Produce).await?;
        let cap = if topic_id == types::TopicId::ZERO { PRODUCE_BY_NAME_MAX } else { i16::MAX };
        let version = connection.version::<ProduceRequest>(cap)?;
        let patience = self.client.request_timeout();
        let request = self.request(batch, topic_id, patience);
        if self.config.acks == Acks::None {
            connection.send_unanswered(&request, version).await?;
            return Ok(-1);
        }
        let response = connection.send_version(&request, version, patience).await?;
        let what = || format!("producing to {}-{}", self.topic, self.partition);
        let answered = response.responses.first().and_then(|topic| topic.partition_responses.first());
        let answered =
            answered.ok_or_else(|| Error::Invalid(format!("{}: the broker's answer is empty", what())))?;
        let records = answered.record_errors.iter();
        let mut messages = records.filter_map(|error| error.batch_index_error_message.as_ref());
        let message = answered.error_message.as_ref().or_else(|| messages.next());
        match BrokerError::check(answered.error_code, message) {
            Ok(()) => Ok(answered.base_offset),
            Err(error) if error.code == ErrorCode::DuplicateSequenceNumber => Ok(-1),
            Err(error) => Err(Error::refused(what(), error)),
        }
    }

    fn request(&self, batch: &Bytes, topic_id: types::TopicId, patience: Duration) -> ProduceRequest {
        let acks = match self.config.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        };
        let partition = PartitionProduceData {
            index: self.partition,
            records: Some(Records::Inline(batch.clone())),
            ..Default::default()
        };
        let topic = TopicProduceData {
            name: Utf8Bytes::from(&self.topic),
            topic_id: topic_id.0,
            partition_data: vec![partition],
            ..Default::default()
        };
        ProduceRequest {
            acks,
            timeout_ms: i32::try_from(patience.as_millis()).unwrap_or(i32::MAX),
            topic_data: vec![topic],
            ..Default::default()
        }
    }

    /// The shared identity, or after a batch of unknown fate a new one that only this partition has.
    async fn identity(&mut self) -> Result<Identity, Error> {
        if self.is_uncertain {
            self.own = Some(self.new_identity().await?);
            self.next_sequence = Sequence(0);
            self.is_uncertain = false;
        }
        if let Some(own) = self.own {
            return Ok(own);
        }
        let shared = self.shared.clone();
        let mut shared = shared.lock().await;
        let identity = match *shared {
            Some(identity) => identity,
            None => self.new_identity().await?,
        };
        *shared = Some(identity);
        Ok(identity)
    }

    async fn new_identity(&self) -> Result<Identity, Error> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: i32::MAX,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let attempt = || async {
            let response = self.client.ask(&request).await?;
            BrokerError::check(response.error_code, None)
                .map_err(|error| Error::refused("getting a producer id", error))?;
            Ok(Identity {
                id: ProducerId(response.producer_id),
                epoch: ProducerEpoch(response.producer_epoch),
            })
        };
        self.client.retry(attempt).await
    }
}

fn is_too_large(error: &Error) -> bool {
    matches!(error.code(), Some(ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge))
}

fn answer(batch: Vec<Queued>, result: &Result<(i32, i64), Arc<Error>>) {
    for (i, queued) in batch.into_iter().enumerate() {
        let delivered = result.as_ref().map(|&(partition, base)| Delivered {
            partition,
            offset: if base < 0 { -1 } else { base + i64::try_from(i).unwrap_or(0) },
        });
        // Whoever does not wait for the answer has dropped its end.
        let _ = queued.answer.send(delivered.map_err(Arc::clone));
        queued.unsent.send_modify(|count| *count -= 1);
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
