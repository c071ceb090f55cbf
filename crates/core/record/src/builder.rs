//! Making a batch: what producers do, and the broker for its own logs.

use std::io;

use bytes::Bytes;
use types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use crate::batch::checksum;
use crate::header::{BatchHeader, CONTROL_BIT, CRC_AT, LENGTH_AT, LENGTH_OVERHEAD, MAGIC, TRANSACTIONAL_BIT};
use crate::{Compression, RecordHeader, varint};

/// Collects records and makes a batch of them.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    compression: Compression,
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    base_sequence: Sequence,
    attributes: i16,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    count: i32,
    records: Vec<u8>,
}

impl Default for BatchBuilder {
    fn default() -> BatchBuilder {
        BatchBuilder::new(Compression::None)
    }
}

impl BatchBuilder {
    /// An empty batch of no producer.
    pub fn new(compression: Compression) -> BatchBuilder {
        BatchBuilder {
            compression,
            base_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::NONE,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: Sequence::NONE,
            attributes: 0,
            base_timestamp: Timestamp::NONE,
            max_timestamp: Timestamp::NONE,
            count: 0,
            records: Vec::new(),
        }
    }

    /// Of an idempotent producer.
    #[must_use]
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: Sequence) -> BatchBuilder {
        (self.producer_id, self.producer_epoch, self.base_sequence) = (id, epoch, base_sequence);
        self
    }

    /// At its final place in a log.
    #[must_use]
    pub fn at(mut self, base_offset: Offset, leader_epoch: LeaderEpoch) -> BatchBuilder {
        (self.base_offset, self.leader_epoch) = (base_offset, leader_epoch);
        self
    }

    /// Part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> BatchBuilder {
        self.attributes |= TRANSACTIONAL_BIT;
        self
    }

    /// A marker, which consumers do not see.
    #[must_use]
    pub fn control(mut self) -> BatchBuilder {
        self.attributes |= CONTROL_BIT;
        self
    }

    /// Adds a record.
    pub fn push(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader],
    ) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let record = RecordFields { key, value, headers };
        let timestamp_delta = timestamp.0.wrapping_sub(self.base_timestamp.0);
        encode_record(&mut self.records, timestamp_delta, i64::from(self.count), record);
        self.count += 1;
    }

    /// How many records it holds.
    pub fn record_count(&self) -> i32 {
        self.count
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The size of the batch, before compression.
    pub fn size_bytes(&self) -> usize {
        BatchHeader::BYTES + self.records.len()
    }

    /// The batch. Fails if there is more in it than a batch can hold.
    pub fn build(self) -> io::Result<Bytes> {
        let records = self.compression.compress(self.records)?;
        let size = BatchHeader::BYTES + records.len();
        let length = i32::try_from(size - LENGTH_OVERHEAD).map_err(io::Error::other)?;
        let mut batch = Vec::with_capacity(size);
        batch.extend_from_slice(&self.base_offset.0.to_be_bytes());
        debug_assert_eq!(batch.len(), LENGTH_AT);
        batch.extend_from_slice(&length.to_be_bytes());
        batch.extend_from_slice(&self.leader_epoch.0.to_be_bytes());
        batch.extend_from_slice(&MAGIC.to_be_bytes());
        debug_assert_eq!(batch.len(), CRC_AT);
        batch.extend_from_slice(&[0; 4]);
        batch.extend_from_slice(&(self.attributes | self.compression.id()).to_be_bytes());
        batch.extend_from_slice(&(self.count - 1).to_be_bytes());
        batch.extend_from_slice(&self.base_timestamp.0.to_be_bytes());
        batch.extend_from_slice(&self.max_timestamp.0.to_be_bytes());
        batch.extend_from_slice(&self.producer_id.0.to_be_bytes());
        batch.extend_from_slice(&self.producer_epoch.0.to_be_bytes());
        batch.extend_from_slice(&self.base_sequence.0.to_be_bytes());
        batch.extend_from_slice(&self.count.to_be_bytes());
        debug_assert_eq!(batch.len(), BatchHeader::BYTES);
        batch.extend_from_slice(&records);
        let crc = checksum(&batch);
        batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        Ok(batch.into())
    }
}

/// What a record holds beside its place and time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordFields<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [RecordHeader],
}

/// Appends a record as `record` reads it.
pub(crate) fn encode_record(
    out: &mut Vec<u8>,
    timestamp_delta: i64,
    offset_delta: i64,
    record: RecordFields<'_>,
) {
    let RecordFields { key, value, headers } = record;
    let mut body = Vec::with_capacity(
        16 + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers.len() * 16,
    );
    body.push(0);
    varint::write(&mut body, timestamp_delta);
    varint::write(&mut body, offset_delta);
    write_field(&mut body, key);
    write_field(&mut body, value);
    varint::write(&mut body, len_i64(headers.len()));
    for header in headers {
        write_field(&mut body, Some(&header.key));
        write_field(&mut body, header.value.as_deref());
    }
    varint::write(out, len_i64(body.len()));
    out.extend_from_slice(&body);
}

fn write_field(body: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => varint::write(body, -1),
        Some(field) => {
            varint::write(body, len_i64(field.len()));
            body.extend_from_slice(field);
        }
    }
}

fn len_i64(len: usize) -> i64 {
    i64::try_from(len).expect("no slice is longer than i64::MAX")
}
