//! A partition's `.snapshot` file: what is known of its idempotent producers at an offset. Kafka's
//! `ProducerStateManager` reads it.
//!
//! ```text
//! version i16 = 1 | CRC32C of what follows u32 | count i32
//! | producer id i64 | epoch i16 | last sequence i32 | last offset i64 | offset delta i32
//! | timestamp i64 | coordinator epoch i32 | first offset of the open transaction i64, or -1
//! ```

use types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

const VERSION: i16 = 1;
const HEADER_BYTES: usize = 6;
const COUNT_BYTES: usize = 4;
const ENTRY_BYTES: usize = 46;
const NO_TRANSACTION: i64 = -1;

/// One producer, as Kafka's `ProducerSnapshot` has it: its last batch only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerSnapshotEntry {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// The last sequence number of its last batch.
    pub last_sequence: Sequence,
    /// The last offset of that batch.
    pub last_offset: Offset,
    /// From that batch's first offset to its last.
    pub offset_delta: i32,
    /// That batch's largest timestamp.
    pub timestamp: Timestamp,
    /// The epoch of the coordinator that last ended a transaction of it; -1 if none did.
    pub coordinator_epoch: i32,
    /// Where its open transaction starts.
    pub current_txn_first_offset: Option<Offset>,
}

/// A file that is no producer snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducerSnapshotError {
    /// A format of another release.
    #[error("producer snapshot version {version} is not 1")]
    UnknownVersion {
        /// The file's.
        version: i16,
    },
    /// The content is not what the checksum was made of.
    #[error("the producer snapshot's checksum is wrong")]
    WrongChecksum,
    /// There are fewer or more bytes than the content announces.
    #[error("the producer snapshot has a wrong length")]
    WrongLength,
}

/// The content of a `.snapshot` file.
pub fn encode_producer_snapshot(entries: &[ProducerSnapshotEntry]) -> Vec<u8> {
    let count = i32::try_from(entries.len()).expect("producers are bounded by their ids");
    let mut body = Vec::with_capacity(COUNT_BYTES + entries.len() * ENTRY_BYTES);
    body.extend_from_slice(&count.to_be_bytes());
    for entry in entries {
        let transaction = entry.current_txn_first_offset.map_or(NO_TRANSACTION, |offset| offset.0);
        body.extend_from_slice(&entry.producer_id.0.to_be_bytes());
        body.extend_from_slice(&entry.producer_epoch.0.to_be_bytes());
        body.extend_from_slice(&entry.last_sequence.0.to_be_bytes());
        body.extend_from_slice(&entry.last_offset.0.to_be_bytes());
        body.extend_from_slice(&entry.offset_delta.to_be_bytes());
        body.extend_from_slice(&entry.timestamp.0.to_be_bytes());
        body.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        body.extend_from_slice(&transaction.to_be_bytes());
    }
    let mut file = Vec::with_capacity(HEADER_BYTES + body.len());
    file.extend_from_slice(&VERSION.to_be_bytes());
    file.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    file.extend_from_slice(&body);
    file
}

/// The reverse of [`encode_producer_snapshot`].
pub fn decode_producer_snapshot(file: &[u8]) -> Result<Vec<ProducerSnapshotEntry>, ProducerSnapshotError> {
    let mut rest = file;
    let version = i16::from_be_bytes(take(&mut rest)?);
    if version != VERSION {
        return Err(ProducerSnapshotError::UnknownVersion { version });
    }
    let checksum = u32::from_be_bytes(take(&mut rest)?);
    if crc32c::crc32c(rest) != checksum {
        return Err(ProducerSnapshotError::WrongChecksum);
    }
    let count = usize::try_from(i32::from_be_bytes(take(&mut rest)?));
    if count.is_ok_and(|count| count.checked_mul(ENTRY_BYTES) != Some(rest.len())) || count.is_err() {
        return Err(ProducerSnapshotError::WrongLength);
    }
    let mut entries = Vec::with_capacity(rest.len() / ENTRY_BYTES);
    while !rest.is_empty() {
        entries.push(ProducerSnapshotEntry {
            producer_id: ProducerId(i64::from_be_bytes(take(&mut rest)?)),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(take(&mut rest)?)),
            last_sequence: Sequence(i32::from_be_bytes(take(&mut rest)?)),
            last_offset: Offset(i64::from_be_bytes(take(&mut rest)?)),
            offset_delta: i32::from_be_bytes(take(&mut rest)?),
            timestamp: Timestamp(i64::from_be_bytes(take(&mut rest)?)),
            coordinator_epoch: i32::from_be_bytes(take(&mut rest)?),
            current_txn_first_offset: match i64::from_be_bytes(take(&mut rest)?) {
                NO_TRANSACTION => None,
                offset => Some(Offset(offset)),
            },
        });
    }
    Ok(entries)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ProducerSnapshotError> {
    let (taken, after) = rest.split_first_chunk::<N>().ok_or(ProducerSnapshotError::WrongLength)?;
    *rest = after;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

    use super::{
        ProducerSnapshotEntry, ProducerSnapshotError, decode_producer_snapshot, encode_producer_snapshot,
    };

    fn entry(id: i64) -> ProducerSnapshotEntry {
        ProducerSnapshotEntry {
            producer_id: ProducerId(id),
            producer_epoch: ProducerEpoch(3),
            last_sequence: Sequence(9),
            last_offset: Offset(1000 + id),
            offset_delta: 4,
            timestamp: Timestamp(1_700_000_000_000),
            coordinator_epoch: -1,
            current_txn_first_offset: (id % 2 == 1).then_some(Offset(990)),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for count in [0, 1, 5] {
            let entries: Vec<_> = (0..count).map(entry).collect();
            assert_eq!(decode_producer_snapshot(&encode_producer_snapshot(&entries)).unwrap(), entries);
        }
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let mut file = encode_producer_snapshot(&[entry(1)]);
        file[20] ^= 4;
        assert_eq!(decode_producer_snapshot(&file), Err(ProducerSnapshotError::WrongChecksum));
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_no_panic(garbage in prop::collection::vec(any::<u8>(), 0..300)) {
            decode_producer_snapshot(&garbage).ok();
        }
    }
}
