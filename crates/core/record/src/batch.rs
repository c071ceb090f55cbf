//! A batch as bytes, and walking over the batches of a response or a segment.

use bytes::{Bytes, BytesMut};
use types::Timestamp;

use crate::header::{
    ATTRIBUTES_AT, BatchHeader, COMPRESSION_MASK, CRC_AT, HeaderError, LENGTH_AT, LENGTH_OVERHEAD,
    LOG_APPEND_TIME_BIT, MAX_TIMESTAMP_AT,
};
use crate::record::{RecordError, Records};
use crate::{Compression, TimestampType};

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
        let records = self.decompressed()?;
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

    fn decompressed(&self) -> Result<Bytes, RecordError> {
        self.header
            .compression
            .decompress(&self.bytes.slice(BatchHeader::BYTES..))
            .map_err(|error| RecordError::Decompression { reason: error.to_string() })
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

/// A copy of a whole batch in which all records have the broker's time.
pub fn with_log_append_time(batch: &[u8], time: Timestamp) -> Bytes {
    let mut bytes = BytesMut::from(batch);
    change_attributes(&mut bytes, |attributes| attributes | LOG_APPEND_TIME_BIT);
    bytes[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&time.0.to_be_bytes());
    seal(&mut bytes);
    bytes.freeze()
}

/// A batch with the same records under another codec. They are not looked at, only unpacked and packed.
pub(crate) fn recompressed(batch: &Batch, codec: Compression) -> Result<Bytes, RecordError> {
    let failed = |error: std::io::Error| RecordError::Compression { reason: error.to_string() };
    let records = codec.compress(batch.decompressed()?.to_vec()).map_err(failed)?;
    let size = BatchHeader::BYTES + records.len();
    let length =
        i32::try_from(size - LENGTH_OVERHEAD).map_err(|error| failed(std::io::Error::other(error)))?;
    let mut bytes = BytesMut::with_capacity(size);
    bytes.extend_from_slice(&batch.bytes[..BatchHeader::BYTES]);
    bytes.extend_from_slice(&records);
    bytes[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
    change_attributes(&mut bytes, |attributes| attributes & !COMPRESSION_MASK | codec.id());
    seal(&mut bytes);
    Ok(bytes.freeze())
}

pub(crate) fn change_attributes(batch: &mut [u8], change: impl FnOnce(i16) -> i16) {
    let attributes = change(i16::from_be_bytes([batch[ATTRIBUTES_AT], batch[ATTRIBUTES_AT + 1]]));
    batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
}

/// Puts in the checksum of what the batch holds now.
pub(crate) fn seal(batch: &mut [u8]) {
    let crc = checksum(batch);
    batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}
