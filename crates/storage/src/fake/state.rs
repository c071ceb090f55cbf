//! What a fake disk holds, twice: as the running process sees it, and as a loss of power would leave it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::Crash;
use super::names::{Change, Names};
use crate::disk::{DirEntry, OpenMode};

/// Data survives or is lost in pieces of this size.
const SECTOR_BYTES: usize = 512;
/// A disk of this size never fills up.
const ENDLESS_BYTES: u64 = 1 << 40;

#[derive(Debug)]
pub(super) struct State {
    seed: u64,
    names: Names,
    synced_names: Names,
    unsynced_changes: Vec<Change>,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    locks: BTreeSet<PathBuf>,
    pub(super) capacity: u64,
    pub(super) operations_left: Option<u64>,
    pub(super) is_down: bool,
    /// Reads go on, and nothing can be written or synced.
    pub(super) is_broken: bool,
    /// Reads and writes go on, and nothing can be synced.
    pub(super) is_unsyncable: bool,
    /// Counts the processes that used the disk, so that a dead one's files are closed.
    run: u64,
    pub(super) boot: u64,
}

#[derive(Debug, Default)]
struct Inode {
    data: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Write>,
}

#[derive(Debug)]
enum Write {
    Data { position: usize, bytes: Vec<u8> },
    Len(usize),
}

impl State {
    pub(super) fn new(seed: u64) -> State {
        State {
            seed,
            names: Names::default(),
            synced_names: Names::default(),
            unsynced_changes: Vec::new(),
            inodes: BTreeMap::new(),
            next_inode: 0,
            locks: BTreeSet::new(),
            capacity: ENDLESS_BYTES,
            operations_left: None,
            is_down: false,
            is_broken: false,
            is_unsyncable: false,
            run: 0,
            boot: 0,
        }
    }

    /// The next number of splitmix64.
    pub(super) fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn used(&self) -> u64 {
        self.names.files.values().map(|inode| self.inodes[inode].data.len() as u64).sum()
    }

    /// How many bytes a file may grow. Files are only counted where the disk has an end: that is done at every write.
    fn room(&self) -> u64 {
        if self.capacity >= ENDLESS_BYTES { u64::MAX } else { self.capacity.saturating_sub(self.used()) }
    }

    pub(super) fn restart(&mut self, crash: Crash) {
        if crash == Crash::Power {
            self.lose_power();
            self.boot += 1;
        }
        self.locks.clear();
        self.run += 1;
        self.is_down = false;
        self.operations_left = None;
    }

    pub(super) fn flip_bit(&mut self, path: &Path, bit: u64) {
        let inode = self.names.file(path).expect("the file exists");
        let inode = self.inodes.get_mut(&inode).expect("names have inodes");
        let (byte, mask) = (usize::try_from(bit / 8).expect("it fits"), 1 << (bit % 8));
        inode.data[byte] ^= mask;
        if let Some(synced) = inode.synced.get_mut(byte) {
            *synced ^= mask;
        }
    }
}

/// Names.
impl State {
    pub(super) fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<(u64, u64)> {
        self.check_up()?;
        let inode = match (self.names.file(path), mode) {
            (Ok(inode), OpenMode::Truncate) => {
                self.set_len(inode, self.run, 0)?;
                inode
            }
            (Ok(inode), _) => inode,
            (Err(error), OpenMode::Read | OpenMode::Write) => return Err(error),
            (Err(_), OpenMode::Create | OpenMode::Truncate) => {
                self.check_parent(path)?;
                self.next_inode += 1;
                self.inodes.insert(self.next_inode, Inode::default());
                self.change(Change::CreateFile(path.to_owned(), self.next_inode))?;
                self.next_inode
            }
        };
        Ok((inode, self.run))
    }

    pub(super) fn read_dir(&mut self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.check_up()?;
        if !self.names.is_dir(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(self.names.children(path))
    }

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let missing: Vec<PathBuf> =
            path.ancestors().filter(|path| !self.names.is_dir(path)).map(Path::to_owned).collect();
        missing.into_iter().rev().try_for_each(|path| self.change(Change::CreateDir(path)))
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if !self.names.is_dir(from) {
            self.names.file(from)?;
        }
        self.check_parent(to)?;
        self.change(Change::Rename(from.to_owned(), to.to_owned()))
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.check_up()?;
        self.names.file(path)?;
        self.change(Change::RemoveFile(path.to_owned()))
    }

    pub(super) fn remove_dir_all(&mut self, path: &Path) -> io::Result<()> {
        self.read_dir(path)?;
        self.change(Change::RemoveDir(path.to_owned()))
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        self.operate()?;
        self.check_syncable()?;
        let synced =
            self.unsynced_changes.iter().rposition(|change| change.is_in(path)).map_or(0, |at| at + 1);
        for change in self.unsynced_changes.drain(..synced) {
            self.synced_names.apply(&change);
        }
        Ok(())
    }

    pub(super) fn lock(&mut self, path: &Path) -> io::Result<u64> {
        self.check_up()?;
        match self.locks.insert(path.to_owned()) {
            true => Ok(self.run),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) fn unlock(&mut self, path: &Path, run: u64) {
        if run == self.run {
            self.locks.remove(path);
        }
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        self.operate()?;
        self.names.apply(&change);
        self.unsynced_changes.push(change);
        Ok(())
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent().is_some_and(|parent| self.names.is_dir(parent)) {
            true => Ok(()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Data.
impl State {
    pub(super) fn read(&self, inode: u64, run: u64, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let data = &self.inode(inode, run)?.data;
        let from = usize::try_from(position).unwrap_or(usize::MAX).min(data.len());
        let read = buffer.len().min(data.len() - from);
        buffer[..read].copy_from_slice(&data[from..from + read]);
        Ok(read)
    }

    pub(super) fn write(&mut self, inode: u64, run: u64, bytes: &[u8], position: u64) -> io::Result<()> {
        let position = usize::try_from(position).map_err(io::Error::other)?;
        let old_len = self.inode(inode, run)?.data.len();
        let room = self.room();
        let growth = (position + bytes.len()).saturating_sub(old_len) as u64;
        let (mut kept, mut result) = (bytes.len(), Ok(()));
        if growth > room {
            kept = bytes.len().saturating_sub(usize::try_from(growth - room).map_err(io::Error::other)?);
            result = Err(io::ErrorKind::StorageFull.into());
        }
        // The process is up, or the file would not have been found: a crash is this very write's, and tears it.
        if let Err(crashed) = self.operate() {
            kept = usize::try_from(self.random() % (kept as u64 + 1)).map_err(io::Error::other)?;
            result = Err(crashed);
        }
        let write = Write::Data { position, bytes: bytes[..kept].to_vec() };
        let inode = self.inodes.get_mut(&inode).expect("it was found above");
        write.apply(&mut inode.data);
        inode.unsynced.push(write);
        result
    }

    pub(super) fn sync(&mut self, inode: u64, run: u64) -> io::Result<()> {
        self.inode(inode, run)?;
        self.operate()?;
        self.check_syncable()?;
        let inode = self.inodes.get_mut(&inode).expect("it was found above");
        // Only what is new: a log is synced again and again as it grows.
        for write in inode.unsynced.drain(..) {
            write.apply(&mut inode.synced);
        }
        Ok(())
    }

    pub(super) fn set_len(&mut self, inode: u64, run: u64, len: u64) -> io::Result<()> {
        self.inode(inode, run)?;
        self.operate()?;
        let write = Write::Len(usize::try_from(len).map_err(io::Error::other)?);
        let inode = self.inodes.get_mut(&inode).expect("it was found above");
        write.apply(&mut inode.data);
        inode.unsynced.push(write);
        Ok(())
    }

    pub(super) fn len(&self, inode: u64, run: u64) -> io::Result<u64> {
        Ok(self.inode(inode, run)?.data.len() as u64)
    }

    fn inode(&self, inode: u64, run: u64) -> io::Result<&Inode> {
        if self.is_down || run != self.run {
            return Err(io::Error::other("the process that opened this file has crashed"));
        }
        Ok(self.inodes.get(&inode).expect("open files have inodes"))
    }
}

/// Crashes.
impl State {
    fn check_up(&self) -> io::Result<()> {
        if self.is_down { Err(io::Error::other("crashed")) } else { Ok(()) }
    }

    fn check_syncable(&self) -> io::Result<()> {
        if self.is_unsyncable { Err(rustix::io::Errno::IO.into()) } else { Ok(()) }
    }

    /// Counts one change, which may be the one that the crash hits.
    fn operate(&mut self) -> io::Result<()> {
        self.check_up()?;
        if self.is_broken {
            return Err(rustix::io::Errno::IO.into());
        }
        match &mut self.operations_left {
            Some(0) => {
                self.is_down = true;
                Err(io::Error::other("crashed"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn lose_power(&mut self) {
        let surviving =
            usize::try_from(self.random() % (self.unsynced_changes.len() as u64 + 1)).expect("it fits");
        for change in self.unsynced_changes.drain(..).take(surviving) {
            self.synced_names.apply(&change);
        }
        self.names = self.synced_names.clone();
        let mut inodes = std::mem::take(&mut self.inodes);
        inodes.retain(|inode, _| self.names.files.values().any(|named| named == inode));
        for inode in inodes.values_mut() {
            let mut data = std::mem::take(&mut inode.synced);
            for write in inode.unsynced.drain(..) {
                match write {
                    Write::Len(_) if self.random().is_multiple_of(2) => {}
                    Write::Len(len) => Write::Len(len).apply(&mut data),
                    Write::Data { position, bytes } => self.survive(&mut data, position, &bytes),
                }
            }
            inode.synced.clone_from(&data);
            inode.data = data;
        }
        self.inodes = inodes;
    }

    /// Writes some of the sectors; a third of the writes survive as a whole, so that logs keep more than a byte.
    fn survive(&mut self, data: &mut Vec<u8>, position: usize, bytes: &[u8]) {
        let is_whole = self.random().is_multiple_of(3);
        let mut from = 0;
        while from < bytes.len() {
            let to =
                bytes.len().min((position + from) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES - position);
            if is_whole || self.random().is_multiple_of(2) {
                Write::Data { position: position + from, bytes: bytes[from..to].to_vec() }.apply(data);
            }
            from = to;
        }
    }
}

impl Write {
    fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Write::Len(len) => data.resize(*len, 0),
            Write::Data { position, bytes } => {
                let end = position + bytes.len();
                if data.len() < end {
                    data.resize(end, 0);
                }
                data[*position..end].copy_from_slice(bytes);
            }
        }
    }
}
