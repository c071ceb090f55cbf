//! A few megabytes that are kept for a disk that is full to the last byte: votes, checkpoints, the deletion of a topic and
//! a start all have to write a little. Kept as an allocated file, given up when such a write finds no space, and taken
//! again when there is some.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::{Disk, OpenMode};
use crate::names;

const RESERVE_BYTES: u64 = 8 << 20;

#[derive(Debug)]
pub(crate) struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    is_taken: AtomicBool,
}

impl Reserve {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Reserve {
        Reserve { disk, path: dir.join(names::RESERVE), is_taken: AtomicBool::new(false) }
    }

    /// Takes the space, if it is not taken. Call it only when the disk has plenty.
    pub(crate) fn take(&self) -> io::Result<()> {
        if !self.is_taken.swap(true, Ordering::Relaxed) {
            self.disk.open(&self.path, OpenMode::Create)?.reserve(RESERVE_BYTES)?;
        }
        Ok(())
    }

    /// Does a small write that has to succeed; should there be no space, once more without the reserve.
    pub(crate) fn spend<T>(&self, write: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match write() {
            Err(error) if error.kind() == io::ErrorKind::StorageFull && self.give_up() => write(),
            other => other,
        }
    }

    /// Gives the space back; false if there was none.
    pub(crate) fn give_up(&self) -> bool {
        self.is_taken.store(false, Ordering::Relaxed);
        let is_given = self.disk.remove_file(&self.path).is_ok();
        if is_given {
            tracing::warn!(path = %self.path.display(), "disk is full: living on the reserve");
        }
        is_given
    }
}
