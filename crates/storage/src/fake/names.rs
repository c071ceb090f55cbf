//! The names of a fake disk, and how they change.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::DirEntry;

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) files: BTreeMap<PathBuf, u64>,
    dirs: BTreeSet<PathBuf>,
}

/// A change of names.
#[derive(Clone, Debug)]
pub(super) enum Change {
    CreateDir(PathBuf),
    CreateFile(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    RemoveFile(PathBuf),
    RemoveDir(PathBuf),
}

impl Change {
    /// Whether it is a change of what this directory holds.
    pub(super) fn is_in(&self, dir: &Path) -> bool {
        let is_child = |path: &Path| path.parent() == Some(dir);
        match self {
            Change::CreateDir(path)
            | Change::CreateFile(path, _)
            | Change::RemoveFile(path)
            | Change::RemoveDir(path) => is_child(path),
            Change::Rename(from, to) => is_child(from) || is_child(to),
        }
    }
}

impl Names {
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::CreateDir(path) => {
                self.dirs.insert(path.clone());
            }
            Change::CreateFile(path, inode) => {
                self.files.insert(path.clone(), *inode);
            }
            Change::Rename(from, to) => self.rename(from, to),
            Change::RemoveFile(path) => {
                self.files.remove(path);
            }
            Change::RemoveDir(path) => {
                self.dirs.retain(|other| !other.starts_with(path));
                self.files.retain(|other, _| !other.starts_with(path));
            }
        }
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<u64> {
        self.files.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn is_dir(&self, path: &Path) -> bool {
        self.dirs.contains(path)
    }

    pub(super) fn children(&self, dir: &Path) -> Vec<DirEntry> {
        let name = |path: &PathBuf| {
            let is_child = path.parent() == Some(dir);
            is_child.then(|| path.file_name().expect("it has a parent").to_string_lossy().into_owned())
        };
        let dirs = self.dirs.iter().filter_map(name).map(|name| DirEntry { name, is_dir: true });
        let files = self.files.keys().filter_map(name).map(|name| DirEntry { name, is_dir: false });
        let mut entries: Vec<DirEntry> = dirs.chain(files).collect();
        entries.sort();
        entries
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        if let Some(inode) = self.files.remove(from) {
            self.files.insert(to.to_owned(), inode);
            return;
        }
        let moved = |path: &Path| path.strip_prefix(from).map(|rest| to.join(rest)).ok();
        let dirs = std::mem::take(&mut self.dirs);
        self.dirs = dirs.into_iter().map(|path| moved(&path).unwrap_or(path)).collect();
        let files = std::mem::take(&mut self.files);
        self.files = files.into_iter().map(|(path, inode)| (moved(&path).unwrap_or(path), inode)).collect();
    }
}
