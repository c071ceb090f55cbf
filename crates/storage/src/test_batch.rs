//! Batches for tests: a header that is right, a payload that is not looked at.

use record::{BatchHeader, BatchSummary};
use types::{LeaderEpoch, Offset, Timestamp};

use crate::{AppendError, Log};

/// What varies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) base_offset: i64,
    pub(crate) records: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) payload: usize,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch { base_offset: 0, records: 1, leader_epoch: 0, timestamp: 1000, producer_id: -1, payload: 39 }
    }
}

impl Batch {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; BatchHeader::BYTES + self.payload];
        let length = i32::try_from(bytes.len() - 12).unwrap();
        bytes[..8].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.leader_epoch.to_be_bytes());
        bytes[16] = 2;
        bytes[23..27].copy_from_slice(&(self.records - 1).to_be_bytes());
        bytes[27..35].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        bytes[51..53].copy_from_slice(&0i16.to_be_bytes());
        bytes[57..61].copy_from_slice(&self.records.to_be_bytes());
        // The payload says where it belongs, so that no two batches are alike.
        for (at, byte) in bytes[BatchHeader::BYTES..].iter_mut().enumerate() {
            *byte = (self.base_offset as u8).wrapping_mul(31).wrapping_add(at as u8);
        }
        let checksum = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    pub(crate) fn summary(&self) -> BatchSummary {
        let summary = BatchHeader::parse(&self.bytes()).unwrap().summary();
        assert_eq!(
            (summary.base_offset, summary.leader_epoch),
            (Offset(self.base_offset), LeaderEpoch(self.leader_epoch))
        );
        summary
    }
}

pub(crate) fn append(log: &mut Log, batch: &Batch, now: Timestamp) -> Result<(), AppendError> {
    let bytes = batch.bytes();
    let (prefix, rest) = bytes.split_first_chunk().unwrap();
    log.append(&batch.summary(), prefix, rest, now, &Vec::new)
}
