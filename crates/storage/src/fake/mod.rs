//! A disk in memory that behaves as badly as disks are allowed to: it forgets what was not synced, tears the write that
//! a crash interrupts, flips bits and fills up. All chance comes from its seed.
//!
//! The model is a journalling file system. Names change in order, and a prefix of the changes survives a loss of power;
//! `sync_dir` makes all changes up to the directory's last one durable. Of the data written since a file's last sync, any
//! part may survive, in pieces of a sector. A crash of the process alone loses nothing but the rest of the write it hit.

mod names;
mod state;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{DirEntry, Disk, DiskFile, LockGuard, OpenMode, Space};
use state::State;

/// A disk in memory; clones share it.
#[derive(Clone, Debug)]
pub struct FakeDisk {
    state: Arc<Mutex<State>>,
}

/// What went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process: the kernel still has all it was given.
    Process,
    /// The machine: what was not synced is lost, in part or in full.
    Power,
}

impl FakeDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> FakeDisk {
        FakeDisk { state: Arc::new(Mutex::new(State::new(seed))) }
    }

    /// Lets `operations` more changes pass; the next one is torn, and all after it fail until [`FakeDisk::restart`].
    pub fn crash_after(&self, operations: u64) {
        self.state().operations_left = Some(operations);
    }

    /// From now on nothing can be written or synced, though what is there can be read; `false` mends it.
    pub fn set_broken(&self, is_broken: bool) {
        self.state().is_broken = is_broken;
    }

    /// From now on nothing can be synced, though it can be written and read; `false` mends it.
    pub fn set_unsyncable(&self, is_unsyncable: bool) {
        self.state().is_unsyncable = is_unsyncable;
    }

    /// Whether the crash has happened.
    pub fn is_down(&self) -> bool {
        self.state().is_down
    }

    /// Comes up again after a crash. Files that were open and locks that were held are no more.
    pub fn restart(&self, crash: Crash) {
        self.state().restart(crash);
    }

    /// From now on there is room for so many bytes.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// Inverts one bit of a file, on the disk too.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        self.state().flip_bit(path, bit);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for FakeDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let (inode, run) = self.state().open(path, mode)?;
        Ok(Arc::new(FakeFile { disk: self.clone(), inode, run }))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.state().read_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.state().create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state().rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.state().remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.state().remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.state().sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let run = self.state().lock(path)?;
        Ok(Box::new(FakeLock { disk: self.clone(), path: path.to_owned(), run }))
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let state = self.state();
        Ok(Space { free_bytes: state.capacity.saturating_sub(state.used()), total_bytes: state.capacity })
    }

    fn boot_id(&self) -> io::Result<String> {
        Ok(format!("boot-{}", self.state().boot))
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let mut state = self.state();
        let (high, low) = (state.random(), state.random());
        Ok((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }
}

#[derive(Debug)]
struct FakeFile {
    disk: FakeDisk,
    inode: u64,
    /// The run of the process that opened it.
    run: u64,
}

impl DiskFile for FakeFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.disk.state().read(self.inode, self.run, buffer, position)
    }

    fn write_at(&self, parts: [&[u8]; 2], position: u64) -> io::Result<()> {
        self.disk.state().write(self.inode, self.run, &parts.concat(), position)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.state().sync(self.inode, self.run)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.state().set_len(self.inode, self.run, len)
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.state().len(self.inode, self.run)
    }

    fn reserve(&self, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[derive(Debug)]
struct FakeLock {
    disk: FakeDisk,
    path: PathBuf,
    run: u64,
}

impl LockGuard for FakeLock {}

impl Drop for FakeLock {
    fn drop(&mut self) {
        self.disk.state().unlock(&self.path, self.run);
    }
}
