//! The bytes of a `.snapshot` file, version 1 of Kafka's `ProducerSnapshot`.
//!
//! ```text
//! version i16 | crc32c u32 of all that follows | count i32 | per producer, 46 bytes:
//!   id i64 | epoch i16 | last sequence i32 | last offset i64 | offset delta i32 | timestamp i64
//!   coordinator epoch i32 | first offset of the open transaction i64, -1 if there is none
//! ```

use bytes::{Buf, BufMut};
use record::ProducerSnapshotEntry;
use types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

const VERSION: i16 = 1;
const HEAD_BYTES: usize = 6;
const ENTRY_BYTES: usize = 46;

/// The bytes are no producer snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a producer snapshot, or a damaged one")]
pub(crate) struct InvalidSnapshot;

pub(crate) fn encode(producers: &[ProducerSnapshotEntry]) -> Vec<u8> {
    let mut entries = Vec::with_capacity(4 + producers.len() * ENTRY_BYTES);
    entries.put_i32(i32::try_from(producers.len()).expect("producers are bounded far below"));
    for producer in producers {
        entries.put_i64(producer.producer_id.0);
        entries.put_i16(producer.producer_epoch.0);
        entries.put_i32(producer.last_sequence.0);
        entries.put_i64(producer.last_offset.0);
        entries.put_i32(producer.offset_delta);
        entries.put_i64(producer.timestamp.0);
        entries.put_i32(producer.coordinator_epoch);
        entries.put_i64(producer.current_txn_first_offset.map_or(-1, |offset| offset.0));
    }
    let mut content = Vec::with_capacity(HEAD_BYTES + entries.len());
    content.put_i16(VERSION);
    content.put_u32(crc32c::crc32c(&entries));
    content.extend_from_slice(&entries);
    content
}

pub(crate) fn decode(mut content: &[u8]) -> Result<Vec<ProducerSnapshotEntry>, InvalidSnapshot> {
    if content.len() < HEAD_BYTES + 4
        || content.get_i16() != VERSION
        || content.get_u32() != crc32c::crc32c(content)
    {
        return Err(InvalidSnapshot);
    }
    let count = usize::try_from(content.get_i32()).map_err(|_| InvalidSnapshot)?;
    if content.len() != count.saturating_mul(ENTRY_BYTES) {
        return Err(InvalidSnapshot);
    }
    Ok((0..count).map(|_| decode_entry(&mut content)).collect())
}

fn decode_entry(content: &mut &[u8]) -> ProducerSnapshotEntry {
    ProducerSnapshotEntry {
        producer_id: ProducerId(content.get_i64()),
        producer_epoch: ProducerEpoch(content.get_i16()),
        last_sequence: Sequence(content.get_i32()),
        last_offset: Offset(content.get_i64()),
        offset_delta: content.get_i32(),
        timestamp: Timestamp(content.get_i64()),
        coordinator_epoch: content.get_i32(),
        current_txn_first_offset: Some(Offset(content.get_i64())).filter(|offset| offset.0 >= 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_round_trip_and_damage_is_seen() {
        let entry = |id, open| ProducerSnapshotEntry {
            producer_id: ProducerId(id),
            producer_epoch: ProducerEpoch(1),
            last_sequence: Sequence(9),
            last_offset: Offset(109),
            offset_delta: 4,
            timestamp: Timestamp(1_700_000_000_000),
            coordinator_epoch: -1,
            current_txn_first_offset: open,
        };
        for entries in [vec![], vec![entry(1, None), entry(2, Some(Offset(0)))]] {
            let content = encode(&entries);
            assert_eq!(content.len(), 10 + 46 * entries.len());
            assert_eq!(decode(&content), Ok(entries));
            for at in 0..content.len() {
                let mut damaged = content.clone();
                damaged[at] ^= 0x10;
                assert_eq!(decode(&damaged), Err(InvalidSnapshot), "byte {at}");
                assert_eq!(decode(&content[..at]), Err(InvalidSnapshot), "cut at {at}");
            }
        }
    }
}
