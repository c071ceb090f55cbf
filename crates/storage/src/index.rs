//! The two indexes of a segment, as files of fixed-size entries. Knows nothing of the log they point into.
//!
//! ```text
//! offset index   relative offset i32 | position i32         last offset of a batch, and where that batch begins
//! time index     timestamp i64 | relative offset i32        largest timestamp so far, last offset of its batch
//! ```
//!
//! All integers are big-endian; offsets are relative to the segment's base. Entries are only appended, so a reader that
//! has seen the count may read all of them without a lock.

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use types::{Offset, Timestamp};

use crate::disk::{Disk, DiskFile, OpenMode, read_exact_at};
use crate::names;
use crate::open_files::FileSlot;

/// How many of the last entries are kept in memory: readers at the end of the log find theirs without a file.
const TAIL_ENTRIES_MAX: usize = 128;
/// A search reads this much once it is down to so few entries.
const SEARCH_CHUNK_BYTES: usize = 1536;
const TRUST_CHUNK_ENTRIES: usize = 8192;

/// An entry of an index file.
pub(crate) trait Entry: Copy {
    /// Its size on disk.
    const BYTES: usize;
    fn encode(self, base: Offset, out: &mut [u8]);
    fn decode(base: Offset, bytes: &[u8]) -> Self;
}

/// Where a batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetEntry {
    /// The last offset of the batch.
    pub last_offset: Offset,
    /// The batch's first byte in the segment.
    pub position: u32,
}

impl Entry for OffsetEntry {
    const BYTES: usize = 8;

    fn encode(self, base: Offset, out: &mut [u8]) {
        out[..4].copy_from_slice(&relative(self.last_offset, base));
        out[4..].copy_from_slice(&self.position.to_be_bytes());
    }

    fn decode(base: Offset, bytes: &[u8]) -> OffsetEntry {
        OffsetEntry {
            last_offset: absolute(base, &bytes[..4]),
            position: u32::from_be_bytes(bytes[4..8].try_into().expect("four bytes")),
        }
    }
}

/// Up to which record no timestamp is larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    /// The largest timestamp so far.
    pub timestamp: Timestamp,
    /// The last offset of the batch that holds it.
    pub last_offset: Offset,
}

impl TimeEntry {
    /// Whether it goes into a time index that ends with `last`: timestamps rise, and "none" is not one.
    pub(crate) fn is_news_after(&self, last: Option<TimeEntry>) -> bool {
        self.timestamp > last.map_or(Timestamp::NONE, |last| last.timestamp)
    }
}

impl Entry for TimeEntry {
    const BYTES: usize = 12;

    fn encode(self, base: Offset, out: &mut [u8]) {
        out[..8].copy_from_slice(&self.timestamp.0.to_be_bytes());
        out[8..].copy_from_slice(&relative(self.last_offset, base));
    }

    fn decode(base: Offset, bytes: &[u8]) -> TimeEntry {
        TimeEntry {
            timestamp: Timestamp(i64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"))),
            last_offset: absolute(base, &bytes[8..12]),
        }
    }
}

fn relative(offset: Offset, base: Offset) -> [u8; 4] {
    i32::try_from(offset.since(base)).expect("a segment is rolled before its offsets overflow").to_be_bytes()
}

fn absolute(base: Offset, bytes: &[u8]) -> Offset {
    base.plus(i64::from(i32::from_be_bytes(bytes.try_into().expect("four bytes"))))
}

/// One index file, opened when it is first needed.
#[derive(Debug)]
pub(crate) struct Index<E> {
    disk: Arc<dyn Disk>,
    /// Its path is made when it is opened: most of thousands of logs are idle.
    dir: Arc<Path>,
    extension: &'static str,
    base: Offset,
    file: FileSlot,
    /// How many entries readers may look at.
    count: AtomicU32,
    /// The last entries, for readers at the end of the log.
    tail: Mutex<VecDeque<E>>,
    entry: PhantomData<E>,
}

impl<E: Entry> Index<E> {
    /// An index with the first `count` entries of its file.
    pub(crate) fn new(
        disk: &Arc<dyn Disk>,
        dir: &Arc<Path>,
        extension: &'static str,
        base: Offset,
        count: u32,
    ) -> Index<E> {
        Index {
            disk: Arc::clone(disk),
            dir: Arc::clone(dir),
            extension,
            base,
            file: FileSlot::default(),
            count: AtomicU32::new(count),
            tail: Mutex::new(VecDeque::new()),
            entry: PhantomData,
        }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        u64::from(self.count()) * E::BYTES as u64
    }

    /// Only the log's one writer appends.
    pub(crate) fn append(&self, entry: E) -> io::Result<()> {
        let mut bytes = [0; 12];
        entry.encode(self.base, &mut bytes[..E::BYTES]);
        let count = self.count();
        self.file()?.write_at([&bytes[..E::BYTES], &[]], self.size_bytes())?;
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL_ENTRIES_MAX {
            tail.pop_front();
        }
        tail.push_back(entry);
        self.count.store(count + 1, Ordering::Release);
        Ok(())
    }

    /// Forgets all but the first `count` entries, in the file too.
    pub(crate) fn truncate(&self, count: u32) -> io::Result<()> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.clear();
        self.count.store(count, Ordering::Release);
        self.file()?.set_len(u64::from(count) * E::BYTES as u64)
    }

    /// Keeps the entries from the first on as long as they satisfy `holds` and each follows the one before it; answers
    /// the last that is kept. What a crash left past them may be anything.
    pub(crate) fn trust(
        &self,
        holds: impl Fn(&E) -> bool,
        follows: impl Fn(&E, &E) -> bool,
    ) -> io::Result<Option<E>> {
        let mut last: Option<E> = None;
        let (mut kept, count) = (0, self.count());
        let mut chunk = vec![0; E::BYTES * (count as usize).min(TRUST_CHUNK_ENTRIES)];
        'entries: while kept < count {
            let len = chunk.len().min((count - kept) as usize * E::BYTES);
            read_exact_at(&*self.file()?, &mut chunk[..len], u64::from(kept) * E::BYTES as u64)?;
            for bytes in chunk[..len].chunks_exact(E::BYTES) {
                let entry = E::decode(self.base, bytes);
                if !holds(&entry) || last.is_some_and(|last| !follows(&last, &entry)) {
                    break 'entries;
                }
                last = Some(entry);
                kept += 1;
            }
        }
        if kept < count || !self.is_whole(count)? {
            self.truncate(kept)?;
        }
        Ok(last)
    }

    /// Whether the file has no torn entry at its end.
    fn is_whole(&self, count: u32) -> io::Result<bool> {
        Ok(self.file()?.len()? == u64::from(count) * E::BYTES as u64)
    }

    /// Does not keep open what was not open: a node closes all its logs at once.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match self.file.if_open() {
            Some(file) => file.sync_data(),
            None => self.disk.open(&self.path(), OpenMode::Write)?.sync_data(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.file.is_open()
    }

    /// Opens the file and holds it, before its name goes to another.
    pub(crate) fn pin(&self) -> io::Result<()> {
        self.file.pin(&*self.disk, || self.path())
    }

    pub(crate) fn entry(&self, at: u32) -> io::Result<E> {
        let mut bytes = [0; 12];
        read_exact_at(&*self.file()?, &mut bytes[..E::BYTES], u64::from(at) * E::BYTES as u64)?;
        Ok(E::decode(self.base, &bytes))
    }

    pub(crate) fn last(&self) -> io::Result<Option<E>> {
        match self.count().checked_sub(1) {
            Some(at) => self.entry(at).map(Some),
            None => Ok(None),
        }
    }

    /// The last entry for which `holds`, where that is true for all entries up to some point and for none after it.
    pub(crate) fn last_where(&self, holds: impl Fn(&E) -> bool) -> io::Result<Option<E>> {
        if let Some(found) = self.last_in_tail(&holds) {
            return Ok(Some(found));
        }
        let at = self.count_where(holds)?;
        at.checked_sub(1).map(|at| self.entry(at)).transpose()
    }

    /// How many of the first entries satisfy `holds`.
    pub(crate) fn count_where(&self, holds: impl Fn(&E) -> bool) -> io::Result<u32> {
        let (mut low, mut high) = (0, self.count());
        while (high - low) as usize * E::BYTES > SEARCH_CHUNK_BYTES {
            let middle = low + (high - low) / 2;
            if holds(&self.entry(middle)?) { low = middle + 1 } else { high = middle }
        }
        if low == high {
            return Ok(low);
        }
        let mut chunk = [0; SEARCH_CHUNK_BYTES];
        let chunk = &mut chunk[..(high - low) as usize * E::BYTES];
        read_exact_at(&*self.file()?, chunk, u64::from(low) * E::BYTES as u64)?;
        let holding =
            chunk.chunks_exact(E::BYTES).take_while(|bytes| holds(&E::decode(self.base, bytes))).count();
        Ok(low + holding as u32)
    }

    /// As [`Index::last_where`], but only what memory knows for sure.
    fn last_in_tail(&self, holds: impl Fn(&E) -> bool) -> Option<E> {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let holding = tail.partition_point(holds);
        holding.checked_sub(1).map(|at| tail[at])
    }

    fn path(&self) -> PathBuf {
        names::segment_file(&self.dir, self.base, self.extension)
    }

    fn file(&self) -> io::Result<Arc<dyn DiskFile>> {
        self.file.get(&*self.disk, || self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealDisk;

    fn index<E: Entry>(dir: &tempfile::TempDir, base: i64) -> Index<E> {
        std::fs::write(path(dir, base), []).unwrap();
        opened(dir, base, 0)
    }

    fn opened<E: Entry>(dir: &tempfile::TempDir, base: i64, count: u32) -> Index<E> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        Index::new(&disk, &dir.path().into(), names::OFFSET_INDEX, Offset(base), count)
    }

    fn path(dir: &tempfile::TempDir, base: i64) -> PathBuf {
        names::segment_file(dir.path(), Offset(base), names::OFFSET_INDEX)
    }

    #[test]
    fn entries_are_kafkas_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let offsets = index(&dir, 1000);
        offsets.append(OffsetEntry { last_offset: Offset(1007), position: 4242 }).unwrap();
        assert_eq!(std::fs::read(path(&dir, 1000)).unwrap(), [0, 0, 0, 7, 0, 0, 0x10, 0x92]);

        let dir = tempfile::tempdir().unwrap();
        let times = index(&dir, 1000);
        times
            .append(TimeEntry { timestamp: Timestamp(0x0102_0304_0506), last_offset: Offset(1001) })
            .unwrap();
        assert_eq!(std::fs::read(path(&dir, 1000)).unwrap(), [0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 1]);
    }

    #[test]
    fn lookup_finds_the_last_entry_at_or_before() {
        let dir = tempfile::tempdir().unwrap();
        let appended = index(&dir, 100);
        for i in 0..1000 {
            appended
                .append(OffsetEntry { last_offset: Offset(100 + 10 * i), position: 5000 * i as u32 })
                .unwrap();
        }
        // One finds most in its file, the other in memory.
        let opened = opened(&dir, 100, 1000);
        for index in [&appended, &opened] {
            for (offset, expected) in
                [(99, None), (100, Some(0)), (109, Some(0)), (5_555, Some(545)), (99_999, Some(999))]
            {
                let found = index.last_where(|entry| entry.last_offset <= Offset(offset)).unwrap();
                assert_eq!(found.map(|entry| entry.position / 5000), expected, "{offset}");
            }
        }
        opened.truncate(10).unwrap();
        assert_eq!(opened.last().unwrap().unwrap().position, 45_000);
        assert_eq!(std::fs::metadata(path(&dir, 100)).unwrap().len(), 80);
    }
}
