//! What a produced batch is checked for before it is written. docs/adr/0003 says where this differs from Kafka, which
//! walks over every record.

use bytes::Bytes;
use types::{ErrorCode, ProducerId, Sequence, Timestamp};

use crate::batch::{Batch, recompressed, with_log_append_time};
use crate::header::{BatchHeader, HeaderError};
use crate::{BatchSummary, Compression, RecordError, TimestampType};

/// What a topic and a request ask of a batch.
#[derive(Clone, Copy, Debug)]
pub struct ProduceRules {
    /// The broker's time.
    pub now: Timestamp,
    /// `max.message.bytes`.
    pub size_bytes_max: u32,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub after_max_ms: i64,
    /// Whether every record needs a key.
    pub is_compacted: bool,
    /// Whether the request's version knows zstd.
    pub allows_zstd: bool,
    /// `compression.type`; none if batches stay as their producer made them.
    pub compression: Option<Compression>,
}

/// A batch that may be written.
#[derive(Clone, Debug)]
pub struct ValidatedBatch {
    /// What it is; its base offset and leader epoch are the producer's and mean nothing.
    pub summary: BatchSummary,
    /// Its bytes: those that came, or a copy where the broker's time or another codec had to be put in.
    pub bytes: Bytes,
}

/// Why a produced batch is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatch {
    /// Nothing came.
    #[error("there is no batch")]
    Empty,
    /// A batch and something behind it.
    #[error("there is more than one batch for the partition")]
    MoreThanOne,
    /// Not a batch of the format that is kept.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Fewer bytes than the batch's length field says.
    #[error("the batch is cut off")]
    CutOff,
    /// Bytes changed on the way.
    #[error("the checksum does not fit the batch")]
    WrongChecksum,
    /// Larger than the topic takes.
    #[error("the batch has {size_bytes} bytes, and max.message.bytes is {size_bytes_max}")]
    TooLarge {
        /// The batch's size.
        size_bytes: u32,
        /// The topic's limit.
        size_bytes_max: u32,
    },
    /// Markers are written by coordinators only.
    #[error("clients must not write control batches")]
    Control,
    /// The header contradicts itself.
    #[error("the batch announces {record_count} records and a last offset delta of {last_offset_delta}")]
    WrongCount {
        /// The header's count.
        record_count: i32,
        /// The header's delta.
        last_offset_delta: i32,
    },
    /// An idempotent producer counts from 0.
    #[error("the sequence number {sequence} of an idempotent producer is negative")]
    NegativeSequence {
        /// The batch's first.
        sequence: Sequence,
    },
    /// The request's version is older than zstd.
    #[error("zstd needs Produce version 7 or later")]
    ZstdTooOld,
    /// The producer gave its records a type of time that only brokers give.
    #[error("a producer must not set the timestamp type to LogAppendTime")]
    LogAppendTime,
    /// A time that the topic does not take.
    #[error("timestamp {timestamp} is outside {earliest} to {latest}, which the topic accepts")]
    Timestamp {
        /// The batch's.
        timestamp: Timestamp,
        /// The earliest that is accepted.
        earliest: Timestamp,
        /// The latest that is accepted.
        latest: Timestamp,
    },
    /// Records without a key in a compacted topic.
    #[error("a compacted topic takes no records without a key")]
    MissingKeys {
        /// Which records of the batch, counted from 0.
        indexes: Vec<i32>,
    },
    /// The records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordError),
}

impl InvalidBatch {
    /// The error as Kafka puts it on the wire.
    pub fn code(&self) -> ErrorCode {
        match self {
            InvalidBatch::CutOff | InvalidBatch::WrongChecksum => ErrorCode::CorruptMessage,
            InvalidBatch::Header(HeaderError::TooShort { .. } | HeaderError::ImpossibleLength { .. }) => {
                ErrorCode::CorruptMessage
            }
            InvalidBatch::TooLarge { .. } => ErrorCode::MessageTooLarge,
            InvalidBatch::ZstdTooOld => ErrorCode::UnsupportedCompressionType,
            InvalidBatch::LogAppendTime | InvalidBatch::Timestamp { .. } => ErrorCode::InvalidTimestamp,
            InvalidBatch::Empty
            | InvalidBatch::MoreThanOne
            | InvalidBatch::Header(_)
            | InvalidBatch::Control
            | InvalidBatch::WrongCount { .. }
            | InvalidBatch::NegativeSequence { .. }
            | InvalidBatch::MissingKeys { .. }
            | InvalidBatch::Records(_) => ErrorCode::InvalidRecord,
        }
    }
}

/// Checks what a producer sent for one partition: exactly one batch, which the topic takes.
pub fn validate_produced(bytes: &Bytes, rules: &ProduceRules) -> Result<ValidatedBatch, InvalidBatch> {
    if bytes.is_empty() {
        return Err(InvalidBatch::Empty);
    }
    let header = BatchHeader::parse(bytes)?;
    check_size(header.size_bytes, rules)?;
    let batch = Batch::parse(bytes)?.ok_or(InvalidBatch::CutOff)?;
    if batch.bytes().len() < bytes.len() {
        return Err(InvalidBatch::MoreThanOne);
    }
    if !batch.is_intact() {
        return Err(InvalidBatch::WrongChecksum);
    }
    check_header(&header, rules)?;
    if rules.is_compacted {
        check_keys(&batch)?;
    }
    if rules.timestamp_type == TimestampType::CreateTime {
        check_timestamps(&header, rules)?;
    }
    let bytes = as_the_topic_has_it(&batch, rules)?;
    let summary = BatchHeader::parse(&bytes)?.summary();
    // Another codec may have made it larger.
    check_size(summary.size_bytes, rules)?;
    Ok(ValidatedBatch { summary, bytes })
}

fn check_size(size_bytes: u32, rules: &ProduceRules) -> Result<(), InvalidBatch> {
    let size_bytes_max = rules.size_bytes_max;
    match size_bytes > size_bytes_max {
        true => Err(InvalidBatch::TooLarge { size_bytes, size_bytes_max }),
        false => Ok(()),
    }
}

/// The batch as it came, if the topic leaves codec and time to producers.
fn as_the_topic_has_it(batch: &Batch, rules: &ProduceRules) -> Result<Bytes, InvalidBatch> {
    let bytes = match rules.compression {
        Some(codec) if codec != batch.header().compression => recompressed(batch, codec)?,
        _ => batch.bytes().clone(),
    };
    match rules.timestamp_type {
        TimestampType::CreateTime => Ok(bytes),
        TimestampType::LogAppendTime => Ok(with_log_append_time(&bytes, rules.now)),
    }
}

fn check_header(header: &BatchHeader, rules: &ProduceRules) -> Result<(), InvalidBatch> {
    let BatchHeader { record_count, last_offset_delta, .. } = *header;
    if header.is_control {
        return Err(InvalidBatch::Control);
    }
    if record_count < 1 || record_count - 1 != last_offset_delta {
        return Err(InvalidBatch::WrongCount { record_count, last_offset_delta });
    }
    if header.producer_id != ProducerId::NONE && header.base_sequence < Sequence(0) {
        return Err(InvalidBatch::NegativeSequence { sequence: header.base_sequence });
    }
    if header.compression == Compression::Zstd && !rules.allows_zstd {
        return Err(InvalidBatch::ZstdTooOld);
    }
    Ok(())
}

/// The batch's first and largest timestamps stand for all of them.
fn check_timestamps(header: &BatchHeader, rules: &ProduceRules) -> Result<(), InvalidBatch> {
    if header.timestamp_type == TimestampType::LogAppendTime {
        return Err(InvalidBatch::LogAppendTime);
    }
    let earliest = Timestamp(rules.now.0.saturating_sub(rules.before_max_ms));
    let latest = Timestamp(rules.now.0.saturating_add(rules.after_max_ms));
    for timestamp in [header.base_timestamp, header.max_timestamp] {
        if timestamp != Timestamp::NONE && (timestamp < earliest || timestamp > latest) {
            return Err(InvalidBatch::Timestamp { timestamp, earliest, latest });
        }
    }
    Ok(())
}

fn check_keys(batch: &Batch) -> Result<(), InvalidBatch> {
    let mut indexes = Vec::new();
    for (index, record) in (0..).zip(batch.records()?) {
        if record?.key.is_none() {
            indexes.push(index);
        }
    }
    match indexes.is_empty() {
        true => Ok(()),
        false => Err(InvalidBatch::MissingKeys { indexes }),
    }
}

#[cfg(test)]
mod tests;
