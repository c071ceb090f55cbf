//! What compaction leaves of a batch: offsets, producer and attributes as they were, and only some of the records.

use bytes::Bytes;
use types::Timestamp;

use crate::batch::{change_attributes, seal};
use crate::builder::{RecordFields, encode_record};
use crate::header::{
    BASE_TIMESTAMP_AT, COMPRESSION_MASK, DELETE_HORIZON_BIT, LENGTH_AT, LENGTH_OVERHEAD, MAX_TIMESTAMP_AT,
    RECORD_COUNT_AT,
};
use crate::{Batch, BatchHeader, Record, RecordError, TimestampType};

/// What is left of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compacted {
    /// All of it, byte for byte.
    Whole,
    /// A batch with fewer records, or with a delete horizon that it did not have.
    Part(Bytes),
    /// No record.
    Nothing,
}

/// Keeps the records that `keep` says. A batch that holds a tombstone, or is a marker that `is_marker_done` with, and has
/// no delete horizon yet gets `horizon`: from then on the clock runs for them (KIP-534).
pub fn compacted(
    batch: &Batch,
    is_marker_done: bool,
    horizon: Timestamp,
    mut keep: impl FnMut(&Record) -> bool,
) -> Result<Compacted, RecordError> {
    let (mut kept, mut is_whole, mut wants_horizon) = (Vec::new(), true, is_marker_done);
    for record in batch.records()? {
        let record = record?;
        if keep(&record) {
            wants_horizon |= record.value.is_none();
            kept.push(record);
        } else {
            is_whole = false;
        }
    }
    let new_horizon = (wants_horizon && !batch.header().has_delete_horizon).then_some(horizon);
    match (kept.is_empty(), is_whole && new_horizon.is_none()) {
        (true, _) => Ok(Compacted::Nothing),
        (false, true) => Ok(Compacted::Whole),
        (false, false) => rewritten(batch, &kept, new_horizon).map(Compacted::Part),
    }
}

/// The batch without its records: it still says how far its producer and the log had come.
pub fn emptied(batch: &Batch) -> Bytes {
    let mut bytes = batch.bytes()[..BatchHeader::BYTES].to_vec();
    change_attributes(&mut bytes, |attributes| attributes & !(COMPRESSION_MASK | DELETE_HORIZON_BIT));
    let max_timestamp = batch.header().max_timestamp;
    finish(bytes, max_timestamp, max_timestamp, 0).expect("a header alone is short enough")
}

fn rewritten(batch: &Batch, kept: &[Record], new_horizon: Option<Timestamp>) -> Result<Bytes, RecordError> {
    let header = batch.header();
    let first = kept.first().expect("the caller has looked").timestamp;
    let base_timestamp = new_horizon.or(header.delete_horizon()).unwrap_or(first);
    let max_timestamp = match header.timestamp_type {
        TimestampType::CreateTime => kept.iter().map(|record| record.timestamp).max().unwrap_or(first),
        TimestampType::LogAppendTime => header.max_timestamp,
    };
    let mut records = Vec::with_capacity(batch.bytes().len());
    for record in kept {
        let fields = RecordFields {
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        };
        let timestamp_delta = record.timestamp.0.wrapping_sub(base_timestamp.0);
        encode_record(&mut records, timestamp_delta, record.offset.since(header.base_offset), fields);
    }
    let failed = |error: std::io::Error| RecordError::Compression { reason: error.to_string() };
    let mut bytes = batch.bytes()[..BatchHeader::BYTES].to_vec();
    bytes.extend_from_slice(&header.compression.compress(records).map_err(failed)?);
    if new_horizon.is_some() {
        change_attributes(&mut bytes, |attributes| attributes | DELETE_HORIZON_BIT);
    }
    finish(bytes, base_timestamp, max_timestamp, kept.len()).map_err(failed)
}

fn finish(
    mut bytes: Vec<u8>,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    count: usize,
) -> std::io::Result<Bytes> {
    let length = i32::try_from(bytes.len() - LENGTH_OVERHEAD).map_err(std::io::Error::other)?;
    let count = i32::try_from(count).map_err(std::io::Error::other)?;
    bytes[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
    bytes[BASE_TIMESTAMP_AT..BASE_TIMESTAMP_AT + 8].copy_from_slice(&base_timestamp.0.to_be_bytes());
    bytes[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&max_timestamp.0.to_be_bytes());
    bytes[RECORD_COUNT_AT..RECORD_COUNT_AT + 4].copy_from_slice(&count.to_be_bytes());
    seal(&mut bytes);
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

    use super::*;
    use crate::{BatchBuilder, Compression};

    fn batch(compression: Compression, values: &[Option<&[u8]>]) -> Batch {
        let mut builder = BatchBuilder::new(compression).at(Offset(100), LeaderEpoch(7)).producer(
            ProducerId(5),
            ProducerEpoch(2),
            Sequence(40),
        );
        for (at, value) in values.iter().enumerate() {
            builder.push(Timestamp(1000 + at as i64), Some(&[at as u8]), *value, &[]);
        }
        Batch::parse(&builder.build().unwrap()).unwrap().unwrap()
    }

    fn part(compacted: Compacted) -> Batch {
        let Compacted::Part(bytes) = compacted else { panic!("{compacted:?}") };
        let batch = Batch::parse(&bytes).unwrap().unwrap();
        assert!(batch.is_intact() && batch.bytes().len() == bytes.len());
        batch
    }

    fn records(batch: &Batch) -> Vec<(i64, i64)> {
        batch.records().unwrap().map(|record| record.unwrap()).map(|r| (r.offset.0, r.timestamp.0)).collect()
    }

    #[test]
    fn kept_records_keep_their_offsets_and_times() {
        for compression in Compression::ALL {
            let before = batch(compression, &[Some(b"a"), Some(b"b"), Some(b"c"), Some(b"d")]);
            let keep = |record: &Record| [101, 102].contains(&record.offset.0);
            let after = part(compacted(&before, false, Timestamp(9), keep).unwrap());
            assert_eq!(records(&after), [(101, 1001), (102, 1002)]);
            let (old, new) = (before.header(), after.header());
            assert_eq!((new.base_offset, new.last_offset()), (old.base_offset, old.last_offset()));
            assert_eq!((new.producer_id, new.base_sequence), (old.producer_id, old.base_sequence));
            assert_eq!((new.compression, new.leader_epoch), (old.compression, old.leader_epoch));
            assert_eq!((new.record_count, new.max_timestamp), (2, Timestamp(1002)));
        }
    }

    #[test]
    fn a_batch_of_which_all_is_kept_is_not_touched() {
        let before = batch(Compression::None, &[Some(b"a"), Some(b"b")]);
        assert_eq!(compacted(&before, false, Timestamp(9), |_| true), Ok(Compacted::Whole));
        assert_eq!(compacted(&before, false, Timestamp(9), |_| false), Ok(Compacted::Nothing));
    }

    #[test]
    fn tombstones_get_a_horizon_once() {
        let before = batch(Compression::Lz4, &[Some(b"a"), None]);
        let after = part(compacted(&before, false, Timestamp(5_000_000), |_| true).unwrap());
        assert_eq!(after.header().delete_horizon(), Some(Timestamp(5_000_000)));
        assert_eq!(records(&after), [(100, 1000), (101, 1001)], "times are what they were");
        assert_eq!(compacted(&after, false, Timestamp(7_000_000), |_| true), Ok(Compacted::Whole));
        let again = part(compacted(&after, false, Timestamp(7), |record| record.value.is_none()).unwrap());
        assert_eq!(again.header().delete_horizon(), Some(Timestamp(5_000_000)));
        assert_eq!(records(&again), [(101, 1001)]);
    }

    #[test]
    fn an_emptied_batch_still_has_its_place_and_its_producer() {
        let before = batch(Compression::Zstd, &[Some(b"a"), None, Some(b"b")]);
        let bytes = emptied(&before);
        let after = Batch::parse(&bytes).unwrap().unwrap();
        assert!(after.is_intact());
        assert_eq!((bytes.len(), after.header().record_count), (BatchHeader::BYTES, 0));
        assert_eq!(after.header().summary().last_offset(), Offset(102));
        assert_eq!(after.header().producer_id, ProducerId(5));
        assert_eq!(after.header().base_sequence, Sequence(40));
        assert_eq!(after.records().unwrap().count(), 0);
    }
}
