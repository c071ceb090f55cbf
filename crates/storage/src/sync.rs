//! Checkpoints: making a log durable up to a point, without the log's lock.

use std::io;
use std::path::Path;
use std::sync::Arc;

use types::Offset;

use crate::disk::{Disk, Durability, OpenMode};
use crate::reader::LogReader;
use crate::segment::Segment;
use crate::shared::Shared;
use crate::{names, snapshots};

/// Which crash a point is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointKind {
    /// A crash of the process: the kernel has all bytes.
    Written,
    /// A crash of the machine: the disk has all bytes.
    Sync,
}

/// A log's end at one moment, to be made a point from which recovery may begin.
#[must_use = "a checkpoint does its work in `run`"]
#[derive(Debug)]
pub struct Checkpoint {
    reader: Arc<LogReader>,
    shared: Arc<Shared>,
    kind: CheckpointKind,
    upto: Offset,
    truncations: u64,
    segments: Vec<Arc<Segment>>,
    producers: Vec<u8>,
}

impl Checkpoint {
    /// Only the log's writer makes one: the state of the producers belongs to this very end.
    pub(crate) fn new(
        reader: Arc<LogReader>,
        shared: Arc<Shared>,
        kind: CheckpointKind,
        producers: Vec<u8>,
    ) -> Checkpoint {
        let upto = reader.log_end();
        let unsynced = reader.recovery_point();
        let segments = match kind {
            CheckpointKind::Sync if upto > unsynced => {
                // The one that ends at the old point too: it may have been cut there.
                reader
                    .segments()
                    .iter()
                    .filter(|segment| segment.next() >= unsynced)
                    .map(Arc::clone)
                    .collect()
            }
            CheckpointKind::Sync | CheckpointKind::Written => Vec::new(),
        };
        Checkpoint { kind, upto, shared, truncations: reader.truncations(), segments, producers, reader }
    }

    /// The offset below which all is durable afterwards.
    pub fn upto(&self) -> Offset {
        self.upto
    }

    /// Writes the producers' state, waits for the disk if that is the kind, and moves the log's point.
    pub fn run(self) -> io::Result<()> {
        let (disk, dir) = (&*self.reader.disk, &*self.reader.dir);
        let durability = match self.kind {
            CheckpointKind::Written => Durability::Written,
            CheckpointKind::Sync => Durability::Synced,
        };
        let has_news = self.upto > self.reader.written_point() || !self.segments.is_empty();
        if has_news {
            let write = || snapshots::write_encoded(disk, dir, self.upto, &self.producers, durability);
            self.shared.reserve.spend(write)?;
            snapshots::prune(disk, dir)?;
        }
        if !self.segments.is_empty() {
            self.sync_files(disk, dir)?;
        }
        match self.kind {
            CheckpointKind::Written => self.reader.advance_written_point(self.upto, self.truncations),
            CheckpointKind::Sync => self.reader.advance_recovery_point(self.upto, self.truncations),
        }
        Ok(())
    }

    fn sync_files(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        for segment in &self.segments {
            match segment.sync() {
                // Retention was faster: what is deleted needs no disk.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        match disk.open(&dir.join(names::LEADER_EPOCHS), OpenMode::Read) {
            Ok(epochs) => epochs.sync_data()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        disk.sync_dir(dir)?;
        disk.sync_dir(dir.parent().expect("a log lies in a data directory"))
    }
}

/// Makes records durable up to what was the log's end when it was taken, and nothing more: recovery begins where it did.
/// Much cheaper than a checkpoint, as one acknowledgement may wait for it.
#[must_use = "nothing is synced before `sync`"]
#[derive(Debug)]
pub struct SyncHandle {
    reader: Arc<LogReader>,
    upto: Offset,
    truncations: u64,
    flushed: Offset,
    segments: Vec<Arc<Segment>>,
}

impl SyncHandle {
    pub(crate) fn new(reader: Arc<LogReader>) -> SyncHandle {
        let (upto, flushed, truncations) = (reader.log_end(), reader.flushed(), reader.truncations());
        let segments = reader.segments();
        let first = segments.partition_point(|segment| segment.next() <= flushed);
        SyncHandle { segments: segments[first..].to_vec(), upto, truncations, flushed, reader }
    }

    /// The offset below which all is durable afterwards.
    pub fn upto(&self) -> Offset {
        self.upto
    }

    /// Waits for the disk.
    pub fn sync(self) -> io::Result<()> {
        for segment in &self.segments {
            match segment.log().and_then(|log| log.sync_data()) {
                // Retention was faster: what is deleted needs no disk.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        // A file that is new needs its name, too.
        if self.segments.iter().any(|segment| segment.base() >= self.flushed) {
            let dir = &self.reader.dir;
            self.reader.disk.sync_dir(dir)?;
            self.reader.disk.sync_dir(dir.parent().expect("a log lies in a data directory"))?;
        }
        self.reader.advance_flushed(self.upto, self.truncations);
        Ok(())
    }
}
