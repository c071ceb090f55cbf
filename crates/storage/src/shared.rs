//! What a directory's logs share: the registry behind the checkpoints, the space that is left, and the files that wait
//! for their removal.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use types::{Offset, PartitionId, Timestamp};

use crate::disk::{Disk, Durability, read_file, write_atomically};
use crate::log::AppendError;
use crate::reader::LogReader;
use crate::reserve::Reserve;
use crate::{checkpoint, names};

/// The default low water: the larger of this and one hundredth of the disk.
const LOW_WATER_BYTES_MIN: u64 = 256 << 20;

pub(crate) type LogKey = (String, PartitionId);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) path: PathBuf,
    pub(crate) reserve: Reserve,
    registry: Mutex<Registry>,
    trash: Mutex<Vec<Trash>>,
    low_water_bytes: AtomicU64,
    is_low: AtomicBool,
    bytes_since_look: AtomicU64,
}

#[derive(Debug, Default)]
struct Registry {
    open: BTreeMap<LogKey, Arc<LogReader>>,
    /// What the checkpoints said at the start, of logs that are not opened yet.
    found: BTreeMap<LogKey, FoundPoints>,
    /// What was written last, per file, so that nothing is written twice.
    written: BTreeMap<&'static str, String>,
}

/// What the checkpoint files say of one log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FoundPoints {
    pub(crate) recovery_point: Option<Offset>,
    pub(crate) written_point: Option<Offset>,
    pub(crate) log_start: Option<Offset>,
    pub(crate) high_watermark: Option<Offset>,
    pub(crate) compacted_upto: Option<Offset>,
}

#[derive(Debug)]
struct Trash {
    path: PathBuf,
    is_dir: bool,
    due: Timestamp,
}

/// One of the five files of offsets.
#[derive(Clone, Copy)]
struct Column {
    name: &'static str,
    of_found: fn(&mut FoundPoints) -> &mut Option<Offset>,
    of_open: fn(&LogReader) -> Option<Offset>,
}

const RECOVERY_POINTS: Column = Column {
    name: names::RECOVERY_POINTS,
    of_found: |points| &mut points.recovery_point,
    of_open: |reader| Some(reader.recovery_point()),
};
const WRITTEN_POINTS: Column = Column {
    name: names::WRITTEN_POINTS,
    of_found: |points| &mut points.written_point,
    of_open: |reader| Some(reader.written_point()),
};
const LOG_STARTS: Column = Column {
    name: names::LOG_STARTS,
    of_found: |points| &mut points.log_start,
    // As Kafka: only where it is not what the first segment says anyway.
    of_open: |reader| Some(reader.log_start()).filter(|&start| start > reader.segments()[0].base()),
};
const COMPACTED_POINTS: Column = Column {
    name: names::COMPACTED_POINTS,
    of_found: |points| &mut points.compacted_upto,
    of_open: |reader| reader.compacted_upto(),
};
const HIGH_WATERMARKS: Column =
    Column { name: names::HIGH_WATERMARKS, of_found: |points| &mut points.high_watermark, of_open: |_| None };

impl Shared {
    /// Reads the checkpoints; one that cannot be read counts as absent, which costs a longer recovery.
    pub(crate) fn open(disk: Arc<dyn Disk>, path: PathBuf) -> io::Result<Shared> {
        let mut found: BTreeMap<LogKey, FoundPoints> = BTreeMap::new();
        for column in [RECOVERY_POINTS, WRITTEN_POINTS, LOG_STARTS, HIGH_WATERMARKS, COMPACTED_POINTS] {
            let Some(content) = read_file(&*disk, &path.join(column.name))? else { continue };
            match std::str::from_utf8(&content).ok().and_then(|text| checkpoint::decode_offsets(text).ok()) {
                Some(entries) => {
                    for entry in entries {
                        let points = found.entry((entry.topic, entry.partition)).or_default();
                        *(column.of_found)(points) = Some(entry.offset);
                    }
                }
                None => {
                    tracing::warn!(file = column.name, dir = %path.display(), "checkpoint is unreadable and ignored")
                }
            }
        }
        let registry = Mutex::new(Registry { found, ..Registry::default() });
        Ok(Shared {
            reserve: Reserve::new(Arc::clone(&disk), &path),
            disk,
            path,
            registry,
            trash: Mutex::default(),
            low_water_bytes: AtomicU64::new(0),
            is_low: AtomicBool::new(false),
            bytes_since_look: AtomicU64::new(0),
        })
    }

    pub(crate) fn found(&self, key: &LogKey) -> FoundPoints {
        self.registry().found.get(key).copied().unwrap_or_default()
    }

    pub(crate) fn register(&self, key: LogKey, reader: Arc<LogReader>) {
        let mut registry = self.registry();
        registry.found.remove(&key);
        registry.open.insert(key, reader);
    }

    pub(crate) fn forget(&self, key: &LogKey) {
        let mut registry = self.registry();
        registry.found.remove(key);
        registry.open.remove(key);
    }

    /// Writes all checkpoints.
    pub(crate) fn checkpoint(&self, high_watermark: &dyn Fn(&LogReader) -> Option<Offset>) -> io::Result<()> {
        let mut registry = self.registry();
        self.write(&mut registry, WRITTEN_POINTS, &WRITTEN_POINTS.of_open, Durability::Written)?;
        self.write(&mut registry, RECOVERY_POINTS, &RECOVERY_POINTS.of_open, Durability::Synced)?;
        self.write(&mut registry, LOG_STARTS, &LOG_STARTS.of_open, Durability::Synced)?;
        self.write(&mut registry, HIGH_WATERMARKS, high_watermark, Durability::Written)
    }

    pub(crate) fn write_recovery_points(&self) -> io::Result<()> {
        let mut registry = self.registry();
        self.write(&mut registry, WRITTEN_POINTS, &WRITTEN_POINTS.of_open, Durability::Written)?;
        self.write(&mut registry, RECOVERY_POINTS, &RECOVERY_POINTS.of_open, Durability::Synced)
    }

    pub(crate) fn write_log_starts(&self, durability: Durability) -> io::Result<()> {
        self.write(&mut self.registry(), LOG_STARTS, &LOG_STARTS.of_open, durability)
    }

    pub(crate) fn write_compacted_points(&self) -> io::Result<()> {
        self.write(&mut self.registry(), COMPACTED_POINTS, &COMPACTED_POINTS.of_open, Durability::Written)
    }

    fn write(
        &self,
        registry: &mut Registry,
        column: Column,
        of_open: &dyn Fn(&LogReader) -> Option<Offset>,
        durability: Durability,
    ) -> io::Result<()> {
        let Registry { open, found, written } = registry;
        let found = found.iter_mut().filter_map(|(key, points)| Some((key, (*(column.of_found)(points))?)));
        let open = open.iter().filter_map(|(key, reader)| Some((key, of_open(reader)?)));
        let entries: Vec<_> = found
            .chain(open)
            .map(|((topic, partition), offset)| (topic.as_str(), *partition, offset))
            .collect();
        let text = checkpoint::encode_offsets(entries.into_iter());
        if written.get(column.name) == Some(&text) {
            return Ok(());
        }
        let path = self.path.join(column.name);
        self.reserve.spend(|| write_atomically(&*self.disk, &path, text.as_bytes(), durability))?;
        written.insert(column.name, text);
        Ok(())
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Space.
impl Shared {
    /// Lets an append of `bytes` pass, or says that the disk is too full for it.
    pub(crate) fn admit(&self, bytes: u32, may_use_reserve: bool) -> Result<(), AppendError> {
        let since_look =
            self.bytes_since_look.fetch_add(u64::from(bytes), Ordering::Relaxed) + u64::from(bytes);
        let low_water_bytes = self.low_water_bytes.load(Ordering::Relaxed);
        // A look costs a microsecond: often enough that the reserve is not used up between two.
        if self.is_low() || since_look > low_water_bytes / 8 {
            self.look_at_space()?;
        }
        if self.is_low() && !may_use_reserve {
            return Err(AppendError::LowOnSpace { low_water_bytes });
        }
        Ok(())
    }

    pub(crate) fn is_low(&self) -> bool {
        self.is_low.load(Ordering::Relaxed)
    }

    pub(crate) fn note_full(&self) {
        self.is_low.store(true, Ordering::Relaxed);
    }

    /// How much must be free; `None` for the default.
    pub(crate) fn set_low_water(&self, bytes: Option<u64>) -> io::Result<()> {
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => LOW_WATER_BYTES_MIN.max(self.disk.space(&self.path)?.total_bytes / 100),
        };
        self.low_water_bytes.store(bytes, Ordering::Relaxed);
        self.look_at_space()
    }

    pub(crate) fn look_at_space(&self) -> io::Result<()> {
        let free_bytes = self.disk.space(&self.path)?.free_bytes;
        self.bytes_since_look.store(0, Ordering::Relaxed);
        let low_water_bytes = self.low_water_bytes.load(Ordering::Relaxed);
        let is_low = free_bytes < low_water_bytes;
        if !is_low && let Err(error) = self.reserve.take() {
            tracing::warn!(%error, dir = %self.path.display(), "no space is reserved for a full disk");
        }
        if self.is_low.swap(is_low, Ordering::Relaxed) != is_low {
            match is_low {
                true => {
                    tracing::error!(dir = %self.path.display(), free_bytes, low_water_bytes, "disk almost full: appends are refused")
                }
                false => {
                    tracing::info!(dir = %self.path.display(), free_bytes, low_water_bytes, "disk has space again")
                }
            }
        }
        Ok(())
    }
}

/// Files on their way out.
impl Shared {
    /// Gives a file its deleted name; it is removed when that is due.
    pub(crate) fn retire_file(&self, path: PathBuf, due: Timestamp) -> io::Result<()> {
        let mut deleted = path.clone().into_os_string();
        deleted.push(names::DELETED);
        let deleted = PathBuf::from(deleted);
        match self.disk.rename(&path, &deleted) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                self.trash().push(Trash { path: deleted, is_dir: false, due });
                Ok(())
            }
        }
    }

    pub(crate) fn add_trash_dir(&self, path: PathBuf, due: Timestamp) {
        self.trash().push(Trash { path, is_dir: true, due });
    }

    /// Removes what is due, and all of it when the disk is almost full. Answers how much went.
    pub(crate) fn purge(&self, now: Timestamp) -> usize {
        let is_low = self.is_low();
        let due: Vec<Trash> = self.trash().extract_if(.., |trash| is_low || trash.due <= now).collect();
        for Trash { path, is_dir, .. } in &due {
            let removed = if *is_dir { self.disk.remove_dir_all(path) } else { self.disk.remove_file(path) };
            match removed {
                // The whole directory went first.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(%error, path = %path.display(), "deleted file was not removed"),
                Ok(()) => {}
            }
        }
        if is_low && !due.is_empty() {
            let _ = self.look_at_space();
        }
        due.len()
    }

    fn trash(&self) -> MutexGuard<'_, Vec<Trash>> {
        self.trash.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
