//! What readers see of a log. They never wait for the writer: bounds are atomics, the list of segments is behind a lock
//! that is held for the time of a reference count.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use record::BatchSummary;
use types::{Offset, TopicPartition};

use crate::disk::{Disk, DiskFile, read_exact_at};
use crate::scan::Headers;
use crate::segment::Segment;

/// The list of segments, oldest first, never empty; the last one is active.
pub(crate) type Segments = Arc<[Arc<Segment>]>;

/// One log, for reading. Shared by all who read it.
#[derive(Debug)]
pub struct LogReader {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: Arc<Path>,
    pub(crate) topic: String,
    pub(crate) id: TopicPartition,
    segments: Mutex<Segments>,
    log_start: AtomicI64,
    log_end: AtomicI64,
    /// All before it survives a crash of the machine.
    recovery_point: AtomicI64,
    /// All before it survives a crash of the process.
    written_point: AtomicI64,
    /// All records before it survive a crash of the machine, though recovery looks at them.
    flushed: AtomicI64,
    /// All before it is compacted; negative if that was never so.
    compacted_upto: AtomicI64,
    points: Mutex<Points>,
}

/// Guards the two points above against a truncation between their being taken and being set.
#[derive(Debug, Default)]
struct Points {
    truncations: u64,
}

/// Whole batches, as ranges of files.
#[derive(Clone, Debug, Default)]
pub struct LogSlice {
    /// In order of their offsets.
    pub ranges: Vec<FileRange>,
}

impl LogSlice {
    /// The bytes of all ranges.
    pub fn len(&self) -> u32 {
        self.ranges.iter().map(|range| range.len).sum()
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Copies all ranges into one buffer.
    pub fn read_to_bytes(&self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.len() as usize];
        let mut at = 0;
        for range in &self.ranges {
            let end = at + range.len as usize;
            read_exact_at(&*range.file, &mut bytes[at..end], range.position)?;
            at = end;
        }
        Ok(bytes.into())
    }
}

/// A part of a file. It holds the file open, so that retention and deletion do not disturb it.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// The segment's log file.
    pub file: Arc<dyn DiskFile>,
    /// The first byte.
    pub position: u64,
    /// How many bytes.
    pub len: u32,
}

impl FileRange {
    /// Copies the range.
    pub fn read_to_bytes(&self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.len as usize];
        read_exact_at(&*self.file, &mut bytes, self.position)?;
        Ok(bytes.into())
    }
}

/// A log was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset is not, or no longer, in the log.
    #[error("offset {offset} is outside the log, which holds {log_start} to {log_end}")]
    OutOfRange {
        /// What was asked for.
        offset: Offset,
        /// The first offset there is.
        log_start: Offset,
        /// The offset of the next record.
        log_end: Offset,
    },
    /// The disk failed, or what it holds is not a log.
    #[error("the log could not be read: {0}")]
    Io(#[from] io::Error),
}

impl ReadError {
    /// What a client is told.
    pub fn code(&self) -> types::ErrorCode {
        match self {
            ReadError::OutOfRange { .. } => types::ErrorCode::OffsetOutOfRange,
            ReadError::Io(_) => types::ErrorCode::KafkaStorageError,
        }
    }
}

impl LogReader {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: Arc<Path>,
        topic: &str,
        id: TopicPartition,
        segments: Segments,
    ) -> LogReader {
        LogReader {
            disk,
            dir,
            topic: topic.to_owned(),
            id,
            segments: Mutex::new(segments),
            log_start: AtomicI64::new(0),
            log_end: AtomicI64::new(0),
            recovery_point: AtomicI64::new(0),
            written_point: AtomicI64::new(0),
            flushed: AtomicI64::new(0),
            compacted_upto: AtomicI64::new(-1),
            points: Mutex::default(),
        }
    }

    /// Which partition this is.
    pub fn id(&self) -> TopicPartition {
        self.id
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The first offset that is not deleted.
    pub fn log_start(&self) -> Offset {
        Offset(self.log_start.load(Ordering::Acquire))
    }

    /// The offset that the next record gets.
    pub fn log_end(&self) -> Offset {
        Offset(self.log_end.load(Ordering::Acquire))
    }

    /// What is before it survives a crash of the machine, and is not looked at by recovery.
    pub fn recovery_point(&self) -> Offset {
        Offset(self.recovery_point.load(Ordering::Acquire))
    }

    pub(crate) fn written_point(&self) -> Offset {
        Offset(self.written_point.load(Ordering::Acquire))
    }

    /// The bytes of all log files.
    pub fn size_bytes(&self) -> u64 {
        self.segments().iter().map(|segment| u64::from(segment.size())).sum()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments().len()
    }

    /// The whole batches from the one that holds `from`, up to and without the first that begins at or after `upto`, and
    /// within `max_bytes`; a first batch that is larger than that is given if `at_least_one`. Nothing if `from` is the end.
    pub fn read(
        &self,
        from: Offset,
        upto: Offset,
        max_bytes: u32,
        at_least_one: bool,
    ) -> Result<LogSlice, ReadError> {
        let (log_start, log_end) = (self.log_start(), self.log_end());
        if from < log_start || from > log_end {
            return Err(ReadError::OutOfRange { offset: from, log_start, log_end });
        }
        let mut slice = LogSlice::default();
        let (mut from, mut left, upto) = (from, max_bytes, upto.min(log_end));
        if from >= upto {
            return Ok(slice);
        }
        let segments = self.segments();
        let first = segments.partition_point(|segment| segment.base() <= from).saturating_sub(1);
        for segment in &segments[first..] {
            if segment.base() >= upto {
                break;
            }
            from = from.max(segment.base());
            let Some(span) = segment.span(from, upto, left, at_least_one && slice.is_empty())? else {
                continue; // A gap in the offsets ends the segment: the next one goes on.
            };
            if span.len == 0 {
                break;
            }
            slice.ranges.push(FileRange {
                file: segment.log()?,
                position: u64::from(span.position),
                len: span.len,
            });
            left = left.saturating_sub(span.len);
            if left == 0 || span.position + span.len < segment.size() {
                break;
            }
        }
        Ok(slice)
    }

    /// The headers of the batches from the one that holds `from` to the end.
    pub(crate) fn for_each_batch(&self, from: Offset, mut visit: impl FnMut(BatchSummary)) -> io::Result<()> {
        for segment in self.segments().iter().filter(|segment| segment.next() > from) {
            let file = segment.log()?;
            let mut headers = Headers::new(&*file, segment.position_of(from)?, segment.size());
            while let Some((_, header)) = headers.next()? {
                visit(header);
            }
        }
        Ok(())
    }

    pub(crate) fn segments(&self) -> Segments {
        Arc::clone(&self.segments.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_segments(&self, segments: Vec<Arc<Segment>>) {
        assert!(!segments.is_empty(), "a log has an active segment");
        *self.segments.lock().unwrap_or_else(PoisonError::into_inner) = segments.into();
    }

    /// Closes all files; they are opened again when they are needed. Not beside a writer.
    pub(crate) fn close_files(&self) {
        self.set_segments(self.segments().iter().map(|segment| Arc::new(segment.at_rest())).collect());
    }

    pub(crate) fn set_log_start(&self, offset: Offset) {
        self.log_start.store(offset.0, Ordering::Release);
    }

    pub(crate) fn set_log_end(&self, offset: Offset) {
        self.log_end.store(offset.0, Ordering::Release);
    }

    /// Where recovery begins, as the checkpoints say.
    pub(crate) fn set_points(&self, recovery_point: Offset, written_point: Offset) {
        self.recovery_point.store(recovery_point.0, Ordering::Release);
        self.written_point.store(written_point.0.max(recovery_point.0), Ordering::Release);
        self.flushed.store(recovery_point.0, Ordering::Release);
    }

    /// All before it was compacted; `None` if nothing ever was.
    pub fn compacted_upto(&self) -> Option<Offset> {
        Some(Offset(self.compacted_upto.load(Ordering::Acquire))).filter(|&upto| upto >= Offset::ZERO)
    }

    pub(crate) fn set_compacted_upto(&self, upto: Option<Offset>) {
        self.compacted_upto.store(upto.map_or(-1, |upto| upto.0), Ordering::Release);
    }

    pub(crate) fn flushed(&self) -> Offset {
        Offset(self.flushed.load(Ordering::Acquire))
    }

    /// Counts truncations: a point that was taken before one says nothing of what came after it.
    pub(crate) fn truncations(&self) -> u64 {
        self.points.lock().unwrap_or_else(PoisonError::into_inner).truncations
    }

    pub(crate) fn advance_recovery_point(&self, upto: Offset, truncations: u64) {
        let points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        if points.truncations == truncations {
            self.recovery_point.fetch_max(upto.0, Ordering::AcqRel);
            self.written_point.fetch_max(upto.0, Ordering::AcqRel);
            self.flushed.fetch_max(upto.0, Ordering::AcqRel);
        }
    }

    pub(crate) fn advance_flushed(&self, upto: Offset, truncations: u64) {
        let points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        if points.truncations == truncations {
            self.flushed.fetch_max(upto.0, Ordering::AcqRel);
        }
    }

    pub(crate) fn advance_written_point(&self, upto: Offset, truncations: u64) {
        let points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        if points.truncations == truncations {
            self.written_point.fetch_max(upto.0, Ordering::AcqRel);
        }
    }

    /// Pulls both points back to `end`.
    pub(crate) fn truncate_points(&self, end: Offset) {
        let mut points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        points.truncations += 1;
        self.recovery_point.fetch_min(end.0, Ordering::AcqRel);
        self.written_point.fetch_min(end.0, Ordering::AcqRel);
        self.flushed.fetch_min(end.0, Ordering::AcqRel);
        self.compacted_upto.fetch_min(end.0, Ordering::AcqRel);
    }

    /// Differs from log to log and from segment to segment, so that not all roll at once.
    pub(crate) fn jitter_seed(&self, base: Offset) -> u64 {
        let id = u128::from_be_bytes(self.id.topic.0.0);
        (id as u64) ^ ((id >> 64) as u64) ^ (self.id.partition.0 as u64).rotate_left(32) ^ base.0 as u64
    }
}
