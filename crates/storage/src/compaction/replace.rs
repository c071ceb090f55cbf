//! Putting compacted files in the place of old ones, as Kafka does: written as `.cleaned`, renamed to `.swap` once they
//! are whole and synced, and to their final names once the old ones are out of the way. A `.log.swap` says that the old
//! segments it stands for may be gone already: a start completes what a crash interrupted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use record::BatchHeader;
use types::{Offset, Timestamp};

use super::round::{CleanedGroup, CompactionSettings};
use crate::disk::{DirEntry, Disk, DiskFile, OpenMode, remove_if_there};
use crate::index::{Entry, OffsetEntry, TimeEntry};
use crate::log::Log;
use crate::names;
use crate::reader::LogReader;
use crate::scan::Headers;
use crate::segment::Segment;

/// So much is gathered before it is written.
const WRITE_BYTES: usize = 1 << 20;

/// The files of one new segment, on their way.
#[derive(Debug)]
pub(crate) struct CleanedFiles {
    disk: Arc<dyn Disk>,
    dir: Arc<Path>,
    base: Offset,
    log: Arc<dyn DiskFile>,
    buffer: BytesMut,
    written: u32,
    next: Offset,
    largest: TimeEntry,
    last_time: Option<TimeEntry>,
    offsets: Vec<u8>,
    times: Vec<u8>,
    bytes_since_index: u32,
    index_interval_bytes: u32,
}

impl CleanedFiles {
    pub(super) fn create(
        reader: &LogReader,
        base: Offset,
        settings: &CompactionSettings,
    ) -> io::Result<CleanedFiles> {
        let (disk, dir) = (Arc::clone(&reader.disk), Arc::clone(&reader.dir));
        let log = disk.open(&path(&dir, base, names::LOG, names::CLEANED), OpenMode::Truncate)?;
        Ok(CleanedFiles {
            disk,
            dir,
            base,
            log,
            buffer: BytesMut::new(),
            written: 0,
            next: base,
            largest: TimeEntry { timestamp: Timestamp::NONE, last_offset: base },
            last_time: None,
            offsets: Vec::new(),
            times: Vec::new(),
            bytes_since_index: 0,
            index_interval_bytes: settings.index_interval_bytes,
        })
    }

    pub(super) fn size(&self) -> u32 {
        self.written + u32::try_from(self.buffer.len()).expect("flushed long before")
    }

    pub(super) fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        let header = BatchHeader::parse(batch).map_err(io::Error::other)?;
        let (position, last_offset) = (self.size(), header.last_offset());
        if position.checked_add(header.size_bytes).is_none() {
            return Err(io::Error::other("the compacted segment would be larger than a segment can be"));
        }
        if header.max_timestamp > self.largest.timestamp {
            self.largest = TimeEntry { timestamp: header.max_timestamp, last_offset };
        }
        if self.bytes_since_index > self.index_interval_bytes {
            self.note_time();
            encode(&mut self.offsets, self.base, OffsetEntry { last_offset, position });
            self.bytes_since_index = 0;
        }
        self.bytes_since_index = self.bytes_since_index.saturating_add(header.size_bytes);
        self.next = last_offset.plus(1);
        self.buffer.extend_from_slice(batch);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    /// The segment ends where the old ones did.
    pub(super) fn end_at(&mut self, next: Offset) {
        self.next = next;
    }

    /// Makes all that was written durable.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        self.note_time();
        self.flush()?;
        self.log.sync_data()?;
        for (extension, content) in [(names::OFFSET_INDEX, &self.offsets), (names::TIME_INDEX, &self.times)] {
            let index =
                self.disk.open(&path(&self.dir, self.base, extension, names::CLEANED), OpenMode::Truncate)?;
            index.write_at([content, &[]], 0)?;
            index.sync_data()?;
        }
        self.disk.sync_dir(&self.dir)
    }

    /// They are not needed after all; what is left of them goes with the next start.
    pub(super) fn discard(&self) {
        for extension in [names::LOG, names::OFFSET_INDEX, names::TIME_INDEX] {
            let path = path(&self.dir, self.base, extension, names::CLEANED);
            if let Err(error) = remove_if_there(&*self.disk, &path) {
                tracing::warn!(%error, path = %path.display(), "file of a compaction was not removed");
            }
        }
    }

    fn note_time(&mut self) {
        if self.largest.is_news_after(self.last_time) {
            encode(&mut self.times, self.base, self.largest);
            self.last_time = Some(self.largest);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.log.write_at([&self.buffer, &[]], u64::from(self.written))?;
        self.written = self.size();
        self.buffer.clear();
        Ok(())
    }

    fn rename(&self, extension: &str, from: &str, to: &str) -> io::Result<()> {
        self.disk
            .rename(&path(&self.dir, self.base, extension, from), &path(&self.dir, self.base, extension, to))
    }

    fn segment(&self) -> Segment {
        let count = |bytes: &[u8], entry: usize| u32::try_from(bytes.len() / entry).unwrap_or(u32::MAX);
        let counts = [count(&self.offsets, OffsetEntry::BYTES), count(&self.times, TimeEntry::BYTES)];
        let segment = Segment::new(&self.disk, &self.dir, self.base, counts);
        segment.set_max_timestamp(self.largest);
        segment.publish(self.next, self.written);
        segment
    }
}

impl Log {
    /// Puts a group in the place of the segments that it was made of. False if they are no longer there, because the log
    /// was cut or deleted from meanwhile. After an error only a new start knows what the log is.
    pub fn replace_compacted(&mut self, group: CleanedGroup, now: Timestamp) -> io::Result<bool> {
        let CleanedGroup { old, files, truncations } = group;
        let segments = self.reader.segments();
        let at = segments.iter().position(|segment| Arc::ptr_eq(segment, &old[0]));
        let at = at.filter(|&at| {
            let there = segments[at..].iter().zip(&old).filter(|(one, other)| Arc::ptr_eq(one, other));
            self.reader.truncations() == truncations && there.count() == old.len()
        });
        let Some(at) = at else {
            files.discard();
            return Ok(false);
        };
        // Readers that hold them go on with the files that they were.
        old.iter().try_for_each(|segment| segment.pin_all())?;
        for extension in [names::OFFSET_INDEX, names::TIME_INDEX, names::LOG] {
            files.rename(extension, names::CLEANED, names::SWAP)?;
        }
        self.remove(&old, now)?;
        for extension in [names::OFFSET_INDEX, names::TIME_INDEX, names::LOG] {
            files.rename(extension, names::SWAP, "")?;
        }
        let mut replaced = segments[..at].to_vec();
        replaced.push(Arc::new(files.segment()));
        replaced.extend_from_slice(&segments[at + old.len()..]);
        self.reader.set_segments(replaced);
        Ok(true)
    }

    /// Notes up to where the log is compacted, and writes it down.
    pub fn note_compacted(&self, upto: Offset) -> io::Result<()> {
        self.reader.set_compacted_upto(Some(upto));
        self.shared.write_compacted_points()
    }
}

/// Removes what a compaction left unfinished, and finishes what it had decided, before anything else looks at the files.
/// Whether there was something.
pub(crate) fn complete_swaps(disk: &dyn Disk, dir: &Path, entries: &[DirEntry]) -> io::Result<bool> {
    let is_unfinished =
        |entry: &DirEntry| entry.name.ends_with(names::CLEANED) || entry.name.ends_with(names::SWAP);
    if !entries.iter().any(is_unfinished) {
        return Ok(false);
    }
    for entry in entries {
        let Some((base, extension)) = names::parse_segment_file(&entry.name) else { continue };
        if extension.ends_with(names::CLEANED) {
            disk.remove_file(&dir.join(&entry.name))?;
        } else if extension.strip_suffix(names::SWAP) == Some(names::LOG) {
            complete_swap(disk, dir, base, entries)?;
        }
    }
    // Indexes whose log did not get as far.
    for entry in disk.read_dir(dir)?.iter().filter(|entry| entry.name.ends_with(names::SWAP)) {
        disk.remove_file(&dir.join(&entry.name))?;
    }
    disk.sync_dir(dir)?;
    Ok(true)
}

fn complete_swap(disk: &dyn Disk, dir: &Path, base: Offset, entries: &[DirEntry]) -> io::Result<()> {
    let swap = path(dir, base, names::LOG, names::SWAP);
    let file = disk.open(&swap, OpenMode::Read)?;
    let mut next = base;
    let size = u32::try_from(file.len()?).map_err(io::Error::other)?;
    let mut headers = Headers::new(&*file, 0, size);
    while let Some((_, header)) = headers.next()? {
        next = header.last_offset().plus(1);
    }
    tracing::info!(log = %dir.display(), %base, %next, "a compaction that a crash interrupted is completed");
    for entry in entries {
        // Those that the new one stands for; its own name is taken over below.
        if let Some((old, names::LOG | names::OFFSET_INDEX | names::TIME_INDEX | names::TRANSACTION_INDEX)) =
            names::parse_segment_file(&entry.name)
            && old > base
            && old < next
        {
            remove_if_there(disk, &dir.join(&entry.name))?;
        }
    }
    let indexes = [names::OFFSET_INDEX, names::TIME_INDEX];
    let has_swap = |extension| {
        let name = path(dir, base, extension, names::SWAP);
        entries.iter().any(|entry| dir.join(&entry.name) == name)
    };
    let has_all = indexes.iter().all(|extension| has_swap(extension));
    for extension in indexes {
        if has_all {
            disk.rename(&path(dir, base, extension, names::SWAP), &path(dir, base, extension, ""))?;
        } else {
            // Whose they are cannot be told: they are rebuilt.
            remove_if_there(disk, &path(dir, base, extension, names::SWAP))?;
            remove_if_there(disk, &path(dir, base, extension, ""))?;
        }
    }
    disk.rename(&swap, &path(dir, base, names::LOG, ""))
}

fn path(dir: &Path, base: Offset, extension: &str, suffix: &str) -> PathBuf {
    names::segment_file(dir, base, &format!("{extension}{suffix}"))
}

fn encode<E: Entry>(out: &mut Vec<u8>, base: Offset, entry: E) {
    let mut bytes = [0; 12];
    entry.encode(base, &mut bytes[..E::BYTES]);
    out.extend_from_slice(&bytes[..E::BYTES]);
}
