//! Finding records by their time.

use std::io;

use record::{Batch, BatchSummary};
use types::{LeaderEpoch, Offset, Timestamp};

use crate::index::TimeEntry;
use crate::reader::{LogReader, ReadError};
use crate::scan::{self, Headers};
use crate::segment::Segment;

/// A record that was found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// The record's offset.
    pub offset: Offset,
    /// The epoch in which it was appended.
    pub leader_epoch: LeaderEpoch,
}

impl LogReader {
    /// The first record from the log's start on, and before `upto`, whose timestamp is at least `target`.
    pub fn offset_for_timestamp(
        &self,
        target: Timestamp,
        upto: Offset,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
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

    /// The first of the records before `upto` that have the largest timestamp.
    pub fn max_timestamp_offset(&self, upto: Offset) -> Result<Option<TimestampedOffset>, ReadError> {
        let mut largest = Timestamp::NONE;
        for segment in self.segments().iter().filter(|segment| segment.size() > 0 && segment.base() < upto) {
            let of_segment = match segment.next() <= upto {
                true => segment.max_timestamp(),
                false => max_timestamp_before(segment, upto)?,
            };
            largest = largest.max(of_segment.timestamp);
        }
        if largest < Timestamp(0) {
            return Ok(None);
        }
        self.offset_for_timestamp(largest, upto)
    }

    fn search_segment(
        &self,
        segment: &Segment,
        target: Timestamp,
        upto: Offset,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let file = segment.log()?;
        let log_start = self.log_start();
        let mut headers = Headers::new(&*file, segment.start_for_timestamp(target)?, segment.size());
        while let Some((position, summary)) = headers.next()? {
            if summary.base_offset >= upto {
                break;
            }
            if summary.max_timestamp < target || summary.last_offset() < log_start {
                continue;
            }
            let bytes = scan::read_batch(&*file, position, &summary)?;
            let Some(batch) = Batch::parse(&bytes).map_err(io::Error::other)? else { continue };
            if let Some(found) = first_record(&batch, &summary, target, log_start)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn first_record(
    batch: &Batch,
    summary: &BatchSummary,
    target: Timestamp,
    log_start: Offset,
) -> io::Result<Option<TimestampedOffset>> {
    for record in batch.records().map_err(io::Error::other)? {
        let record = record.map_err(io::Error::other)?;
        if record.timestamp >= target && record.offset >= log_start {
            let (timestamp, offset) = (record.timestamp, record.offset);
            return Ok(Some(TimestampedOffset { timestamp, offset, leader_epoch: summary.leader_epoch }));
        }
    }
    Ok(None)
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

#[cfg(test)]
mod tests;
