//! One record, and walking over the records of a batch.
//!
//! ```text
//! length varint | attributes i8 | timestamp delta varlong | offset delta varint
//! | key length varint, key | value length varint, value | header count varint
//! | for each header: key length varint, key | value length varint, value
//! ```
//!
//! A length of -1 is null, for keys and values.

use bytes::Bytes;
use types::{Offset, Timestamp};

use crate::varint;

/// One record, sharing the memory of its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it is in its partition.
    pub offset: Offset,
    /// The producer's time, or the broker's when the batch says so.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; null is a tombstone in a compacted topic.
    pub value: Option<Bytes>,
    /// Its headers, in order; a key may come more than once.
    pub headers: Vec<RecordHeader>,
}

/// One header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Its key: UTF-8 if its producer keeps to the protocol, which nothing here relies on.
    pub key: Bytes,
    /// Its value.
    pub value: Option<Bytes>,
}

/// A batch whose records cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The codec failed.
    #[error("cannot decompress the records: {reason}")]
    Decompression {
        /// What it said.
        reason: String,
    },
    /// The topic's codec failed.
    #[error("cannot compress the records: {reason}")]
    Compression {
        /// What it said.
        reason: String,
    },
    /// A field lies outside its record, or a length cannot be.
    #[error("record {index} of the batch is malformed")]
    Malformed {
        /// Counted from 0.
        index: i32,
    },
    /// There are other bytes or records than the header announces.
    #[error("the batch announces {announced} records and holds something else")]
    WrongCount {
        /// What the header says.
        announced: i32,
    },
}

/// The records of a batch, one after the other; ends after the first error.
#[derive(Debug)]
pub struct Records {
    bytes: Bytes,
    at: usize,
    base_offset: Offset,
    base_timestamp: Timestamp,
    /// The time of every record, if the broker gave it.
    log_append_time: Option<Timestamp>,
    count: i32,
    index: i32,
}

impl Records {
    pub(crate) fn new(
        bytes: Bytes,
        base_offset: Offset,
        base_timestamp: Timestamp,
        log_append_time: Option<Timestamp>,
        count: i32,
    ) -> Records {
        Records { bytes, at: 0, base_offset, base_timestamp, log_append_time, count, index: 0 }
    }

    fn read(&mut self) -> Option<Record> {
        let mut rest = &self.bytes[self.at..];
        let len = usize::try_from(varint::read_i32(&mut rest)?).ok()?;
        let start = self.bytes.len() - rest.len();
        let mut body = rest.get(..len)?;
        let end = start + len;
        // Attributes: none are defined.
        body = body.get(1..)?;
        let timestamp_delta = varint::read_i64(&mut body)?;
        let offset_delta = varint::read_i32(&mut body)?;
        let key = self.field(&mut body, end)?;
        let value = self.field(&mut body, end)?;
        let count = usize::try_from(varint::read_i32(&mut body)?).ok()?;
        // A header takes two bytes at least, so that the count cannot make us allocate more than was sent.
        if count > body.len() / 2 {
            return None;
        }
        let mut headers = Vec::with_capacity(count);
        for _ in 0..count {
            let key = self.field(&mut body, end)??;
            headers.push(RecordHeader { key, value: self.field(&mut body, end)? });
        }
        if !body.is_empty() {
            return None;
        }
        self.at = end;
        Some(Record {
            offset: Offset(self.base_offset.0.checked_add(i64::from(offset_delta))?),
            timestamp: match self.log_append_time {
                Some(time) => time,
                None => Timestamp(self.base_timestamp.0.checked_add(timestamp_delta)?),
            },
            key,
            value,
            headers,
        })
    }

    /// A length and so many bytes; the inner `None` is null.
    fn field(&self, body: &mut &[u8], end: usize) -> Option<Option<Bytes>> {
        let len = varint::read_i32(body)?;
        if len == -1 {
            return Some(None);
        }
        let len = usize::try_from(len).ok().filter(|len| *len <= body.len())?;
        let start = end - body.len();
        *body = &body[len..];
        Some(Some(self.bytes.slice(start..start + len)))
    }
}

impl Iterator for Records {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.count {
            let has_ended = std::mem::replace(&mut self.at, self.bytes.len()) == self.bytes.len();
            return if has_ended {
                None
            } else {
                Some(Err(RecordError::WrongCount { announced: self.count }))
            };
        }
        let index = self.index;
        match self.read() {
            Some(record) => {
                self.index += 1;
                Some(Ok(record))
            }
            None => {
                self.index = self.count;
                self.at = self.bytes.len();
                Some(Err(RecordError::Malformed { index }))
            }
        }
    }
}
