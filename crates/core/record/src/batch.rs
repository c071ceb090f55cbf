//! A batch as bytes, and walking over the batches of a response or a segment.

use bytes::{Bytes, BytesMut};
use types::Timestamp;

use crate::TimestampType;
use crate::header::{ATTRIBUTES_AT, BatchHeader, CRC_AT, HeaderError, LOG_APPEND_TIME_BIT, MAX_TIMESTAMP_AT};
use crate::record::{RecordError, Records};

/// One whole batch, sharing the memory it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    /// The batch that `bytes` start with; `None` if they end before it does. The checksum is not looked at.
    pub fn parse(bytes: &Bytes) -> Result<Option<Batch>, HeaderError> {
        if bytes.len() < BatchHeader::BYTES {
            return Ok(None);
        }
        let header = BatchHeader::parse(bytes)?;
        let size = header.size_bytes as usize;
        Ok((size <= bytes.len()).then(|| Batch { header, bytes: bytes.slice(..size) }))
    }

    /// Its header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All of its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether the bytes are those that the checksum was made of.
    pub fn is_intact(&self) -> bool {
        checksum(&self.bytes) == self.header.crc
    }

    /// Its records, decompressed if need be.
    pub fn records(&self) -> Result<Records, RecordError> {
        let header = &self.header;
        let records = header
            .compression
            .decompress(&self.bytes.slice(BatchHeader::BYTES..))
            .map_err(|error| RecordError::Decompression { reason: error.to_string() })?;
        let log_append_time = match header.timestamp_type {
            TimestampType::LogAppendTime => Some(header.max_timestamp),
            TimestampType::CreateTime => None,
        };
        Ok(Records::new(
            records,
            header.base_offset,
            header.base_timestamp,
            log_append_time,
            header.record_count,
        ))
    }
}

/// The whole batches in `bytes`, one after the other. A batch that is cut off at the end is left out, as fetch responses
/// have it.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Batches {
    /// From the start of `bytes`.
    pub fn new(bytes: Bytes) -> Batches {
        Batches { rest: bytes }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, HeaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        match Batch::parse(&self.rest) {
            Ok(Some(batch)) => {
                self.rest = self.rest.slice(batch.bytes.len()..);
                Some(Ok(batch))
            }
            Ok(None) => None,
            Err(error) => {
                self.rest = Bytes::new();
                Some(Err(error))
            }
        }
    }
}

/// The checksum of a whole batch.
pub(crate) fn checksum(batch: &[u8]) -> u32 {
    crc32c::crc32c(&batch[ATTRIBUTES_AT..])
}

/// A copy of a whole batch in which all records have the broker's time. The one change of a batch that the checksum
/// covers.
pub fn with_log_append_time(batch: &[u8], time: Timestamp) -> Bytes {
    let mut bytes = BytesMut::from(batch);
    let attributes =
        i16::from_be_bytes([bytes[ATTRIBUTES_AT], bytes[ATTRIBUTES_AT + 1]]) | LOG_APPEND_TIME_BIT;
    bytes[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
    bytes[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&time.0.to_be_bytes());
    let crc = checksum(&bytes);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}
