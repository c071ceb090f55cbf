//! Making a log shorter: retention and DeleteRecords at its beginning, truncation at its end.

use std::io;
use std::sync::Arc;

use types::{LeaderEpochs, Offset, Timestamp};

use crate::disk::Durability;
use crate::index::TimeEntry;
use crate::log::{Log, Producers, Tail};
use crate::recovery::{self, Recovered};
use crate::scan::Headers;
use crate::segment::Segment;
use crate::{names, snapshots};

/// What retention removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// How many segments.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Log {
    /// Removes the oldest segments that the config no longer keeps, and those before the log's start. Nothing at or
    /// above the high watermark goes. The active segment is rolled if all of it is too old.
    pub fn apply_retention(
        &mut self,
        now: Timestamp,
        high_watermark: Offset,
        producers: Producers<'_>,
    ) -> io::Result<Deleted> {
        let segments = self.reader.segments();
        let mut count = segments.iter().take_while(|segment| self.is_before_start(segment)).count();
        if self.config.is_deleted_by_retention {
            let by_time = segments.iter().take_while(|segment| self.is_too_old(segment, now)).count();
            count = count.max(by_time).max(self.count_over_size(&segments));
        }
        let below = segments
            .iter()
            .take_while(|segment| segment.size() > 0 && segment.next() <= high_watermark)
            .count();
        let mut count = count.min(below);
        if count == segments.len() {
            if self.reader.log_end() > high_watermark {
                count -= 1;
            } else {
                self.roll(self.reader.log_end(), now, producers)?;
            }
        }
        self.delete_oldest(count, now)
    }

    /// Moves the log's start up to `offset`, at most to the log's end, for good. Segments before it go with the next
    /// [`Log::apply_retention`].
    pub fn delete_records_before(&mut self, offset: Offset) -> io::Result<()> {
        let offset = offset.min(self.reader.log_end());
        if offset <= self.reader.log_start() {
            return Ok(());
        }
        let former = self.reader.log_start();
        self.reader.set_log_start(offset);
        // Written down before anyone is told: a restart must not bring the records back.
        if let Err(error) = self.shared.write_log_starts(Durability::Synced) {
            // Nothing is deleted, so that whoever asks again does not hear that it was.
            self.reader.set_log_start(former);
            return Err(error);
        }
        if self.epochs.start_at(offset) {
            self.write_epochs(Durability::Written)?;
        }
        Ok(())
    }

    /// Forgets all at or after `offset`, and epochs that begin there. A batch that holds it goes as a whole: gives back
    /// the log's end, which is that of the last whole batch.
    pub fn truncate_to(&mut self, offset: Offset, now: Timestamp) -> io::Result<Offset> {
        let log_end = self.reader.log_end();
        if offset >= log_end {
            // A leader that wrote nothing leaves an epoch that begins at the end.
            if self.epochs.truncate_to(offset) {
                self.write_epochs(Durability::Synced)?;
            }
            return Ok(log_end);
        }
        let offset = self.whole_batches_before(offset)?;
        self.reader.truncate_points(offset);
        self.reader.set_log_end(offset);
        // Before a byte changes: what will lie past the cut is not what the old points vouch for, nor the snapshots.
        self.shared.write_recovery_points()?;
        snapshots::truncate(&*self.reader.disk, &self.reader.dir, offset)?;
        self.reader.disk.sync_dir(&self.reader.dir)?;
        let segments = self.reader.segments();
        let kept = segments.partition_point(|segment| segment.base() < offset);
        self.remove(&segments[kept.max(1)..], now)?;
        let active = if kept == 0 {
            self.begin_again(&segments[0], offset, now)?
        } else {
            Arc::clone(&segments[kept - 1])
        };
        let mut remaining = segments[..kept.saturating_sub(1)].to_vec();
        remaining.push(Arc::clone(&active));
        self.active = active;
        if kept > 0 {
            self.truncate_active(offset, now)?;
        }
        self.reader.set_segments(remaining);
        self.reader.disk.sync_dir(&self.reader.dir)?;
        if self.reader.log_start() > offset {
            self.reader.set_log_start(offset);
        }
        if self.epochs.truncate_to(offset) {
            self.write_epochs(Durability::Synced)?;
        }
        Ok(offset)
    }

    /// Forgets everything and goes on at `offset`, wherever the log was.
    pub fn restart_at(&mut self, offset: Offset, now: Timestamp) -> io::Result<()> {
        self.reader.truncate_points(Offset::ZERO);
        // Before a byte changes, as in a truncation.
        self.shared.write_recovery_points()?;
        snapshots::truncate(&*self.reader.disk, &self.reader.dir, Offset(-1))?;
        let segments = self.reader.segments();
        self.remove(&segments, now)?;
        self.tail = Tail::new(now, &self.config, self.reader.jitter_seed(offset));
        self.active = Arc::new(Segment::create(&self.reader.disk, &self.reader.dir, offset)?);
        self.reader.set_log_start(offset);
        self.reader.set_log_end(offset);
        self.reader.set_segments(vec![Arc::clone(&self.active)]);
        self.reader.disk.sync_dir(&self.reader.dir)?;
        self.shared.write_log_starts(Durability::Synced)?;
        self.epochs = LeaderEpochs::default();
        self.write_epochs(Durability::Synced)
    }

    /// The producers of what is in the log, as a start would find them: after a truncation their state goes back too.
    pub fn recover_producers(&self) -> io::Result<Recovered> {
        let mut recovered = Recovered::default();
        recovery::recover_producers(&self.reader, &mut recovered)?;
        Ok(recovered)
    }

    /// Where the whole batches before `offset` end; not before the log's start, of which the batch may be gone in part.
    fn whole_batches_before(&self, offset: Offset) -> io::Result<Offset> {
        let segments = self.reader.segments();
        let Some(segment) = segments.iter().rfind(|segment| segment.base() < offset) else {
            return Ok(offset);
        };
        let file = segment.log()?;
        let next = Headers::new(&*file, segment.position_of(offset)?, segment.size()).next()?;
        let base = next.map_or(offset, |(_, batch)| batch.base_offset);
        Ok(base.min(offset).max(self.reader.log_start().min(offset)))
    }

    fn is_before_start(&self, segment: &Segment) -> bool {
        segment.next() <= self.reader.log_start() && segment.size() > 0
    }

    fn is_too_old(&self, segment: &Segment, now: Timestamp) -> bool {
        let largest = segment.max_timestamp().timestamp;
        // Records without a time keep their segment until the segment's own file is too old; without a clock in the
        // file system seam, that is: until size or DeleteRecords takes it.
        self.config.retention_ms >= 0
            && largest >= Timestamp(0)
            && now.0.saturating_sub(largest.0) > self.config.retention_ms
    }

    /// How many of the oldest segments lie wholly before the bytes that are kept.
    fn count_over_size(&self, segments: &[Arc<Segment>]) -> usize {
        let Ok(kept) = u64::try_from(self.config.retention_bytes) else { return 0 };
        let mut excess = self.reader.size_bytes().saturating_sub(kept);
        segments
            .iter()
            .take_while(|segment| match excess.checked_sub(u64::from(segment.size())) {
                Some(left) => {
                    excess = left;
                    true
                }
                None => false,
            })
            .count()
    }

    fn delete_oldest(&mut self, count: usize, now: Timestamp) -> io::Result<Deleted> {
        if count == 0 {
            return Ok(Deleted::default());
        }
        let segments = self.reader.segments();
        let (gone, kept) = segments.split_at(count);
        let start = kept[0].base();
        // Readers first: none may find a file that is on its way out.
        self.reader.set_log_start(self.reader.log_start().max(start));
        self.reader.set_segments(kept.to_vec());
        self.shared.write_log_starts(Durability::Written)?;
        self.remove(gone, now)?;
        if self.epochs.start_at(self.reader.log_start()) {
            self.write_epochs(Durability::Written)?;
        }
        Ok(Deleted { segments: count, bytes: gone.iter().map(|segment| u64::from(segment.size())).sum() })
    }

    /// Renames the files, and has them removed after `file.delete.delay.ms`.
    pub(crate) fn remove(&self, segments: &[Arc<Segment>], now: Timestamp) -> io::Result<()> {
        let due = Timestamp(now.0.saturating_add(self.config.file_delete_delay_ms));
        for segment in segments {
            for extension in [names::LOG, names::OFFSET_INDEX, names::TIME_INDEX, names::TRANSACTION_INDEX] {
                // Opened before its name goes, for readers that still hold the segment.
                if extension == names::LOG {
                    segment.pin_log()?;
                }
                self.shared.retire_file(segment.path(extension), due)?;
            }
        }
        Ok(())
    }

    fn begin_again(
        &mut self,
        first: &Arc<Segment>,
        offset: Offset,
        now: Timestamp,
    ) -> io::Result<Arc<Segment>> {
        self.remove(std::slice::from_ref(first), now)?;
        self.tail = Tail::new(now, &self.config, self.reader.jitter_seed(offset));
        Ok(Arc::new(Segment::create(&self.reader.disk, &self.reader.dir, offset)?))
    }

    /// Cuts the segment that is now the last one. A range that is being sent may see its bytes change: the caller waits
    /// for those, or breaks their connection.
    fn truncate_active(&mut self, offset: Offset, now: Timestamp) -> io::Result<()> {
        let segment = Arc::clone(&self.active);
        let position = if offset >= segment.next() { segment.size() } else { segment.position_of(offset)? };
        segment.publish(offset, position);
        segment.offsets.truncate(segment.offsets.count_where(|entry| entry.position < position)?)?;
        segment.times.truncate(segment.times.count_where(|entry| entry.last_offset < offset)?)?;
        segment.log()?.set_len(u64::from(position))?;
        // What is cut off must not come back among what is appended now, nor be vouched for by its snapshots.
        segment.sync()?;

        let mut tail = Tail::new(now, &self.config, self.reader.jitter_seed(segment.base()));
        tail.last_time = segment.times.last()?;
        let none = TimeEntry { timestamp: Timestamp::NONE, last_offset: segment.base() };
        let mut largest = tail.last_time.unwrap_or(none);
        let indexed = segment.offsets.last()?.map_or(0, |entry| entry.position);
        let file = segment.log()?;
        let mut headers = Headers::new(&*file, indexed, position);
        while let Some((_, batch)) = headers.next()? {
            if batch.max_timestamp > largest.timestamp {
                largest = TimeEntry { timestamp: batch.max_timestamp, last_offset: batch.last_offset() };
            }
            tail.bytes_since_index = tail.bytes_since_index.saturating_add(batch.size_bytes);
        }
        segment.set_max_timestamp(largest);
        tail.first_timestamp =
            Headers::new(&*file, 0, position).next()?.map(|(_, batch)| batch.max_timestamp);
        self.tail = tail;
        Ok(())
    }
}
