//! How many files are open at a time, over all logs of a node. Knows files, not what is in them.
//!
//! A node has three files for each segment, and may have more partitions than descriptors. What is needed is opened; when
//! there is no room, what was not used for longest is closed, and whoever needs it next opens it again. A file that
//! somebody holds, because a range of it is being sent or synced, is not closed; nor is one whose name goes to another.
//!
//! "Longest" is a clock's: each use leaves a mark, the hand takes marks away and closes what has none. An exact order would
//! cost every append a lock that all logs share; the mark costs it nothing.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError, Weak};

use crate::disk::{DirEntry, Disk, DiskFile, LockGuard, OpenMode, Space};

/// The ring may hold so many more names of files that are gone than of such that are open.
const GONE_MAX: usize = 1024;

/// A disk with a bound on how many of its files are open.
#[derive(Debug)]
pub struct BoundedDisk {
    disk: Arc<dyn Disk>,
    files: Arc<OpenFiles>,
}

#[derive(Debug)]
struct OpenFiles {
    max: usize,
    open: AtomicUsize,
    /// What may be closed, the hand of the clock in front.
    ring: Mutex<VecDeque<Weak<KeptFile>>>,
    is_over: AtomicBool,
}

/// A file that stays open until there is no room for it.
#[derive(Debug, Default)]
pub struct KeptFile {
    state: Mutex<State>,
    is_used: AtomicBool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Open(Arc<dyn DiskFile>),
    /// It could not be opened again: its name goes to another.
    Pinned(Arc<dyn DiskFile>),
}

/// Where a log keeps one of its files. Takes little while it was never open.
#[derive(Debug, Default)]
pub(crate) struct FileSlot(OnceLock<Arc<KeptFile>>);

impl BoundedDisk {
    /// At most `max` files of `disk` are open, as long as not more than that are in use at one moment.
    pub fn new(disk: Arc<dyn Disk>, max: usize) -> BoundedDisk {
        let files = OpenFiles {
            max: max.max(1),
            open: AtomicUsize::new(0),
            ring: Mutex::default(),
            is_over: AtomicBool::new(false),
        };
        BoundedDisk { disk, files: Arc::new(files) }
    }

    /// How many are open.
    pub fn open_count(&self) -> usize {
        self.files.open.load(Ordering::Relaxed)
    }

    /// How many may be.
    pub fn open_max(&self) -> usize {
        self.files.max
    }
}

impl Disk for BoundedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.files.make_room(self.files.max);
        let file = match self.disk.open(path, mode) {
            // Sockets take descriptors too.
            Err(error) if is_out_of_descriptors(&error) => {
                self.files.make_room(self.open_count() - self.open_count() / 8);
                self.disk.open(path, mode)?
            }
            other => other?,
        };
        self.files.open.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(CountedFile { file, files: Arc::clone(&self.files) }))
    }

    fn keep(&self, file: &Arc<KeptFile>) {
        self.files.keep(file);
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.read_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.disk.lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }

    fn boot_id(&self) -> io::Result<String> {
        self.disk.boot_id()
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        self.disk.random()
    }
}

impl OpenFiles {
    /// Closes files until fewer than `max` are open, or the others are all in use.
    fn make_room(&self, max: usize) {
        if self.open.load(Ordering::Relaxed) < max {
            return;
        }
        let mut ring = self.ring();
        // Twice around: the first time may only take marks away.
        for _ in 0..2 * ring.len() {
            if self.open.load(Ordering::Relaxed) < max {
                self.is_over.store(false, Ordering::Relaxed);
                return;
            }
            let Some(next) = ring.pop_front() else { break };
            let Some(file) = next.upgrade() else { continue };
            if file.is_used.swap(false, Ordering::Relaxed) || !file.close() {
                ring.push_back(next);
            }
        }
        let open = self.open.load(Ordering::Relaxed);
        if open >= max && !self.is_over.swap(true, Ordering::Relaxed) {
            tracing::warn!(open, max, "more files are in use than may be open");
        }
    }

    fn keep(&self, file: &Arc<KeptFile>) {
        let mut ring = self.ring();
        if ring.len() > self.open.load(Ordering::Relaxed) + GONE_MAX {
            ring.retain(|file| file.strong_count() > 0);
        }
        ring.push_back(Arc::downgrade(file));
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<Weak<KeptFile>>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeptFile {
    /// Whether it is closed now: not if somebody has it, opens it, or could not open it again.
    fn close(&self) -> bool {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let is_idle = match &*state {
            State::Open(file) => Arc::strong_count(file) == 1,
            State::Closed | State::Pinned(_) => false,
        };
        if is_idle {
            *state = State::Closed;
        }
        is_idle
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileSlot {
    /// Already open.
    pub(crate) fn opened(disk: &dyn Disk, file: Arc<dyn DiskFile>) -> FileSlot {
        let slot = FileSlot::default();
        let kept = slot.0.get_or_init(Arc::default);
        *kept.state() = State::Open(file);
        disk.keep(kept);
        slot
    }

    /// The file; it is opened if it is not open.
    pub(crate) fn get(
        &self,
        disk: &dyn Disk,
        path: impl FnOnce() -> PathBuf,
    ) -> io::Result<Arc<dyn DiskFile>> {
        let kept = self.0.get_or_init(Arc::default);
        if !kept.is_used.load(Ordering::Relaxed) {
            kept.is_used.store(true, Ordering::Relaxed);
        }
        let mut state = kept.state();
        match &*state {
            State::Open(file) | State::Pinned(file) => Ok(Arc::clone(file)),
            State::Closed => {
                let file = disk.open(&path(), OpenMode::Write)?;
                *state = State::Open(Arc::clone(&file));
                drop(state);
                disk.keep(kept);
                Ok(file)
            }
        }
    }

    /// Opens the file and does not let it be closed, as its name goes to another.
    pub(crate) fn pin(&self, disk: &dyn Disk, path: impl FnOnce() -> PathBuf) -> io::Result<()> {
        let kept = self.0.get_or_init(Arc::default);
        let mut state = kept.state();
        let file = match &*state {
            State::Pinned(_) => return Ok(()),
            State::Open(file) => Arc::clone(file),
            State::Closed => disk.open(&path(), OpenMode::Write)?,
        };
        *state = State::Pinned(file);
        Ok(())
    }

    /// The file if it is open.
    pub(crate) fn if_open(&self) -> Option<Arc<dyn DiskFile>> {
        match &*self.0.get()?.state() {
            State::Open(file) | State::Pinned(file) => Some(Arc::clone(file)),
            State::Closed => None,
        }
    }

    /// Whether it is open.
    pub(crate) fn is_open(&self) -> bool {
        self.if_open().is_some()
    }
}

/// Counts until the last who has it lets it go.
#[derive(Debug)]
struct CountedFile {
    file: Arc<dyn DiskFile>,
    files: Arc<OpenFiles>,
}

impl Drop for CountedFile {
    fn drop(&mut self) {
        self.files.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl DiskFile for CountedFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn write_at(&self, parts: [&[u8]; 2], position: u64) -> io::Result<()> {
        self.file.write_at(parts, position)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.file.reserve(len)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_fd()
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errnos = [Errno::MFILE, Errno::NFILE];
    error.raw_os_error().is_some_and(|code| errnos.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(test)]
mod tests;
