//! Checkpoints: making a log durable up to a point, without the log's lock.

use std::io;
use std::path::Path;
use std::sync::Arc;

use types::Offset;

use crate::disk::{Disk, Durability, OpenMode};
use crate::reader::LogReader;
use crate::segment::Segment;
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
    kind: CheckpointKind,
    upto: Offset,
    truncations: u64,
    segments: Vec<Arc<Segment>>,
    producers: Option<Vec<u8>>,
}

impl Checkpoint {
    /// Only the log's writer makes one: the state of the producers belongs to this very end.
    pub(crate) fn new(
        reader: Arc<LogReader>,
        kind: CheckpointKind,
        producers: Option<Vec<u8>>,
    ) -> Checkpoint {
        let upto = reader.log_end();
        let unsynced = reader.recovery_point();
        let segments = match kind {
            CheckpointKind::Written => Vec::new(),
            CheckpointKind::Sync => {
                reader.segments().iter().filter(|segment| segment.next() > unsynced).map(Arc::clone).collect()
            }
        };
        Checkpoint { kind, upto, truncations: reader.truncations(), segments, producers, reader }
    }

    /// The offset below which all is durable afterwards.
    pub fn upto(&self) -> Offset {
        self.upto
    }

    /// As [`Checkpoint::run`], for those who only want the fsync.
    pub fn sync(self) -> io::Result<()> {
        self.run()
    }

    /// Writes the producers' state, waits for the disk if that is the kind, and moves the log's point.
    pub fn run(self) -> io::Result<()> {
        let (disk, dir) = (&*self.reader.disk, &*self.reader.dir);
        let durability = match self.kind {
            CheckpointKind::Written => Durability::Written,
            CheckpointKind::Sync => Durability::Synced,
        };
        let has_news = self.upto > self.reader.written_point() || !self.segments.is_empty();
        if let Some(producers) = self.producers.as_ref().filter(|_| has_news) {
            snapshots::write_encoded(disk, dir, self.upto, producers, durability)?;
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
