//! Finding batches by their time. The record in them is for those who can read records.

use std::io;

use bytes::Bytes;
use record::BatchSummary;
use types::{Offset, Timestamp};

use crate::index::TimeEntry;
use crate::reader::{LogReader, ReadError};
use crate::scan::{self, Headers};
use crate::segment::Segment;

/// A batch that was found by its time.
#[derive(Clone, Debug)]
pub struct FoundBatch {
    /// The facts of its header.
    pub summary: BatchSummary,
    /// The whole batch.
    pub bytes: Bytes,
}

impl LogReader {
    /// The first batch before `upto`, and not wholly before the log's start, whose largest timestamp is at least `target`.
    pub fn batch_for_timestamp(
        &self,
        target: Timestamp,
        upto: Offset,
    ) -> Result<Option<FoundBatch>, ReadError> {
        for segment in self.segments().iter() {
            if segment.base() >= upto {
                break;
            }
            if segment.max_timestamp().timestamp < target || segment.next() <= self.log_start() {
                continue;
            }
            if let Some(found) = self.search_segment(segment, target, upto)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The largest timestamp of all batches that begin before `upto`; none if there is no batch with a time.
    pub fn max_timestamp(&self, upto: Offset) -> Result<Option<Timestamp>, ReadError> {
        let mut largest = Timestamp::NONE;
        for segment in self.segments().iter().filter(|segment| segment.size() > 0 && segment.base() < upto) {
            let of_segment = match segment.next() <= upto {
                true => segment.max_timestamp(),
                false => max_timestamp_before(segment, upto)?,
            };
            largest = largest.max(of_segment.timestamp);
        }
        Ok(Some(largest).filter(|&largest| largest >= Timestamp(0)))
    }

    fn search_segment(
        &self,
        segment: &Segment,
        target: Timestamp,
        upto: Offset,
    ) -> Result<Option<FoundBatch>, ReadError> {
        let file = segment.log()?;
        let log_start = self.log_start();
        let mut headers = Headers::new(&*file, segment.start_for_timestamp(target)?, segment.size());
        while let Some((position, summary)) = headers.next()? {
            if summary.base_offset >= upto {
                break;
            }
            if summary.max_timestamp >= target && summary.last_offset() >= log_start {
                let bytes = scan::read_batch(&*file, position, &summary)?;
                return Ok(Some(FoundBatch { summary, bytes }));
            }
        }
        Ok(None)
    }
}

/// The largest timestamp of the batches of an active segment that begin before `upto`.
fn max_timestamp_before(segment: &Segment, upto: Offset) -> io::Result<TimeEntry> {
    let indexed = segment.times.last_where(|entry| entry.last_offset < upto)?;
    let mut largest =
        indexed.unwrap_or(TimeEntry { timestamp: Timestamp::NONE, last_offset: segment.base() });
    let file = segment.log()?;
    let mut headers = Headers::new(&*file, segment.position_of(largest.last_offset)?, segment.size());
    while let Some((_, header)) = headers.next()? {
        if header.base_offset >= upto {
            break;
        }
        if header.max_timestamp > largest.timestamp {
            largest = TimeEntry { timestamp: header.max_timestamp, last_offset: header.last_offset() };
        }
    }
    Ok(largest)
}
