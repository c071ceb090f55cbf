//! One segment: a log file with its two indexes. Many read it, one appends. Knows batches as far as their header, and
//! nothing of the segments beside it.
//!
//! What is published are three numbers: `next` first, `size` after it. A reader that takes `size` and then `next` knows
//! that all bytes below `size` hold offsets below `next`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use types::{Offset, Timestamp};

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::index::{Entry, Index, OffsetEntry, TimeEntry};
use crate::names;
use crate::open_files::FileSlot;
use crate::scan::Headers;

#[derive(Debug)]
pub(crate) struct Segment {
    disk: Arc<dyn Disk>,
    dir: Arc<Path>,
    base: Offset,
    log: FileSlot,
    pub(crate) offsets: Index<OffsetEntry>,
    pub(crate) times: Index<TimeEntry>,
    size: AtomicU32,
    next: AtomicI64,
    /// The largest timestamp, and the last offset of the first batch that has it.
    max_timestamp: AtomicI64,
    max_timestamp_offset: AtomicI64,
}

/// Where a read begins and how far it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) position: u32,
    pub(crate) len: u32,
}

impl Segment {
    /// Creates the files of an empty segment, over what may be left of an earlier try.
    pub(crate) fn create(disk: &Arc<dyn Disk>, dir: &Arc<Path>, base: Offset) -> io::Result<Segment> {
        for extension in [names::OFFSET_INDEX, names::TIME_INDEX] {
            disk.open(&names::segment_file(dir, base, extension), OpenMode::Truncate)?;
        }
        let log = disk.open(&names::segment_file(dir, base, names::LOG), OpenMode::Truncate)?;
        Ok(Segment { log: FileSlot::opened(&**disk, log), ..Segment::new(disk, dir, base, [0, 0]) })
    }

    /// Opens what a crash or a clean stop left; sizes are those of the files until recovery has looked at them.
    pub(crate) fn open(disk: &Arc<dyn Disk>, dir: &Arc<Path>, base: Offset) -> io::Result<Segment> {
        let len = |extension, mode| disk.open(&names::segment_file(dir, base, extension), mode)?.len();
        // An index that is missing is an empty one, and is rebuilt.
        let count = |extension, bytes: usize| -> io::Result<u32> {
            Ok(u32::try_from(len(extension, OpenMode::Create)? / bytes as u64).unwrap_or(u32::MAX))
        };
        let size = u32::try_from(len(names::LOG, OpenMode::Read)?).unwrap_or(u32::MAX);
        let counts =
            [count(names::OFFSET_INDEX, OffsetEntry::BYTES)?, count(names::TIME_INDEX, TimeEntry::BYTES)?];
        let segment = Segment::new(disk, dir, base, counts);
        segment.size.store(size, Ordering::Relaxed);
        Ok(segment)
    }

    /// The same segment with its files closed and nothing kept in memory for a writer: what is idle holds no descriptor.
    pub(crate) fn at_rest(&self) -> Segment {
        let counts = [self.offsets.count(), self.times.count()];
        let segment = Segment::new(&self.disk, &self.dir, self.base, counts);
        segment.set_max_timestamp(self.max_timestamp());
        segment.publish(self.next(), self.size());
        segment
    }

    pub(crate) fn new(
        disk: &Arc<dyn Disk>,
        dir: &Arc<Path>,
        base: Offset,
        [offsets, times]: [u32; 2],
    ) -> Segment {
        Segment {
            offsets: Index::new(disk, dir, names::OFFSET_INDEX, base, offsets),
            times: Index::new(disk, dir, names::TIME_INDEX, base, times),
            disk: Arc::clone(disk),
            dir: Arc::clone(dir),
            base,
            log: FileSlot::default(),
            size: AtomicU32::new(0),
            next: AtomicI64::new(base.0),
            max_timestamp: AtomicI64::new(Timestamp::NONE.0),
            max_timestamp_offset: AtomicI64::new(base.0),
        }
    }

    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    /// Bytes that hold whole batches.
    pub(crate) fn size(&self) -> u32 {
        self.size.load(Ordering::Acquire)
    }

    /// The offset after the last record.
    pub(crate) fn next(&self) -> Offset {
        Offset(self.next.load(Ordering::Acquire))
    }

    /// The largest timestamp and the last offset of the first batch that has it; [`Timestamp::NONE`] if there is none.
    pub(crate) fn max_timestamp(&self) -> TimeEntry {
        TimeEntry {
            timestamp: Timestamp(self.max_timestamp.load(Ordering::Acquire)),
            last_offset: Offset(self.max_timestamp_offset.load(Ordering::Acquire)),
        }
    }

    pub(crate) fn set_max_timestamp(&self, entry: TimeEntry) {
        self.max_timestamp_offset.store(entry.last_offset.0, Ordering::Release);
        self.max_timestamp.store(entry.timestamp.0, Ordering::Release);
    }

    /// Lets readers see more, or less; see the head of this file for the order.
    pub(crate) fn publish(&self, next: Offset, size: u32) {
        self.next.store(next.0, Ordering::Release);
        self.size.store(size, Ordering::Release);
    }

    pub(crate) fn log(&self) -> io::Result<Arc<dyn DiskFile>> {
        self.log.get(&*self.disk, || self.path(names::LOG))
    }

    /// Whether it holds a file open.
    pub(crate) fn is_open(&self) -> bool {
        self.log.is_open() || self.offsets.is_open() || self.times.is_open()
    }

    /// Opens all files and holds them, before their names go to others.
    pub(crate) fn pin_all(&self) -> io::Result<()> {
        self.pin_log()?;
        self.offsets.pin()?;
        self.times.pin()
    }

    /// Opens the log file and holds it, before its name goes to another.
    pub(crate) fn pin_log(&self) -> io::Result<()> {
        self.log.pin(&*self.disk, || self.path(names::LOG))
    }

    pub(crate) fn path(&self, extension: &str) -> PathBuf {
        names::segment_file(&self.dir, self.base, extension)
    }

    /// Makes log and indexes durable, the log first: an index entry never points past it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.log()?.sync_data()?;
        self.offsets.sync()?;
        self.times.sync()
    }

    /// The whole batches from the one that holds `from` up to, and without, the one that begins at or after `upto`.
    /// `None` if there is no such batch; an empty span if the first one is larger than `max_bytes`, unless `at_least_one`.
    pub(crate) fn span(
        &self,
        from: Offset,
        upto: Offset,
        max_bytes: u32,
        at_least_one: bool,
    ) -> io::Result<Option<Span>> {
        let size = self.size();
        let next = self.next();
        let file = self.log()?;
        let Some(first) = self.first_batch_ending_at(&*file, from, size)? else { return Ok(None) };
        if first.base_offset >= upto {
            return Ok(None);
        }
        let end = if upto >= next { size } else { self.first_batch_from(&*file, upto, size)? };
        let len = end - first.position;
        if len <= max_bytes {
            return Ok(Some(Span { position: first.position, len }));
        }
        let end =
            self.last_end_within(&*file, first.position, first.position.saturating_add(max_bytes), end)?;
        match end - first.position {
            0 if at_least_one => Ok(Some(Span { position: first.position, len: first.size })),
            len => Ok(Some(Span { position: first.position, len })),
        }
    }

    /// The first batch whose last offset is at or after `offset`.
    fn first_batch_ending_at(
        &self,
        file: &dyn DiskFile,
        offset: Offset,
        size: u32,
    ) -> io::Result<Option<Located>> {
        // The indexed batch itself may be the one, if it ends exactly there; one that ends before cannot be.
        let start =
            self.offsets.last_where(|entry| entry.last_offset <= offset)?.map_or(0, |entry| entry.position);
        let mut headers = Headers::new(file, start, size);
        while let Some((position, header)) = headers.next()? {
            if header.last_offset() >= offset {
                return Ok(Some(Located {
                    position,
                    size: header.size_bytes,
                    base_offset: header.base_offset,
                }));
            }
        }
        Ok(None)
    }

    /// Where the first batch begins whose base offset is at or after `offset`; `size` if there is none.
    fn first_batch_from(&self, file: &dyn DiskFile, offset: Offset, size: u32) -> io::Result<u32> {
        let start =
            self.offsets.last_where(|entry| entry.last_offset < offset)?.map_or(0, |entry| entry.position);
        let mut headers = Headers::new(file, start, size);
        while let Some((position, header)) = headers.next()? {
            if header.base_offset >= offset {
                return Ok(position);
            }
        }
        Ok(size)
    }

    /// The end of the last batch that begins at or after `start` and ends within `limit` and `end`; `start` if none does.
    fn last_end_within(&self, file: &dyn DiskFile, start: u32, limit: u32, end: u32) -> io::Result<u32> {
        let indexed =
            self.offsets.last_where(|entry| entry.position <= limit)?.map_or(0, |entry| entry.position);
        let mut last = start.max(indexed);
        let mut headers = Headers::new(file, last, end);
        while let Some((position, header)) = headers.next()? {
            if position + header.size_bytes > limit {
                break;
            }
            last = position + header.size_bytes;
        }
        Ok(last)
    }

    /// The position from which to look for the first batch with a timestamp of at least `target`.
    pub(crate) fn start_for_timestamp(&self, target: Timestamp) -> io::Result<u32> {
        let before = self.times.last_where(|entry| entry.timestamp < target)?;
        let Some(before) = before else { return Ok(0) };
        let entry = self.offsets.last_where(|entry| entry.last_offset <= before.last_offset)?;
        Ok(entry.map_or(0, |entry| entry.position))
    }

    /// The position of the batch that holds `offset`, or of the first one after it; the end if there is none.
    pub(crate) fn position_of(&self, offset: Offset) -> io::Result<u32> {
        let size = self.size();
        let found = self.first_batch_ending_at(&*self.log()?, offset, size)?;
        Ok(found.map_or(size, |batch| batch.position))
    }
}

struct Located {
    position: u32,
    size: u32,
    base_offset: Offset,
}
