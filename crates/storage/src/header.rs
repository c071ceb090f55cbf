//! The header of a record batch, as the log needs it: where the batch ends, and what state machines are told of it.
//!
//! ```text
//!  0 base offset i64 | 8 length i32 (of what follows it) | 12 leader epoch i32 | 16 magic i8 | 17 crc32c u32
//! 21 attributes i16 | 23 last offset delta i32 | 27 base timestamp i64 | 35 max timestamp i64
//! 43 producer id i64 | 51 producer epoch i16 | 53 base sequence i32 | 57 record count i32 | 61 records
//! ```

use record::{BatchSummary, Compression, TimestampType};
use types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// The bytes of a header.
pub(crate) const BATCH_HEADER_BYTES: usize = 61;
/// The checksum covers what follows it: attributes and all after them.
pub(crate) const CHECKSUM_COVERS_FROM: usize = 21;
/// What the length field does not count: base offset and the length itself.
const BEFORE_LENGTH_ENDS: u32 = 12;
const MAGIC: u8 = 2;

/// The bytes are no batch of magic 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the header of a record batch")]
pub(crate) struct InvalidHeader;

/// The facts of a header, and the checksum that it claims.
pub(crate) fn parse(bytes: &[u8]) -> Result<(BatchSummary, u32), InvalidHeader> {
    let bytes: &[u8; BATCH_HEADER_BYTES] = bytes.first_chunk().ok_or(InvalidHeader)?;
    let length = u32::from_be_bytes(field(bytes, 8));
    let size_bytes = length.checked_add(BEFORE_LENGTH_ENDS).ok_or(InvalidHeader)?;
    let last_offset_delta = i32::from_be_bytes(field(bytes, 23));
    if bytes[16] != MAGIC
        || (size_bytes as usize) < BATCH_HEADER_BYTES
        || !(0..i32::MAX).contains(&last_offset_delta)
    {
        return Err(InvalidHeader);
    }
    let attributes = u16::from_be_bytes(field(bytes, 21));
    let summary = BatchSummary {
        base_offset: Offset(i64::from_be_bytes(field(bytes, 0))),
        leader_epoch: LeaderEpoch(i32::from_be_bytes(field(bytes, 12))),
        size_bytes,
        compression: match attributes & 7 {
            0 => Compression::None,
            1 => Compression::Gzip,
            2 => Compression::Snappy,
            3 => Compression::Lz4,
            4 => Compression::Zstd,
            _ => return Err(InvalidHeader),
        },
        timestamp_type: if attributes & 8 == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        },
        is_transactional: attributes & 16 != 0,
        is_control: attributes & 32 != 0,
        base_timestamp: Timestamp(i64::from_be_bytes(field(bytes, 27))),
        max_timestamp: Timestamp(i64::from_be_bytes(field(bytes, 35))),
        producer_id: ProducerId(i64::from_be_bytes(field(bytes, 43))),
        producer_epoch: ProducerEpoch(i16::from_be_bytes(field(bytes, 51))),
        base_sequence: Sequence(i32::from_be_bytes(field(bytes, 53))),
        // Compaction may leave fewer records than offsets: what counts here are the offsets.
        record_count: last_offset_delta + 1,
    };
    Ok((summary, u32::from_be_bytes(field(bytes, 17))))
}

fn field<const N: usize>(bytes: &[u8; BATCH_HEADER_BYTES], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("all fields lie inside")
}
