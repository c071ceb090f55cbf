//! Opening a log: what a crash left is made whole. Only what lies past the recovery point is read.

use std::io;
use std::path::Path;
use std::sync::Arc;

use record::{BatchSummary, ProducerSnapshotEntry};
use types::{LeaderEpoch, LeaderEpochs, Offset, Timestamp, TopicPartition};

use crate::compaction::complete_swaps;
use crate::config::LogConfig;
use crate::data_dir::Shared;
use crate::disk::{DirEntry, Disk, Durability, read_file};
use crate::index::{OffsetEntry, TimeEntry};
use crate::log::{Log, Tail};
use crate::reader::LogReader;
use crate::scan::{Headers, Verified};
use crate::segment::Segment;
use crate::{checkpoint, names, snapshots};

/// What an opened log held.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The newest state of the idempotent producers that was written down.
    pub producers: Vec<ProducerSnapshotEntry>,
    /// The batches of idempotent producers after it, in order.
    pub batches_after_snapshot: Vec<BatchSummary>,
    /// The high watermark that was written down last, within the log; zero if there was none.
    pub high_watermark: Offset,
    /// Bytes that were read and checked.
    pub scanned_bytes: u64,
    /// Bytes at the end that were no whole batch, and are gone.
    pub truncated_bytes: u64,
}

/// Where the checkpoints say that a log begins and is whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Points {
    pub(crate) recovery_point: Offset,
    pub(crate) written_point: Offset,
    /// Whether the page cache survived, so that the written point counts.
    pub(crate) is_written_point_good: bool,
    pub(crate) log_start: Offset,
    pub(crate) high_watermark: Offset,
    pub(crate) compacted_upto: Option<Offset>,
}

pub(crate) struct Place<'a> {
    pub(crate) topic: &'a str,
    pub(crate) id: TopicPartition,
    pub(crate) dir: Arc<Path>,
}

/// Opens the log in a directory, or begins one there.
pub(crate) fn open(
    shared: &Arc<Shared>,
    place: &Place<'_>,
    config: LogConfig,
    points: Points,
    now: Timestamp,
) -> io::Result<(Log, Recovered)> {
    let disk = &shared.disk;
    let mut entries = disk.read_dir(&place.dir)?;
    if complete_swaps(&**disk, &place.dir, &entries)? {
        entries = disk.read_dir(&place.dir)?;
    }
    let mut recovery = Recovery {
        disk,
        dir: &place.dir,
        index_interval_bytes: config.index_interval_bytes,
        from: if points.is_written_point_good {
            points.recovery_point.max(points.written_point)
        } else {
            points.recovery_point
        },
        is_after_power_loss: !points.is_written_point_good,
        epochs_disagree: false,
        epochs: LeaderEpochs::default(),
        recovered: Recovered::default(),
        bytes_since_index: 0,
    };
    let has_epochs = recovery.load_epochs()?;
    let epochs_on_disk = recovery.epochs.clone();
    let mut segments = recovery.segments(&entries)?;
    let mut log_end = segments.last().map_or(Offset::ZERO, |segment| segment.next());
    if segments.is_empty() || log_end < points.log_start {
        // All records were deleted, and a crash undid what came after them.
        recovery.remove(&segments)?;
        log_end = points.log_start;
        recovery.bytes_since_index = 0;
        segments = vec![Arc::new(Segment::create(disk, &place.dir, log_end)?)];
    }
    let log_start = points.log_start.max(segments[0].base());
    let epochs_cut = recovery.epochs.truncate_to(log_end.plus(1)) | recovery.epochs.start_at(log_start);
    let epochs_kept = recovery.epochs.clone();
    // One that begins at the end has no record: the last life led and wrote nothing. Thousands of logs are like that at
    // a start, so that it is written with the next append, and only then.
    recovery.epochs.truncate_to(log_end);
    let epochs_with_records = recovery.epochs.clone();

    let reader = Arc::new(LogReader::new(
        Arc::clone(disk),
        Arc::clone(&place.dir),
        place.topic,
        place.id,
        segments.into(),
    ));
    reader.set_log_start(log_start);
    reader.set_log_end(log_end);
    reader.set_points(points.recovery_point.min(log_end), recovery.from.min(log_end));
    reader.set_compacted_upto(points.compacted_upto.map(|upto| upto.min(log_end)));
    let bytes_since_index = recovery.bytes_since_index;
    let Recovery { mut epochs, mut recovered, epochs_disagree, .. } = recovery;
    let has_epochs = has_epochs && !epochs_disagree;
    if !has_epochs || epochs.entries().first().is_none_or(|&(_, first)| first > log_start) {
        epochs = epochs_of_batches(&reader)?;
    }
    recovered.high_watermark = points.high_watermark.clamp(log_start, log_end);
    recover_producers(&reader, &mut recovered)?;
    let (active, tail) = begin_writing(&reader, &config, bytes_since_index, now)?;
    let (bytes_since_written, bytes_since_sync) = (0, recovered.scanned_bytes);
    let shared = Arc::clone(shared);
    let epochs_are_stale = epochs != epochs_on_disk;
    let mut log = Log {
        reader,
        shared,
        config,
        active,
        tail,
        epochs,
        epochs_are_stale,
        bytes_since_written,
        bytes_since_sync,
    };
    let is_cut_at_the_end_alone = epochs_kept == epochs_on_disk && log.epochs == epochs_with_records;
    if epochs_are_stale && !is_cut_at_the_end_alone {
        // What was cut must not come back once other batches have taken its place.
        log.write_epochs(if epochs_cut { Durability::Synced } else { Durability::Written })?;
    }
    Ok((log, recovered))
}

/// Closes the files that recovery opened, and tells the writer what it has to know of the active segment.
fn begin_writing(
    reader: &LogReader,
    config: &LogConfig,
    bytes_since_index: u32,
    now: Timestamp,
) -> io::Result<(Arc<Segment>, Tail)> {
    let segments = reader.segments();
    let active = segments.last().expect("there is at least one");
    let mut tail = Tail::new(now, config, reader.jitter_seed(active.base()));
    tail.bytes_since_index = bytes_since_index;
    tail.last_time = active.times.last()?;
    tail.first_timestamp = first_timestamp(active)?;
    if config.preallocate {
        active.log()?.reserve(u64::from(config.segment_bytes))?;
    }
    reader.close_files();
    let active = Arc::clone(reader.segments().last().expect("there is at least one"));
    Ok((active, tail))
}

/// Whether a segment does not go on where the one before it ends, because a crash lost or kept the wrong one. A jump that
/// no segment can bridge is what the writer was given.
fn is_hole(end: Offset, next_base: Offset) -> bool {
    next_base != end && next_base.since(end) <= i64::from(i32::MAX)
}

fn first_timestamp(segment: &Segment) -> io::Result<Option<Timestamp>> {
    if segment.size() == 0 {
        return Ok(None);
    }
    let first = Headers::new(&*segment.log()?, 0, segment.size()).next()?;
    Ok(first.map(|(_, header)| header.max_timestamp))
}

/// The checkpoint speaks of a later beginning than the log has: a loss of power undid a deletion, but not what was
/// written down of it.
fn epochs_of_batches(reader: &LogReader) -> io::Result<LeaderEpochs> {
    let mut epochs = LeaderEpochs::default();
    reader.for_each_batch(reader.log_start(), |batch| {
        epochs.assign(batch.leader_epoch, batch.base_offset);
    })?;
    epochs.start_at(reader.log_start());
    Ok(epochs)
}

pub(crate) fn recover_producers(reader: &LogReader, recovered: &mut Recovered) -> io::Result<()> {
    let newest = snapshots::newest(&*reader.disk, &reader.dir, reader.log_end())?;
    let (snapshot, producers) = newest.unwrap_or_default();
    recovered.producers = producers;
    // The log may start inside a batch, which then counts as a whole.
    reader.for_each_batch(snapshot.max(reader.log_start()), |batch| {
        if batch.producer_id >= types::ProducerId(0) && batch.base_offset >= snapshot {
            recovered.batches_after_snapshot.push(batch);
        }
    })
}

struct Recovery<'a> {
    disk: &'a Arc<dyn Disk>,
    dir: &'a Arc<Path>,
    index_interval_bytes: u32,
    /// All below is whole.
    from: Offset,
    is_after_power_loss: bool,
    /// The epochs' checkpoint speaks of batches that a crash undid.
    epochs_disagree: bool,
    epochs: LeaderEpochs,
    recovered: Recovered,
    /// Of the segment that was looked at last.
    bytes_since_index: u32,
}

impl Recovery<'_> {
    /// False if there are none that can be believed: then they are taken from the batches.
    fn load_epochs(&mut self) -> io::Result<bool> {
        let Some(content) = read_file(&**self.disk, &self.dir.join(names::LEADER_EPOCHS))? else {
            return Ok(false);
        };
        let entries =
            std::str::from_utf8(&content).ok().and_then(|text| checkpoint::decode_epochs(text).ok());
        let Some(epochs) = entries.and_then(LeaderEpochs::new) else {
            tracing::warn!(log = %self.dir.display(), "leader epochs are unreadable and are taken from the batches");
            return Ok(false);
        };
        self.epochs = epochs;
        Ok(true)
    }

    /// All segments that are whole, in order.
    fn segments(&mut self, entries: &[DirEntry]) -> io::Result<Vec<Arc<Segment>>> {
        let bases = self.bases(entries)?;
        let mut segments: Vec<Arc<Segment>> = Vec::with_capacity(bases.len());
        for (at, &base) in bases.iter().enumerate() {
            let segment = Arc::new(Segment::open(self.disk, self.dir, base)?);
            segments.push(Arc::clone(&segment));
            let next_base = bases.get(at + 1).copied();
            // One that ends at the point itself may have been cut there, and the cut not be durable.
            if let Some(next_base) = next_base.filter(|&next_base| next_base < self.from) {
                self.trust(&segment, next_base)?;
                continue;
            }
            self.recover(&segment, next_base)?;
            if next_base.is_some_and(|next_base| next_base > self.from && is_hole(segment.next(), next_base))
            {
                // What follows a hole is not a log.
                let after: Vec<_> = bases[at + 1..]
                    .iter()
                    .map(|&base| Segment::open(self.disk, self.dir, base))
                    .collect::<Result<_, _>>()?;
                self.remove(&after.into_iter().map(Arc::new).collect::<Vec<_>>())?;
                break;
            }
        }
        Ok(segments)
    }

    fn bases(&self, entries: &[DirEntry]) -> io::Result<Vec<Offset>> {
        let mut bases = Vec::new();
        for entry in entries {
            if entry.name.ends_with(names::DELETED) || entry.name.ends_with(names::TEMPORARY) {
                self.disk.remove_file(&self.dir.join(&entry.name))?;
            } else if let Some((base, names::LOG)) = names::parse_segment_file(&entry.name) {
                bases.push(base);
            }
        }
        Ok(bases)
    }

    /// A rolled segment below the recovery point.
    fn trust(&mut self, segment: &Segment, next: Offset) -> io::Result<()> {
        let size = segment.size();
        segment.publish(next, size);
        match segment.times.last()? {
            Some(last) => segment.set_max_timestamp(last),
            // Its indexes are missing.
            None if size > 0 => {
                let from = std::mem::replace(&mut self.from, Offset::ZERO);
                self.recover(segment, Some(next))?;
                self.from = from;
                segment.sync()?;
                segment.publish(next, segment.size());
            }
            None => {}
        }
        Ok(())
    }

    /// Checks a segment from the last index entry below the recovery point, cuts off what is no whole batch or belongs to
    /// the next segment, and rebuilds its indexes from there.
    fn recover(&mut self, segment: &Segment, next_base: Option<Offset>) -> io::Result<()> {
        let file = segment.log()?;
        let file_len = file.len()?;
        let end = u32::try_from(file_len).unwrap_or(u32::MAX);
        let mut walk = Walk::start(self, segment, end)?;
        let mut batches =
            Verified::new(&*file, walk.position..end, segment.base()..next_base.unwrap_or(Offset(i64::MAX)));
        while let Some((position, batch)) = batches.next()? {
            walk.visit(self, segment, position, &batch)?;
        }
        self.recovered.scanned_bytes += u64::from(batches.position() - walk.position);
        let size = batches.position();
        let cut = file_len - u64::from(size);
        if cut > 0 {
            tracing::warn!(log = %self.dir.display(), base = %segment.base(), bytes = cut, "torn end cut off");
            file.set_len(u64::from(size))?;
            if self.is_after_power_loss {
                // Whole batches may lie past the torn one; they must not come back among what is appended now.
                file.sync_data()?;
            }
            self.recovered.truncated_bytes += cut;
        }
        segment.publish(walk.next, size);
        segment.set_max_timestamp(walk.largest);
        self.bytes_since_index = walk.bytes_since_index;
        if next_base.is_some() && size > 0 && walk.largest.is_news_after(walk.last_time) {
            segment.times.append(walk.largest)?;
        }
        Ok(())
    }

    fn remove(&self, segments: &[Arc<Segment>]) -> io::Result<()> {
        for segment in segments {
            for extension in [names::LOG, names::OFFSET_INDEX, names::TIME_INDEX, names::TRANSACTION_INDEX] {
                match self.disk.remove_file(&segment.path(extension)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// The way over one segment's batches.
struct Walk {
    position: u32,
    next: Offset,
    largest: TimeEntry,
    last_time: Option<TimeEntry>,
    bytes_since_index: u32,
    /// The batch at the first position is in the index already.
    is_first_indexed: bool,
}

impl Walk {
    /// Keeps the index entries that can be trusted, and begins at the batch of the last one.
    fn start(recovery: &Recovery<'_>, segment: &Segment, end: u32) -> io::Result<Walk> {
        let trusted = segment.offsets.trust(
            // The first batch has no entry: one that says so is the zeros of a lost sector.
            |entry| entry.last_offset < recovery.from && (1..end).contains(&entry.position),
            |before, after| before.last_offset < after.last_offset && before.position < after.position,
        )?;
        let trusted = match trusted {
            Some(entry) if is_batch_at(segment, entry, end)? => Some(entry),
            Some(_) => {
                tracing::warn!(log = %recovery.dir.display(), base = %segment.base(), "index is damaged and rebuilt");
                segment.offsets.truncate(0)?;
                None
            }
            None => None,
        };
        // Those that were written with an offset entry that is trusted. A final entry is younger than its offset says.
        let last_time = segment.times.trust(
            |entry| trusted.is_some_and(|trusted| entry.last_offset <= trusted.last_offset),
            |before, after| before.timestamp < after.timestamp && before.last_offset <= after.last_offset,
        )?;
        let none = TimeEntry { timestamp: Timestamp::NONE, last_offset: segment.base() };
        Ok(Walk {
            position: trusted.map_or(0, |entry| entry.position),
            next: segment.base(),
            largest: last_time.unwrap_or(none),
            last_time,
            bytes_since_index: 0,
            is_first_indexed: trusted.is_some(),
        })
    }

    fn visit(
        &mut self,
        recovery: &mut Recovery<'_>,
        segment: &Segment,
        position: u32,
        batch: &BatchSummary,
    ) -> io::Result<()> {
        let last_offset = batch.last_offset();
        if batch.max_timestamp > self.largest.timestamp {
            self.largest = TimeEntry { timestamp: batch.max_timestamp, last_offset };
        }
        if !self.is_first_indexed && self.bytes_since_index > recovery.index_interval_bytes {
            if self.largest.is_news_after(self.last_time) {
                segment.times.append(self.largest)?;
                self.last_time = Some(self.largest);
            }
            segment.offsets.append(OffsetEntry { last_offset, position })?;
            self.bytes_since_index = 0;
        }
        self.is_first_indexed = false;
        self.bytes_since_index = self.bytes_since_index.saturating_add(batch.size_bytes);
        recovery.epochs.assign(batch.leader_epoch, batch.base_offset);
        // Without a disagreement, the batch's epoch is the one that the checkpoint gives it.
        recovery.epochs_disagree |= batch.leader_epoch >= LeaderEpoch(0)
            && recovery.epochs.epoch_at(batch.base_offset) != Some(batch.leader_epoch);
        self.next = last_offset.plus(1);
        Ok(())
    }
}

fn is_batch_at(segment: &Segment, entry: OffsetEntry, end: u32) -> io::Result<bool> {
    let file = segment.log()?;
    match Headers::new(&*file, entry.position, end).next() {
        Ok(Some((_, header))) => Ok(header.last_offset() == entry.last_offset),
        Ok(None) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::Other => Ok(false),
        Err(error) => Err(error),
    }
}
