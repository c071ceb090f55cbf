//! One log, for its one writer. The partition's lock owns it; readers have the [`LogReader`].

use std::io;
use std::sync::Arc;

use record::{BatchSummary, ProducerSnapshotEntry};
use types::{ErrorCode, LeaderEpoch, LeaderEpochs, Offset, Timestamp};

use crate::config::LogConfig;
use crate::data_dir::Shared;
use crate::disk::{Durability, write_atomically};
use crate::index::{OffsetEntry, TimeEntry};
use crate::reader::LogReader;
use crate::segment::Segment;
use crate::sync::{Checkpoint, CheckpointKind, SyncHandle};
use crate::{checkpoint, names, snapshots};

/// So many new bytes ask for a recovery point that holds after a crash of the process: this much is read again.
const BYTES_BETWEEN_WRITTEN_POINTS: u64 = 64 << 20;
/// So many new bytes ask for one that holds after a crash of the machine.
const BYTES_BETWEEN_SYNCS: u64 = 1 << 30;

/// One log, for appending, truncating and deleting.
#[derive(Debug)]
pub struct Log {
    pub(crate) reader: Arc<LogReader>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: LogConfig,
    pub(crate) active: Arc<Segment>,
    pub(crate) tail: Tail,
    pub(crate) epochs: LeaderEpochs,
    /// The checkpoint still names an epoch that begins at the log's end and was cut, or does not name the one that begins
    /// there: it is written before the next record.
    pub(crate) epochs_are_stale: bool,
    /// Bytes appended since the last written point and the last sync.
    pub(crate) bytes_since_written: u64,
    pub(crate) bytes_since_sync: u64,
}

/// What only the writer knows of the active segment.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) created: Timestamp,
    /// Of the first batch; rolling by time counts from it.
    pub(crate) first_timestamp: Option<Timestamp>,
    pub(crate) bytes_since_index: u32,
    pub(crate) last_time: Option<TimeEntry>,
    pub(crate) jitter_ms: i64,
    /// A failed write may have left bytes past the published end.
    pub(crate) may_be_torn: bool,
}

impl Tail {
    pub(crate) fn new(created: Timestamp, config: &LogConfig, seed: u64) -> Tail {
        let bound = config.segment_jitter_ms.min(config.segment_ms).max(0).unsigned_abs();
        let jitter_ms = if bound == 0 { 0 } else { (mix(seed) % bound).cast_signed() };
        Tail {
            created,
            first_timestamp: None,
            bytes_since_index: 0,
            last_time: None,
            jitter_ms,
            may_be_torn: false,
        }
    }
}

/// A batch was not appended, and the log is as it was.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk is below low water.
    #[error("the disk is almost full: less than {low_water_bytes} bytes are free")]
    LowOnSpace {
        /// How much must be free.
        low_water_bytes: u64,
    },
    /// The batch's first offset lies before the log's end.
    #[error("the batch begins at {base_offset}, but the log ends at {log_end}")]
    OutOfOrder {
        /// The batch's.
        base_offset: Offset,
        /// The log's.
        log_end: Offset,
    },
    /// The disk failed or is full.
    #[error("the log could not be written: {0}")]
    Io(#[from] io::Error),
}

impl AppendError {
    /// What a client is told.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::KafkaStorageError
    }

    /// Whether space is what is missing: deleting helps, and the disk is not broken.
    pub fn is_for_want_of_space(&self) -> bool {
        match self {
            AppendError::LowOnSpace { .. } => true,
            AppendError::OutOfOrder { .. } => false,
            AppendError::Io(error) => error.kind() == io::ErrorKind::StorageFull,
        }
    }
}

/// The idempotent producers of the log, as its snapshots hold them.
pub type Producers<'a> = &'a dyn Fn() -> Vec<ProducerSnapshotEntry>;

impl Log {
    /// What readers share.
    pub fn reader(&self) -> Arc<LogReader> {
        Arc::clone(&self.reader)
    }

    /// The config that holds now.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Takes a new config; segments that exist keep their size.
    pub fn configure(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// Writes a batch whose first 16 bytes are `prefix` and whose others are `rest`; `batch` has its final offsets.
    /// `producers` is asked for their state before this batch, and only when the append rolls the log.
    pub fn append(
        &mut self,
        batch: &BatchSummary,
        prefix: &[u8; 16],
        rest: &[u8],
        now: Timestamp,
        producers: Producers<'_>,
    ) -> Result<(), AppendError> {
        match self.try_append(batch, prefix, rest, now, producers) {
            Err(AppendError::Io(error)) if error.kind() == io::ErrorKind::StorageFull => {
                self.shared.note_full();
                if self.config.may_use_reserve && self.shared.reserve.give_up() {
                    return self.try_append(batch, prefix, rest, now, producers);
                }
                Err(error.into())
            }
            other => other,
        }
    }

    fn try_append(
        &mut self,
        batch: &BatchSummary,
        prefix: &[u8; 16],
        rest: &[u8],
        now: Timestamp,
        producers: Producers<'_>,
    ) -> Result<(), AppendError> {
        let log_end = self.reader.log_end();
        if batch.base_offset < log_end {
            return Err(AppendError::OutOfOrder { base_offset: batch.base_offset, log_end });
        }
        debug_assert_eq!(
            batch.size_bytes as usize,
            prefix.len() + rest.len(),
            "the summary is of this batch"
        );
        self.shared.admit(batch.size_bytes, self.config.may_use_reserve)?;
        if self.should_roll(batch, now) {
            self.roll(self.next_base(batch), now, producers)?;
        }
        if self.epochs.latest().is_none_or(|latest| latest < batch.leader_epoch) {
            self.epochs_are_stale |= self.epochs.assign(batch.leader_epoch, batch.base_offset);
        }
        if self.epochs_are_stale {
            self.write_epochs(Durability::Written)?;
        }
        Ok(self.write(batch, prefix, rest)?)
    }

    /// Starts a new segment at the log's end.
    pub(crate) fn roll(&mut self, base: Offset, now: Timestamp, producers: Producers<'_>) -> io::Result<()> {
        self.seal()?;
        let (disk, dir) = (&self.reader.disk, &self.reader.dir);
        snapshots::write(&**disk, dir, base, &producers(), Durability::Written)?;
        // Last of all that can fail: once there is a file of that name, recovery looks for the log's end in it.
        let segment = Arc::new(Segment::create(disk, dir, base)?);
        if self.config.preallocate
            && let Err(error) = segment.log()?.reserve(u64::from(self.config.segment_bytes))
        {
            tracing::warn!(%error, log = %dir.display(), "space was not reserved");
        }
        let mut segments = self.reader.segments().to_vec();
        // An empty segment that cannot hold the next offset is replaced.
        let rolled = segments.pop().expect("there was an active segment");
        let replaced = (rolled.size() == 0).then(|| Arc::clone(&rolled));
        if replaced.is_none() {
            segments.push(Arc::new(rolled.at_rest()));
        }
        segments.push(Arc::clone(&segment));
        self.tail = Tail::new(now, &self.config, self.reader.jitter_seed(base));
        self.active = segment;
        self.reader.set_segments(segments);
        self.remove(replaced.as_slice(), now)
    }

    /// Gives the active segment what it has when it is no longer written: no torn tail, a last entry in the time index.
    pub(crate) fn seal(&mut self) -> io::Result<()> {
        if self.tail.may_be_torn || self.config.preallocate {
            self.active.log()?.set_len(u64::from(self.active.size()))?;
            self.tail.may_be_torn = false;
        }
        let largest = self.active.max_timestamp();
        if self.active.size() > 0 && largest.is_news_after(self.tail.last_time) {
            self.active.times.append(largest)?;
            self.tail.last_time = Some(largest);
        }
        Ok(())
    }

    fn should_roll(&self, batch: &BatchSummary, now: Timestamp) -> bool {
        let size = self.active.size();
        if batch.last_offset().since(self.active.base()) > i64::from(i32::MAX) {
            return true;
        }
        let index_bytes_max = u64::from(self.config.segment_index_bytes);
        size > 0
            && (u64::from(size) + u64::from(batch.size_bytes) > u64::from(self.config.segment_bytes)
                || self.waited_ms(batch, now) > self.config.segment_ms - self.tail.jitter_ms
                || self.active.offsets.size_bytes() + 8 > index_bytes_max
                // One entry is kept for the roll itself.
                || self.active.times.size_bytes() + 24 > index_bytes_max)
    }

    /// How old the segment is: by its records' time if they have one, else by the clock.
    fn waited_ms(&self, batch: &BatchSummary, now: Timestamp) -> i64 {
        match self.tail.first_timestamp {
            Some(first) if first >= Timestamp(0) => batch.max_timestamp.0.saturating_sub(first.0),
            _ => now.0.saturating_sub(self.tail.created.0),
        }
    }

    fn next_base(&self, batch: &BatchSummary) -> Offset {
        let log_end = self.reader.log_end();
        // After a gap, the end may be too far below the batch for a relative offset.
        if batch.last_offset().since(log_end) > i64::from(i32::MAX) { batch.base_offset } else { log_end }
    }

    fn write(&mut self, batch: &BatchSummary, prefix: &[u8; 16], rest: &[u8]) -> io::Result<()> {
        let active = &self.active;
        let position = active.size();
        if let Err(error) = active.log()?.write_at([prefix, rest], u64::from(position)) {
            self.tail.may_be_torn = true;
            return Err(error);
        }
        let last_offset = batch.last_offset();
        if batch.max_timestamp > active.max_timestamp().timestamp {
            active.set_max_timestamp(TimeEntry { timestamp: batch.max_timestamp, last_offset });
        }
        if self.tail.bytes_since_index > self.config.index_interval_bytes {
            self.index(OffsetEntry { last_offset, position });
        }
        self.tail.bytes_since_index = self.tail.bytes_since_index.saturating_add(batch.size_bytes);
        self.tail.first_timestamp = self.tail.first_timestamp.or(Some(batch.max_timestamp));
        self.bytes_since_written += u64::from(batch.size_bytes);
        self.bytes_since_sync += u64::from(batch.size_bytes);
        self.active.publish(last_offset.plus(1), position + batch.size_bytes);
        self.reader.set_log_end(last_offset.plus(1));
        Ok(())
    }

    /// Indexes are sparse: an entry that finds no space is missed by no one, so that the append succeeds without it.
    /// The time index goes first: recovery takes it that timestamps up to an offset entry are in the time index.
    fn index(&mut self, entry: OffsetEntry) {
        let largest = self.active.max_timestamp();
        if largest.is_news_after(self.tail.last_time) {
            if let Err(error) = self.active.times.append(largest) {
                tracing::warn!(%error, log = %self.reader.dir.display(), "time index entry left out");
                return;
            }
            self.tail.last_time = Some(largest);
        }
        match self.active.offsets.append(entry) {
            Ok(()) => self.tail.bytes_since_index = 0,
            Err(error) => {
                tracing::warn!(%error, log = %self.reader.dir.display(), "offset index entry left out")
            }
        }
    }
}

/// Leader epochs.
impl Log {
    /// Notes that `epoch` begins at `start`. An epoch that is not newer than all known changes nothing. One that begins at
    /// the log's end is written down with its first record: without one recovery forgets it anyway, and a node that starts
    /// begins thousands of them.
    pub fn assign_epoch(&mut self, epoch: LeaderEpoch, start: Offset) -> io::Result<()> {
        if !self.epochs.assign(epoch, start) {
            return Ok(());
        }
        if start >= self.reader.log_end() {
            self.epochs_are_stale = true;
            return Ok(());
        }
        self.write_epochs(Durability::Written)
    }

    /// The largest known epoch up to `epoch`, and the offset at which it ends; `None` if `epoch` is newer than all known.
    pub fn epoch_end_offset(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.end_offset(epoch, self.reader.log_end())
    }

    /// Which epoch began where.
    pub fn epochs(&self) -> &LeaderEpochs {
        &self.epochs
    }

    /// The newest epoch that has been assigned.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// The epoch in which the record at `offset` was appended.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.epoch_at(offset)
    }

    pub(crate) fn write_epochs(&mut self, durability: Durability) -> io::Result<()> {
        let text = checkpoint::encode_epochs(self.epochs.entries());
        let path = self.reader.dir.join(names::LEADER_EPOCHS);
        let disk = &*self.reader.disk;
        self.shared.reserve.spend(|| write_atomically(disk, &path, text.as_bytes(), durability))?;
        self.epochs_are_stale = false;
        Ok(())
    }
}

/// Durability.
impl Log {
    /// Makes all that is appended durable.
    pub fn sync(&mut self) -> io::Result<()> {
        self.sync_handle().sync()
    }

    /// Makes what is appended by now durable, wherever it is called: the fsync needs no lock on the log.
    pub fn sync_handle(&self) -> SyncHandle {
        SyncHandle::new(Arc::clone(&self.reader))
    }

    /// Whether enough was appended that recovery should begin later. Cheap.
    pub fn needs_checkpoint(&self) -> Option<CheckpointKind> {
        match (self.bytes_since_written, self.bytes_since_sync) {
            (_, BYTES_BETWEEN_SYNCS..) => Some(CheckpointKind::Sync),
            (BYTES_BETWEEN_WRITTEN_POINTS.., _) => Some(CheckpointKind::Written),
            _ => None,
        }
    }

    /// Whether anything was appended since the last sync.
    pub fn is_dirty(&self) -> bool {
        self.reader.recovery_point() < self.reader.log_end()
    }

    /// Begins a checkpoint at the log's end, with the producers' state there. Its work is [`Checkpoint::run`], which
    /// needs no lock; after it, [`DataDir::checkpoint`](crate::DataDir::checkpoint) writes the point down.
    pub fn begin_checkpoint(
        &mut self,
        kind: CheckpointKind,
        producers: &[ProducerSnapshotEntry],
    ) -> Checkpoint {
        self.bytes_since_written = 0;
        if kind == CheckpointKind::Sync {
            self.bytes_since_sync = 0;
        }
        let producers = record::encode_producer_snapshot(producers);
        Checkpoint::new(Arc::clone(&self.reader), Arc::clone(&self.shared), kind, producers)
    }

    /// Closes the files of the active segment and, if `all`, of the others. Whoever reads or writes next opens them again;
    /// who reads now goes on. Not `all` of a log that may be compacted: what is put in a segment's place has its name.
    pub fn close_files(&mut self, all: bool) {
        let segments = self.reader.segments();
        let active = segments.len() - 1;
        let closes = |(at, segment): (usize, &Arc<Segment>)| segment.is_open() && (all || at == active);
        if !segments.iter().enumerate().any(closes) {
            return;
        }
        let rested = segments.iter().enumerate().map(|(at, segment)| match closes((at, segment)) {
            true => Arc::new(segment.at_rest()),
            false => Arc::clone(segment),
        });
        let rested: Vec<_> = rested.collect();
        self.active = Arc::clone(rested.last().expect("there is an active segment"));
        self.reader.set_segments(rested);
    }

    /// Makes all durable, with the producers' state, so that the next start has nothing to recover.
    pub fn close(mut self, producers: &[ProducerSnapshotEntry]) -> io::Result<()> {
        self.seal()?;
        self.begin_checkpoint(CheckpointKind::Sync, producers).run()?;
        self.reader.close_files();
        Ok(())
    }
}

/// Spreads a seed over all bits (the finalizer of splitmix64).
fn mix(seed: u64) -> u64 {
    let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ (seed >> 31)
}

#[cfg(test)]
mod tests;
