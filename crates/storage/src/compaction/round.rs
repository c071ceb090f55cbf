//! One round of compaction over one log: reads keys, then rewrites segments group by group. Holds no lock of the log:
//! what it made is put in place by [`Log::replace_compacted`](crate::Log::replace_compacted), under the log's own.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use record::{Batch, ProducerSnapshotEntry};
use types::{Offset, Timestamp};

use super::filter::{Filter, Verdict};
use super::key_map::KeyMap;
use super::plan::{Backlog, CompactionRules, SegmentView, group};
use super::replace::CleanedFiles;
use super::transactions::{Aborted, Marker, Observed};
use crate::disk::{DiskFile, read_exact_at};
use crate::reader::LogReader;
use crate::scan::{Headers, read_batch};
use crate::segment::Segment;

/// What one read takes in.
const READ_BYTES: u32 = 1 << 20;

/// Told of bytes that were read or written: it may take its time, and may ask to stop.
pub type Pace<'a> = &'a dyn Fn(u64) -> ControlFlow<()>;

/// How a round is done.
#[derive(Clone, Copy, Debug)]
pub struct CompactionSettings {
    /// The share of `log.cleaner.dedupe.buffer.size`.
    pub dedupe_bytes: u64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
}

/// A round could not be done. The log is as it was, but for groups that were put in place before.
#[derive(Debug, thiserror::Error)]
pub enum CompactionError {
    /// The disk failed or is full.
    #[error("a segment could not be read or written: {0}")]
    Io(#[from] io::Error),
    /// A batch is not what was written.
    #[error("the batch at {offset} is damaged: {reason}")]
    Damaged {
        /// Its first offset.
        offset: Offset,
        /// What is wrong.
        reason: String,
    },
    /// Not even one batch's keys fit.
    #[error("the keys of the batch at {offset} do not fit log.cleaner.dedupe.buffer.size")]
    BufferTooSmall {
        /// Its first offset.
        offset: Offset,
    },
    /// It was asked to.
    #[error("stopped")]
    Stopped,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Compacted {
    /// All before it is compacted now.
    pub upto: Offset,
    /// The bytes of the segments that were read.
    pub bytes_before: u64,
    /// The bytes of what is in their place.
    pub bytes_after: u64,
    /// How full the map of keys was.
    pub buffer_utilization: f64,
}

/// New files for some neighbouring segments, written and synced under names that nobody reads.
#[derive(Debug)]
pub struct CleanedGroup {
    pub(crate) old: Vec<Arc<Segment>>,
    pub(crate) files: CleanedFiles,
    pub(crate) truncations: u64,
}

/// One round on its way.
#[derive(Debug)]
pub struct CompactionRound {
    reader: Arc<LogReader>,
    settings: CompactionSettings,
    /// All that are no longer written and lie below the first uncleanable offset.
    segments: Vec<Arc<Segment>>,
    /// How many segments each group that is still to do has, the next one last.
    groups: Vec<usize>,
    done: usize,
    first_dirty: Offset,
    stable_end: Offset,
    filter: Filter,
    truncations: u64,
    compacted: Compacted,
}

impl LogReader {
    /// What there is to compact. `stable_end` is where what is not replicated, or not decided, begins.
    pub fn compaction_backlog(
        &self,
        rules: &CompactionRules,
        stable_end: Offset,
        now: Timestamp,
    ) -> io::Result<Backlog> {
        let segments = self.segments();
        let has_longest_lag = rules.max_compaction_lag_ms < i64::MAX;
        let first_dirty = self.first_dirty();
        let mut views = Vec::with_capacity(segments.len());
        for segment in at_rest(&segments) {
            let looks = has_longest_lag && segment.next() > first_dirty;
            let first_timestamp = if looks { first_timestamp(segment)? } else { None };
            views.push(SegmentView { first_timestamp, ..view(segment) });
        }
        Ok(Backlog::of(&views, first_dirty, stable_end, rules, now))
    }

    /// Begins a round over what `backlog` says, as far as that is synced; `producers` is their state at any later point.
    pub fn begin_compaction(
        self: &Arc<Self>,
        backlog: &Backlog,
        stable_end: Offset,
        producers: &[ProducerSnapshotEntry],
        settings: CompactionSettings,
        now: Timestamp,
    ) -> io::Result<CompactionRound> {
        let truncations = self.truncations();
        let segments = self.segments();
        // A record that a loss of power would undo must not cost an older one that it would not.
        let upto = backlog.first_uncleanable.min(self.recovery_point());
        let cleanable = at_rest(&segments).iter().filter(|segment| segment.next() <= upto);
        let keys = KeyMap::new(settings.dedupe_bytes, self.disk.random()?);
        Ok(CompactionRound {
            segments: cleanable.map(Arc::clone).collect(),
            groups: Vec::new(),
            done: 0,
            first_dirty: backlog.first_dirty,
            stable_end,
            filter: Filter {
                keys,
                upto: backlog.first_dirty,
                aborted: Aborted::default(),
                observed: Observed::default(),
                producers: producers.iter().map(|entry| (entry.producer_id, entry.clone())).collect(),
                now,
                delete_retention_ms: settings.delete_retention_ms,
            },
            reader: Arc::clone(self),
            settings,
            truncations,
            compacted: Compacted { upto: backlog.first_dirty, ..Compacted::default() },
        })
    }

    /// All before it is compacted, as far as that is known.
    pub(crate) fn first_dirty(&self) -> Offset {
        let start = self.log_start();
        match self.compacted_upto() {
            Some(upto) if upto >= start && upto <= self.log_end() => upto,
            _ => start,
        }
    }
}

impl CompactionRound {
    /// Reads the keys of what is dirty, as far as the memory for them reaches: the next round goes on from there.
    pub fn read_keys(&mut self, pace: Pace<'_>) -> Result<(), CompactionError> {
        self.find_aborted(pace)?;
        let segments = self.segments.clone();
        if segments.last().is_none_or(|last| last.next() <= self.first_dirty) {
            // What there is is not synced.
            return Err(CompactionError::Stopped);
        }
        let first_dirty = self.first_dirty;
        'segments: for segment in segments.iter().filter(|segment| segment.next() > first_dirty) {
            let mut batches = BatchReader::new(segment)?;
            while let Some(batch) = batches.next(pace)? {
                if !self.note_keys(&batch)? {
                    break 'segments;
                }
            }
            self.filter.upto = self.filter.upto.max(segment.next());
        }
        if self.filter.upto <= self.first_dirty {
            return Err(CompactionError::BufferTooSmall { offset: self.first_dirty });
        }
        let views: Vec<SegmentView> = self.segments.iter().map(|segment| view(segment)).collect();
        let reached = views.partition_point(|view| view.base < self.filter.upto);
        self.groups = group(&views[..reached], u64::from(self.settings.segment_bytes));
        self.groups.reverse();
        self.compacted.upto = self.filter.upto;
        self.compacted.buffer_utilization = self.filter.keys.utilization();
        Ok(())
    }

    /// Writes the next group's new files. `None` when all are done.
    pub fn next_group(&mut self, pace: Pace<'_>) -> Result<Option<CleanedGroup>, CompactionError> {
        while let Some(count) = self.groups.pop() {
            let old = self.segments[self.done..self.done + count].to_vec();
            self.done += count;
            let mut files = CleanedFiles::create(&self.reader, old[0].base(), &self.settings)?;
            let is_changed = match self.rewrite(&old, &mut files, pace) {
                Ok(is_changed) => is_changed,
                Err(error) => {
                    files.discard();
                    return Err(error);
                }
            };
            let before: u64 = old.iter().map(|segment| u64::from(segment.size())).sum();
            self.compacted.bytes_before += before;
            if !is_changed && old.len() == 1 {
                self.compacted.bytes_after += before;
                files.discard();
                continue;
            }
            self.compacted.bytes_after += u64::from(files.size());
            files.seal()?;
            return Ok(Some(CleanedGroup { old, files, truncations: self.truncations }));
        }
        Ok(None)
    }

    /// What was done, to be noted with [`Log::note_compacted`](crate::Log::note_compacted) once every group is in place.
    pub fn compacted(&self) -> Compacted {
        self.compacted
    }

    fn rewrite(
        &mut self,
        old: &[Arc<Segment>],
        files: &mut CleanedFiles,
        pace: Pace<'_>,
    ) -> Result<bool, CompactionError> {
        let last = old.last().expect("a group is not empty");
        let mut is_changed = false;
        for segment in old {
            let mut batches = BatchReader::new(segment)?;
            while let Some(batch) = batches.next(pace)? {
                check(&batch)?;
                // The last one keeps its place, so that a segment always ends where the next one begins.
                let must_stay = batches.is_at_end() && Arc::ptr_eq(segment, last);
                match self.filter.judge(&batch, must_stay).map_err(|error| damaged(&batch, &error))? {
                    Verdict::Keep => files.write(batch.bytes())?,
                    Verdict::Replace(bytes) => {
                        is_changed = true;
                        proceed(pace, bytes.len())?;
                        files.write(&bytes)?;
                    }
                    Verdict::Drop => is_changed = true,
                }
            }
        }
        files.end_at(last.next());
        Ok(is_changed)
    }

    /// False once there is no room for a key.
    fn note_keys(&mut self, batch: &Batch) -> Result<bool, CompactionError> {
        let header = batch.header();
        if header.last_offset() < self.first_dirty {
            return Ok(true);
        }
        check(batch)?;
        if !header.is_control && !self.filter.aborted.holds(&header.summary()) {
            for record in batch.records().map_err(|error| damaged(batch, &error))? {
                let record = record.map_err(|error| damaged(batch, &error))?;
                let Some(key) = record.key.filter(|_| record.offset >= self.first_dirty) else { continue };
                if !self.filter.keys.put(&key, record.offset) {
                    return Ok(false);
                }
            }
        }
        self.filter.upto = header.last_offset().plus(1);
        Ok(true)
    }

    /// A transaction that began in what is compacted may have ended after it.
    fn find_aborted(&mut self, pace: Pace<'_>) -> Result<(), CompactionError> {
        let segments = self.reader.segments();
        for segment in segments.iter().filter(|segment| segment.base() < self.stable_end) {
            let file = segment.log()?;
            let mut headers = Headers::new(&*file, 0, segment.size());
            while let Some((position, header)) = headers.next()? {
                if header.base_offset >= self.stable_end {
                    break;
                }
                if header.is_control {
                    let bytes = read_batch(&*file, position, &header)?;
                    if let Some(batch) = Batch::parse(&bytes).map_err(io::Error::other)? {
                        let marker = Marker::of(&batch).map_err(|error| damaged(&batch, &error))?;
                        self.filter.aborted.marker(&header, marker);
                    }
                } else if header.is_transactional {
                    self.filter.aborted.data(&header);
                }
            }
            proceed(pace, 0)?;
        }
        Ok(())
    }
}

/// The whole batches of a segment, read in large pieces.
struct BatchReader {
    file: Arc<dyn DiskFile>,
    position: u32,
    end: u32,
    chunk: Bytes,
}

impl BatchReader {
    fn new(segment: &Segment) -> io::Result<BatchReader> {
        Ok(BatchReader { file: segment.log()?, position: 0, end: segment.size(), chunk: Bytes::new() })
    }

    fn is_at_end(&self) -> bool {
        self.position == self.end
    }

    fn next(&mut self, pace: Pace<'_>) -> Result<Option<Batch>, CompactionError> {
        let mut wanted = READ_BYTES;
        loop {
            let parsed = Batch::parse(&self.chunk).map_err(io::Error::other)?;
            if let Some(batch) = parsed {
                let size = batch.header().size_bytes;
                self.chunk = self.chunk.slice(size as usize..);
                self.position += size;
                return Ok(Some(batch));
            }
            let left = self.end - self.position;
            if self.chunk.len() >= left as usize {
                return if left == 0 {
                    Ok(None)
                } else {
                    Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
                };
            }
            // A batch that is larger than a piece is read as a whole.
            if let Ok(header) = record::BatchHeader::parse(&self.chunk) {
                wanted = wanted.max(header.size_bytes);
            }
            let mut buffer = vec![0; wanted.min(left) as usize];
            read_exact_at(&*self.file, &mut buffer, u64::from(self.position))?;
            proceed(pace, buffer.len())?;
            self.chunk = buffer.into();
        }
    }
}

fn proceed(pace: Pace<'_>, bytes: usize) -> Result<(), CompactionError> {
    match pace(bytes as u64) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(CompactionError::Stopped),
    }
}

/// A damaged batch must not get a new checksum.
fn check(batch: &Batch) -> Result<(), CompactionError> {
    match batch.is_intact() {
        true => Ok(()),
        false => Err(damaged(batch, &"its checksum is wrong")),
    }
}

fn damaged(batch: &Batch, reason: &dyn std::fmt::Display) -> CompactionError {
    CompactionError::Damaged { offset: batch.header().base_offset, reason: reason.to_string() }
}

fn at_rest(segments: &[Arc<Segment>]) -> &[Arc<Segment>] {
    &segments[..segments.len() - 1]
}

fn view(segment: &Segment) -> SegmentView {
    SegmentView {
        base: segment.base(),
        next: segment.next(),
        size_bytes: u64::from(segment.size()),
        largest_timestamp: segment.max_timestamp().timestamp,
        first_timestamp: None,
    }
}

fn first_timestamp(segment: &Segment) -> io::Result<Option<Timestamp>> {
    let first = Headers::new(&*segment.log()?, 0, segment.size()).next()?;
    Ok(first.map(|(_, header)| header.max_timestamp))
}
