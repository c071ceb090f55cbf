//! The seam to files: what the log needs of a disk, and nothing more. Knows nothing of logs.
//!
//! Everything is synchronous. [`RealDisk`](crate::RealDisk) is the machine's file system; [`FakeDisk`](crate::fake::FakeDisk)
//! loses, tears and flips what was not synced.

use std::fmt::Debug;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use crate::open_files::KeptFile;

/// A file system.
pub trait Disk: Debug + Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Takes note of a file that may be closed when others need its place: it is opened again by whoever needs it.
    fn keep(&self, _file: &Arc<KeptFile>) {}
    /// What a directory holds, sorted by name.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Creates a directory and what is missing above it.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Renames a file or directory, replacing a file that has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and all in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in this directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Takes an exclusive lock on a file, which is created; it is held until the guard is dropped.
    /// `WouldBlock` when another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;
    /// Free and total space of the file system that holds `path`.
    fn space(&self, path: &Path) -> io::Result<Space>;
    /// What identifies this run of the kernel: the page cache survives a crash of the process, not of the kernel.
    fn boot_id(&self) -> io::Result<String>;
    /// Random bytes for a new directory's id.
    fn random(&self) -> io::Result<[u8; 16]>;
}

/// An open file. All access is by position, so that readers and the writer share one.
pub trait DiskFile: Debug + Send + Sync {
    /// Reads into `buffer` from `position`; fewer bytes than asked for only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all parts, one after the other, at `position`.
    fn write_at(&self, parts: [&[u8]; 2], position: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// The file's length.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reserves space for `len` bytes without changing the file's length.
    fn reserve(&self, len: u64) -> io::Result<()>;
    /// The descriptor, for `sendfile`; none where the file is not the kernel's.
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;
}

/// Holds a lock until it is dropped.
pub trait LockGuard: Debug + Send + Sync {}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; created if it is missing.
    Create,
    /// For reading and writing; created, or emptied if it exists.
    Truncate,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The last part of its path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// How much a file system holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes an unprivileged process may still write.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// Whether an error says that the disk itself is broken, and not that it is full or that too many files are open.
pub fn is_disk_failure(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let broken = [Errno::IO, Errno::ROFS, Errno::NXIO, Errno::NODEV, Errno::UCLEAN, Errno::STALE];
    error.raw_os_error().is_some_and(|code| broken.iter().any(|errno| errno.raw_os_error() == code))
}

/// Fills `buffer` from `position`, or says that the file ends before.
pub(crate) fn read_exact_at(file: &dyn DiskFile, buffer: &mut [u8], position: u64) -> io::Result<()> {
    match file.read_at(buffer, position)? {
        read if read == buffer.len() => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The whole content of a file; `None` if there is none.
pub(crate) fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    let read = file.read_at(&mut content, 0)?;
    content.truncate(read);
    Ok(Some(content))
}

/// Whether [`write_atomically`] waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The content survives a crash of the machine.
    Synced,
    /// If the name survives a crash of the machine, so does the content.
    Whole,
    /// The content survives a crash of the process.
    Written,
}

/// Replaces a file in one step: a crash leaves the old content or the new, never half of it.
pub(crate) fn write_atomically(
    disk: &dyn Disk,
    path: &Path,
    content: &[u8],
    durability: Durability,
) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    let file = disk.open(temporary, OpenMode::Truncate)?;
    file.write_at([content, &[]], 0)?;
    if durability != Durability::Written {
        file.sync_data()?;
    }
    disk.rename(temporary, path)?;
    if durability == Durability::Synced {
        disk.sync_dir(path.parent().expect("a file has a directory"))?;
    }
    Ok(())
}

/// Removes a file that may not be there.
pub(crate) fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
