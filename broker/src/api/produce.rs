//! Produce: batches are checked, appended before the first await (so that a connection's order is the log's order), and
//! answered together when the last of them is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config::{CompressionType, TopicConfig};
use protocol::Utf8Bytes;
use protocol::messages::produce_request::{PartitionProduceData, ProduceRequest};
use protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, NodeEndpoint, PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use record::{Compression, InvalidBatch, ProduceRules, TimestampType};
use replication::Acks;
use tokio::time::Instant;
use types::{ErrorCode, Now, PartitionId, Timestamp, TopicId, Uuid};

use super::pipeline::{Idempotent, Pipeline, Place};
use super::{RequestContext, Unanswerable, topics};
use crate::metrics::Waits;
use crate::node::Node;
use crate::partitions::{Append, AppendTicket, Partition, TopicRef};

/// From this version on topics come by id (KIP-516).
const FIRST_WITH_TOPIC_IDS: i16 = 13;
/// From this version on a refusal can say who leads.
const FIRST_WITH_LEADERS: i16 = 10;
/// Older producers cannot know of zstd (KIP-110).
const FIRST_WITH_ZSTD: i16 = 7;

/// Nothing under acks=0, which has no answer; if it failed, the connection's end has its client ask for new metadata.
pub(crate) async fn handle(
    node: &Arc<Node>,
    context: &RequestContext,
    request: ProduceRequest,
) -> Result<Option<ProduceResponse>, Unanswerable> {
    let acks = Acks::from_wire(request.acks);
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let pipeline = &*context.peer.pipeline;
    let call = Call { node, pipeline, version: context.api_version, acks, timeout, now: node.wall.now() };
    let deadline = Instant::now() + timeout;
    let topics: Vec<_> = request
        .topic_data
        .into_iter()
        .map(|topic| {
            let pending: Vec<_> = topic
                .partition_data
                .into_iter()
                .map(|data| call.append(&topic.name, TopicId(topic.topic_id), data))
                .collect();
            (topic.name, topic.topic_id, pending)
        })
        .collect();
    let mut response = ProduceResponse::default();
    for (name, topic_id, pending) in topics {
        let mut partition_responses = Vec::with_capacity(pending.len());
        for pending in pending {
            partition_responses.push(call.finish(&name, topic_id, pending, deadline).await);
        }
        response.responses.push(TopicProduceResponse {
            name,
            topic_id,
            partition_responses,
            ..Default::default()
        });
    }
    if acks != Some(Acks::None) {
        name_leaders(node, context, &mut response);
        return Ok(Some(response));
    }
    let mut answers = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    match answers.all(|answer| answer.error_code == 0) {
        true => Ok(None),
        false => Err(Unanswerable),
    }
}

/// Says who leads what was refused because another broker does, so that the client need not ask for metadata (KIP-951).
fn name_leaders(node: &Node, context: &RequestContext, response: &mut ProduceResponse) {
    if context.api_version < FIRST_WITH_LEADERS {
        return;
    }
    let image = node.metadata().image();
    let mut leaders = BTreeSet::new();
    for topic in &mut response.responses {
        let topic_ref = match context.api_version >= FIRST_WITH_TOPIC_IDS {
            true => TopicRef::Id(TopicId(topic.topic_id)),
            false => TopicRef::Name(&topic.name),
        };
        let refused = topic.partition_responses.iter_mut();
        for refused in refused.filter(|answer| topics::is_leader_elsewhere(answer.error_code)) {
            let found = topics::leader_elsewhere(node, &image, topic_ref, refused.index);
            let Some((leader, epoch)) = found else { continue };
            refused.current_leader.leader_id = leader.0;
            refused.current_leader.leader_epoch = epoch.0;
            leaders.insert(leader.0);
        }
    }
    if leaders.is_empty() {
        return;
    }
    let brokers = topics::brokers(&image, context).into_iter();
    let endpoints = brokers.filter(|broker| leaders.contains(&broker.node_id)).map(|broker| NodeEndpoint {
        node_id: broker.node_id,
        host: broker.host,
        port: broker.port,
        rack: broker.rack,
        ..NodeEndpoint::default()
    });
    response.node_endpoints = endpoints.collect();
}

/// What is common to the batches of one request.
struct Call<'a> {
    node: &'a Arc<Node>,
    pipeline: &'a Pipeline,
    version: i16,
    acks: Option<Acks>,
    timeout: Duration,
    now: Now,
}

/// One batch on its way.
struct Pending {
    index: i32,
    state: Result<Appending, Refusal>,
}

struct Appending {
    partition: Arc<Partition>,
    ticket: AppendTicket,
    batch: Option<Idempotent>,
    /// The time that the broker gave the records, if the topic asks for that.
    log_append_time: Timestamp,
}

/// Why a batch is not in the log.
struct Refusal {
    code: ErrorCode,
    message: Option<Utf8Bytes>,
    records: Vec<BatchIndexAndErrorMessage>,
}

impl Call<'_> {
    fn append(&self, name: &Utf8Bytes, id: TopicId, data: PartitionProduceData) -> Pending {
        let index = data.index;
        let bytes = data.records.and_then(|records| records.inline().cloned()).unwrap_or_default();
        let place = Place { topic: name, topic_id: id.0, partition: index };
        let batch = || Idempotent::in_bytes(&bytes);
        // Mostly nothing was refused, and what the batch says of its producer is not looked at here.
        let known = if self.pipeline.is_clear() { None } else { batch() };
        let before = known.and_then(|batch| self.pipeline.refused_before(self.now.monotonic, place, batch));
        let state = match before {
            Some(code) if known.is_some_and(|batch| self.is_first_of(batch, name, id, index)) => {
                Err(code.into())
            }
            Some(code) => self.try_append(name, id, index, &bytes).map_err(|refusal| match refusal.code {
                ErrorCode::OutOfOrderSequenceNumber => code.into(),
                _ => refusal,
            }),
            None => self.try_append(name, id, index, &bytes),
        };
        match (&state, known) {
            (Ok(_), Some(batch)) => self.pipeline.took(place, batch),
            (Ok(_), None) => {}
            (Err(refusal), _) => {
                if let Some(batch) = batch() {
                    self.pipeline.refuse(self.now.monotonic, place, batch, refusal.code);
                }
            }
        }
        Pending { index, state }
    }

    /// Whether the log knows nothing of a batch's producer: whatever its sequence number, it would be taken in.
    fn is_first_of(&self, batch: Idempotent, name: &Utf8Bytes, id: TopicId, index: i32) -> bool {
        let partition = self.node.led_partition(self.topic(name, id), PartitionId(index));
        partition.is_ok_and(|partition| !partition.knows_producer(batch.producer))
    }

    fn topic<'t>(&self, name: &'t Utf8Bytes, id: TopicId) -> TopicRef<'t> {
        match self.version >= FIRST_WITH_TOPIC_IDS {
            true => TopicRef::Id(id),
            false => TopicRef::Name(name),
        }
    }

    fn try_append(
        &self,
        name: &Utf8Bytes,
        id: TopicId,
        index: i32,
        bytes: &Bytes,
    ) -> Result<Appending, Refusal> {
        let acks = self.acks.ok_or(ErrorCode::InvalidRequiredAcks)?;
        let partition = self.node.led_partition(self.topic(name, id), PartitionId(index))?;
        if partition.is_internal() {
            return Err(ErrorCode::InvalidTopicException.into());
        }
        let result = self.append_to(Arc::clone(&partition), acks, bytes);
        self.node.metrics.produce(partition.topic_name(), result.is_ok());
        result
    }

    fn append_to(&self, partition: Arc<Partition>, acks: Acks, bytes: &Bytes) -> Result<Appending, Refusal> {
        let config = partition.config();
        let validated = record::validate_produced(bytes, &self.rules(&config))?;
        if i64::from(validated.summary.size_bytes) > i64::from(config.segment_bytes) {
            return Err(ErrorCode::RecordListTooLarge.into());
        }
        if validated.summary.is_transactional {
            // No transaction can be open, because none can be begun: its APIs are not served.
            return Err(ErrorCode::InvalidTxnState.into());
        }
        let log_append_time = match validated.summary.timestamp_type {
            TimestampType::LogAppendTime => self.now.wall,
            TimestampType::CreateTime => Timestamp::NONE,
        };
        let (records, size) = (validated.summary.record_count, validated.summary.size_bytes);
        let batch = Idempotent::of(&validated.summary);
        let append = Append { batch: validated.summary, bytes: validated.bytes, acks, timeout: self.timeout };
        let ticket = partition.append(self.now, append);
        if let AppendTicket::Done(Err(code)) = ticket {
            return Err(code.into());
        }
        self.node.metrics.produced(partition.topic_name(), records, size);
        Ok(Appending { partition, ticket, batch, log_append_time })
    }

    async fn finish(
        &self,
        name: &Utf8Bytes,
        topic_id: Uuid,
        pending: Pending,
        deadline: Instant,
    ) -> PartitionProduceResponse {
        let Pending { index, state } = pending;
        let refused = |refusal: Refusal| PartitionProduceResponse {
            index,
            error_code: refusal.code.code(),
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: refusal.records,
            error_message: refusal.message,
            ..Default::default()
        };
        let Appending { partition, ticket, batch, log_append_time } = match state {
            Ok(appending) => appending,
            Err(refusal) => return refused(refusal),
        };
        let waits = matches!(ticket, AppendTicket::Waiting(_))
            .then(|| Waits::for_more(&self.node.metrics.waiting.produce));
        let answer = ticket.wait(&partition, &self.node.wall, deadline).await;
        drop(waits);
        match answer {
            Ok(appended) => PartitionProduceResponse {
                index,
                base_offset: appended.base_offset.0,
                log_append_time_ms: log_append_time.0,
                log_start_offset: partition.bounds().log_start.0,
                ..Default::default()
            },
            Err(code) => {
                // What was only not replicated in time is in the log, and nothing is missing before what comes next.
                if let Some(batch) = batch.filter(|_| topics::is_leader_elsewhere(code.code())) {
                    let place = Place { topic: name, topic_id, partition: index };
                    self.pipeline.refuse(self.node.wall.now().monotonic, place, batch, code);
                }
                refused(code.into())
            }
        }
    }
    fn rules(&self, config: &TopicConfig) -> ProduceRules {
        ProduceRules {
            now: self.now.wall,
            size_bytes_max: u32::try_from(config.max_message_bytes).unwrap_or(0),
            timestamp_type: match config.message_timestamp_type {
                config::TimestampType::CreateTime => TimestampType::CreateTime,
                config::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
            },
            before_max_ms: config.message_timestamp_before_max_ms,
            after_max_ms: config.message_timestamp_after_max_ms,
            is_compacted: config.cleanup_policy.compact,
            allows_zstd: self.version >= FIRST_WITH_ZSTD,
            compression: codec(config.compression_type),
        }
    }
}

/// What a topic wants its batches compressed with; `None` leaves them as they come.
fn codec(configured: CompressionType) -> Option<Compression> {
    match configured {
        CompressionType::Producer => None,
        CompressionType::Uncompressed => Some(Compression::None),
        CompressionType::Gzip => Some(Compression::Gzip),
        CompressionType::Snappy => Some(Compression::Snappy),
        CompressionType::Lz4 => Some(Compression::Lz4),
        CompressionType::Zstd => Some(Compression::Zstd),
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Refusal {
        Refusal { code, message: None, records: Vec::new() }
    }
}

impl From<InvalidBatch> for Refusal {
    fn from(error: InvalidBatch) -> Refusal {
        let message = Some(Utf8Bytes::from(error.to_string()));
        let records = match &error {
            InvalidBatch::MissingKeys { indexes } => indexes
                .iter()
                .map(|&batch_index| BatchIndexAndErrorMessage {
                    batch_index,
                    batch_index_error_message: message.clone(),
                    ..Default::default()
                })
                .collect(),
            _ => Vec::new(),
        };
        Refusal { code: error.code(), message, records }
    }
}
