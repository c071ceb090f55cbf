//! The 61 bytes in front of a batch's records.
//!
//! ```text
//!  0 base offset           i64      27 base timestamp    i64
//!  8 length after this     i32      35 max timestamp     i64
//! 12 partition leader epoch i32     43 producer id       i64
//! 16 magic = 2             i8       51 producer epoch    i16
//! 17 CRC32C of 21..        u32      53 base sequence     i32
//! 21 attributes            i16      57 record count      i32
//! 23 last offset delta     i32      61 records
//! ```
//!
//! What lies before byte 17 is not covered by the checksum: the broker patches it and leaves the rest as it came.

use types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use crate::{BatchSummary, Compression, TimestampType};

pub(crate) const LENGTH_AT: usize = 8;
pub(crate) const LEADER_EPOCH_AT: usize = 12;
pub(crate) const MAGIC_AT: usize = 16;
pub(crate) const CRC_AT: usize = 17;
pub(crate) const ATTRIBUTES_AT: usize = 21;
pub(crate) const BASE_TIMESTAMP_AT: usize = 27;
pub(crate) const MAX_TIMESTAMP_AT: usize = 35;
pub(crate) const RECORD_COUNT_AT: usize = 57;
/// Base offset and length, which the length does not count.
pub(crate) const LENGTH_OVERHEAD: usize = 12;
pub(crate) const MAGIC: i8 = 2;

pub(crate) const COMPRESSION_MASK: i16 = 0x07;
pub(crate) const LOG_APPEND_TIME_BIT: i16 = 0x08;
pub(crate) const TRANSACTIONAL_BIT: i16 = 0x10;
pub(crate) const CONTROL_BIT: i16 = 0x20;
/// The base timestamp is a delete horizon (KIP-534).
pub(crate) const DELETE_HORIZON_BIT: i16 = 0x40;

/// The header of a batch, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record, or where it was before compaction removed it.
    pub base_offset: Offset,
    /// The whole batch, this header included.
    pub size_bytes: u32,
    /// The epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
    /// CRC32C of all from the attributes on.
    pub crc: u32,
    /// How its records are compressed.
    pub compression: Compression,
    /// Whose time its records carry.
    pub timestamp_type: TimestampType,
    /// Whether it belongs to a transaction.
    pub is_transactional: bool,
    /// Whether it holds a marker and no records.
    pub is_control: bool,
    /// Whether its base timestamp is the time from which its tombstones and markers may go (KIP-534).
    pub has_delete_horizon: bool,
    /// From the first offset to the last.
    pub last_offset_delta: i32,
    /// What its records' timestamps count from.
    pub base_timestamp: Timestamp,
    /// The largest timestamp in it.
    pub max_timestamp: Timestamp,
    /// The idempotent producer, if any.
    pub producer_id: ProducerId,
    /// The producer's epoch.
    pub producer_epoch: ProducerEpoch,
    /// The sequence number of its first record.
    pub base_sequence: Sequence,
    /// How many records it holds; fewer than offsets once it was compacted.
    pub record_count: i32,
}

/// Bytes that are not the header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// There are fewer bytes than a header has.
    #[error("{available} bytes are no batch header, which has 61")]
    TooShort {
        /// How many there are.
        available: usize,
    },
    /// A format that this broker does not keep.
    #[error("magic {magic} is not 2")]
    UnknownMagic {
        /// The magic byte.
        magic: i8,
    },
    /// The length field cannot be.
    #[error("a batch of length {length} cannot be")]
    ImpossibleLength {
        /// What the field says.
        length: i32,
    },
    /// A compression type that does not exist.
    #[error("compression type {id} does not exist")]
    UnknownCompression {
        /// Its number.
        id: i16,
    },
    /// The last offset lies before the first.
    #[error("last offset delta {delta} is negative")]
    NegativeDelta {
        /// What the field says.
        delta: i32,
    },
}

impl BatchHeader {
    /// How many bytes a header has.
    pub const BYTES: usize = 61;

    /// Reads the header at the start of `bytes`; what follows is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, HeaderError> {
        let header = bytes
            .first_chunk::<{ BatchHeader::BYTES }>()
            .ok_or(HeaderError::TooShort { available: bytes.len() })?;
        let magic = i8::from_be_bytes(field(header, MAGIC_AT));
        if magic != MAGIC {
            return Err(HeaderError::UnknownMagic { magic });
        }
        let length = i32::from_be_bytes(field(header, LENGTH_AT));
        let size_bytes = u32::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(LENGTH_OVERHEAD as u32))
            .filter(|size| *size >= BatchHeader::BYTES as u32)
            .ok_or(HeaderError::ImpossibleLength { length })?;
        let attributes = i16::from_be_bytes(field(header, ATTRIBUTES_AT));
        let id = attributes & COMPRESSION_MASK;
        let compression = Compression::from_id(id).ok_or(HeaderError::UnknownCompression { id })?;
        let last_offset_delta = i32::from_be_bytes(field(header, 23));
        if last_offset_delta < 0 {
            return Err(HeaderError::NegativeDelta { delta: last_offset_delta });
        }
        Ok(BatchHeader {
            base_offset: Offset(i64::from_be_bytes(field(header, 0))),
            size_bytes,
            leader_epoch: LeaderEpoch(i32::from_be_bytes(field(header, LEADER_EPOCH_AT))),
            crc: u32::from_be_bytes(field(header, CRC_AT)),
            compression,
            timestamp_type: match attributes & LOG_APPEND_TIME_BIT {
                0 => TimestampType::CreateTime,
                _ => TimestampType::LogAppendTime,
            },
            is_transactional: attributes & TRANSACTIONAL_BIT != 0,
            is_control: attributes & CONTROL_BIT != 0,
            has_delete_horizon: attributes & DELETE_HORIZON_BIT != 0,
            last_offset_delta,
            base_timestamp: Timestamp(i64::from_be_bytes(field(header, BASE_TIMESTAMP_AT))),
            max_timestamp: Timestamp(i64::from_be_bytes(field(header, MAX_TIMESTAMP_AT))),
            producer_id: ProducerId(i64::from_be_bytes(field(header, 43))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(field(header, 51))),
            base_sequence: Sequence(i32::from_be_bytes(field(header, 53))),
            record_count: i32::from_be_bytes(field(header, RECORD_COUNT_AT)),
        })
    }

    /// From when on its tombstones and markers may go, once compaction has said so.
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.has_delete_horizon.then_some(self.base_timestamp)
    }

    /// The offset of its last record, or where that was.
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// What a state machine sees of the batch.
    pub fn summary(&self) -> BatchSummary {
        BatchSummary {
            base_offset: self.base_offset,
            leader_epoch: self.leader_epoch,
            size_bytes: self.size_bytes,
            compression: self.compression,
            timestamp_type: self.timestamp_type,
            is_transactional: self.is_transactional,
            is_control: self.is_control,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            record_count: self.last_offset_delta.saturating_add(1),
        }
    }
}

/// The first 16 bytes of a batch of this size, with the offset and epoch that the leader gives it. They lie outside the
/// checksum, so that the rest is written as it came.
pub fn patched_prefix(batch: &BatchSummary, base_offset: Offset, leader_epoch: LeaderEpoch) -> [u8; 16] {
    let mut prefix = [0; 16];
    prefix[..8].copy_from_slice(&base_offset.0.to_be_bytes());
    prefix[8..12].copy_from_slice(&(batch.size_bytes - LENGTH_OVERHEAD as u32).to_be_bytes());
    prefix[12..].copy_from_slice(&leader_epoch.0.to_be_bytes());
    prefix
}

/// `N` bytes at a fixed place in a header.
fn field<const N: usize>(header: &[u8; BatchHeader::BYTES], at: usize) -> [u8; N] {
    *header[at..].first_chunk().expect("every field lies inside the header")
}
