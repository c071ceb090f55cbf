//! What a state machine sees of a batch.

use types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use crate::Compression;

/// Whose time the records of a batch carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    #[default]
    CreateTime,
    /// The broker's, at the append.
    LogAppendTime,
}

/// A batch without its records: the facts of its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchSummary {
    /// The offset of its first record; no meaning before the leader has given it one.
    pub base_offset: Offset,
    /// The epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
    /// The whole batch on disk, its header included.
    pub size_bytes: u32,
    /// How its records are compressed.
    pub compression: Compression,
    /// Whose time its records carry.
    pub timestamp_type: TimestampType,
    /// Whether it belongs to a transaction.
    pub is_transactional: bool,
    /// Whether it holds a marker and no records.
    pub is_control: bool,
    /// The timestamp that its records' deltas count from.
    pub base_timestamp: Timestamp,
    /// The largest timestamp in it.
    pub max_timestamp: Timestamp,
    /// The idempotent producer, if any.
    pub producer_id: ProducerId,
    /// The producer's epoch.
    pub producer_epoch: ProducerEpoch,
    /// The sequence number of its first record.
    pub base_sequence: Sequence,
    /// How many offsets it takes.
    pub record_count: i32,
}

impl BatchSummary {
    /// The offset of its last record.
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.record_count) - 1)
    }
}
