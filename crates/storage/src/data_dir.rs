//! One data directory: its lock, its identity, its checkpoints, its logs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use types::{BrokerEpoch, Offset, PartitionId, Timestamp, TopicId, TopicPartition, Uuid};

use crate::config::LogConfig;
use crate::disk::{Disk, Durability, LockGuard, Space, read_file, remove_if_there, write_atomically};
use crate::identity::{begin_run, identify, previous_shutdown};
use crate::log::Log;
use crate::meta::{self, InvalidProperties, MetaProperties};
use crate::names::{self, LogDirName};
use crate::reader::LogReader;
use crate::recovery::{self, Place, Points, Recovered};

pub(crate) use crate::shared::Shared;

/// The longest name that file systems take.
const NAME_BYTES_MAX: usize = 255;

/// One directory of logs, locked for this process.
#[derive(Debug)]
pub struct DataDir {
    shared: Arc<Shared>,
    meta: Mutex<MetaProperties>,
    previous: Shutdown,
    _lock: Box<dyn LockGuard>,
}

/// How the last process that used a directory ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// There was none.
    Never,
    /// It wrote all down.
    Clean {
        /// As what it was registered.
        broker_epoch: BrokerEpoch,
    },
    /// It ended without a word, but the kernel that took its writes is still the same.
    ProcessCrash,
    /// The machine went down: what was not synced may be lost.
    Unclean,
}

/// A log that lies in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLog {
    /// The topic's name.
    pub name: String,
    /// The topic's id, from `partition.metadata`, and the partition.
    pub topic_partition: TopicPartition,
}

/// A data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenDirError {
    /// Another process has it.
    #[error("{path} is in use by another process")]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// It was written by another node.
    #[error("{path} belongs to node {found}, not to node {expected}")]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// In its `meta.properties`.
        found: i32,
        /// Ours.
        expected: i32,
    },
    /// It was written in another cluster.
    #[error("{path} belongs to cluster {found}, not to cluster {expected}")]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// In its `meta.properties`.
        found: String,
        /// Ours.
        expected: String,
    },
    /// Its `meta.properties` is damaged.
    #[error("meta.properties in {path} cannot be used")]
    InvalidMeta {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: InvalidProperties,
    },
    /// It holds logs, and its `meta.properties` is gone.
    #[error(
        "{path} holds {log} but no meta.properties, so that nobody can tell whose it is: \
         put that file back, or choose another folder"
    )]
    NoMeta {
        /// The directory.
        path: PathBuf,
        /// One of the logs.
        log: String,
    },
    /// The disk failed.
    #[error("{path} cannot be opened")]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A log was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenLogError {
    /// The directory of that name holds another topic's log.
    #[error("{dir} holds topic {found}, not {expected}")]
    OtherTopic {
        /// The log's directory.
        dir: PathBuf,
        /// In its `partition.metadata`.
        found: TopicId,
        /// Ours.
        expected: TopicId,
    },
    /// The disk failed.
    #[error("the log could not be opened: {0}")]
    Io(#[from] io::Error),
}

impl DataDir {
    /// Locks a directory, creating it if need be, and checks whose it is.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        node_id: i32,
        expected_cluster_id: Option<&str>,
    ) -> Result<DataDir, OpenDirError> {
        let io_error = |source| OpenDirError::Io { path: path.to_owned(), source };
        disk.create_dir_all(path).map_err(io_error)?;
        let lock = disk.lock(&path.join(names::LOCK)).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => OpenDirError::Locked { path: path.to_owned() },
            _ => io_error(source),
        })?;
        let (meta, is_new) = identify(&*disk, path, node_id, expected_cluster_id)?;
        let previous =
            if is_new { Shutdown::Never } else { previous_shutdown(&*disk, path).map_err(io_error)? };
        begin_run(&*disk, path, &meta, previous).map_err(io_error)?;
        let shared = Shared::open(disk, path.to_owned()).map_err(io_error)?;
        shared.set_low_water(None).map_err(io_error)?;
        let dir = DataDir { shared: Arc::new(shared), meta: Mutex::new(meta), previous, _lock: lock };
        dir.collect_trash().map_err(io_error)?;
        Ok(dir)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Its identity, made when it was first used.
    pub fn directory_id(&self) -> Uuid {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner).directory_id
    }

    /// The cluster it belongs to, once that is known.
    pub fn cluster_id(&self) -> Option<String> {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner).cluster_id.clone()
    }

    /// Makes it belong to a cluster.
    pub fn set_cluster_id(&self, cluster_id: &str) -> io::Result<()> {
        let mut meta = self.meta.lock().unwrap_or_else(PoisonError::into_inner);
        if meta.cluster_id.as_deref() == Some(cluster_id) {
            return Ok(());
        }
        let changed = MetaProperties { cluster_id: Some(cluster_id.to_owned()), ..meta.clone() };
        self.write_file(names::META_PROPERTIES, changed.encode().as_bytes())?;
        *meta = changed;
        Ok(())
    }

    /// How the last process that used it ended.
    pub fn previous_shutdown(&self) -> Shutdown {
        self.previous
    }

    /// The controller knows how the last process ended: from now on a crash of this one is one of a process alone.
    pub fn shutdown_was_told(&self) -> io::Result<()> {
        match self.previous {
            Shutdown::Unclean => self.remove_state(names::UNCLEAN_SHUTDOWN),
            Shutdown::Never | Shutdown::Clean { .. } | Shutdown::ProcessCrash => Ok(()),
        }
    }

    /// The logs that lie in it and have a topic id, opened or not.
    pub fn found_logs(&self) -> io::Result<Vec<FoundLog>> {
        let mut found = Vec::new();
        for entry in self.shared.disk.read_dir(&self.shared.path)?.into_iter().filter(|entry| entry.is_dir) {
            let LogDirName::Log { topic, partition } = names::parse_log_dir(&entry.name) else { continue };
            match self.topic_id(&self.shared.path.join(&entry.name))? {
                Some(id) => found
                    .push(FoundLog { name: topic, topic_partition: TopicPartition { topic: id, partition } }),
                None => tracing::warn!(dir = entry.name, "log without a topic id is left alone"),
            }
        }
        Ok(found)
    }

    /// Opens a log, or begins an empty one.
    pub fn create_or_open_log(
        &self,
        topic_name: &str,
        id: TopicPartition,
        config: LogConfig,
        now: Timestamp,
    ) -> Result<(Log, Recovered), OpenLogError> {
        let dir = self.shared.path.join(names::log_dir(topic_name, id.partition));
        let disk = &*self.shared.disk;
        match self.topic_id(&dir)? {
            Some(found) if found == id.topic => {}
            Some(found) => return Err(OpenLogError::OtherTopic { dir, found, expected: id.topic }),
            None => {
                let text = meta::encode_partition_metadata(id.topic);
                let path = dir.join(names::PARTITION_METADATA);
                self.shared.reserve.spend(|| {
                    disk.create_dir_all(&dir)?;
                    write_atomically(disk, &path, text.as_bytes(), Durability::Whole)
                })?;
            }
        }
        let key = (topic_name.to_owned(), id.partition);
        let found = self.shared.found(&key);
        let points = Points {
            recovery_point: found.recovery_point.unwrap_or_default(),
            written_point: found.written_point.unwrap_or_default(),
            is_written_point_good: self.previous == Shutdown::ProcessCrash,
            log_start: found.log_start.unwrap_or_default(),
            high_watermark: found.high_watermark.unwrap_or_default(),
            compacted_upto: found.compacted_upto,
        };
        let place = Place { topic: topic_name, id, dir: dir.into() };
        let (log, recovered) = self
            .shared
            .reserve
            .spend(|| recovery::open(&self.shared, &place, config.clone(), points, now))?;
        self.shared.register(key, log.reader());
        Ok((log, recovered))
    }

    /// Gives a log's directory a name that ends in `-delete`; it is removed by [`DataDir::purge`] when that is due.
    pub fn delete_log(&self, log: Log, now: Timestamp) -> io::Result<()> {
        let reader = log.reader();
        let key = (reader.topic().to_owned(), reader.id().partition);
        let due = Timestamp(now.0.saturating_add(log.config().file_delete_delay_ms));
        self.shared.forget(&key);
        let renamed = self.rename_dir(&key.0, key.1, "delete")?;
        self.shared.add_trash_dir(renamed, due);
        Ok(())
    }

    /// Sets a log aside that no one knows: it keeps its files under a name that ends in `-stray`.
    pub fn mark_stray(&self, found: &FoundLog) -> io::Result<PathBuf> {
        let partition = found.topic_partition.partition;
        self.shared.forget(&(found.name.clone(), partition));
        self.rename_dir(&found.name, partition, "stray")
    }

    /// Gives a log that was never opened a name that ends in `-delete`: its topic was deleted while no one looked.
    pub fn delete_found(&self, found: &FoundLog, now: Timestamp) -> io::Result<()> {
        let partition = found.topic_partition.partition;
        self.shared.forget(&(found.name.clone(), partition));
        let renamed = self.rename_dir(&found.name, partition, "delete")?;
        self.shared.add_trash_dir(renamed, now);
        Ok(())
    }

    /// Writes down where recovery begins, where logs begin, and how far they are replicated.
    pub fn checkpoint(&self, high_watermark: &dyn Fn(&LogReader) -> Option<Offset>) -> io::Result<()> {
        self.shared.checkpoint(high_watermark)
    }

    /// Removes deleted files that are due; when the disk is almost full, all of them. Answers how many went.
    pub fn purge(&self, now: Timestamp) -> usize {
        self.shared.purge(now)
    }

    /// How much must be free for appends to pass: the larger of 1 % and 256 MiB, unless it is set here.
    pub fn set_low_water_bytes(&self, bytes: Option<u64>) -> io::Result<()> {
        self.shared.set_low_water(bytes)
    }

    /// Whether less than that was free when it was looked at last.
    pub fn is_low_on_space(&self) -> bool {
        self.shared.is_low()
    }

    /// How much its file system holds, and how much of that is free.
    pub fn space(&self) -> io::Result<Space> {
        self.shared.disk.space(&self.shared.path)
    }

    /// Looks how much is free.
    pub fn refresh_space(&self) -> io::Result<()> {
        self.shared.look_at_space()
    }

    /// Says that all logs are closed: the next start has nothing to recover.
    pub fn mark_clean(&self, broker_epoch: BrokerEpoch) -> io::Result<()> {
        let content = format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}");
        self.write_file(names::CLEAN_SHUTDOWN, content.as_bytes())
    }

    /// Replaces a small file of the node's own, durably and in one step.
    pub fn write_state(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.write_file(name, content)
    }

    /// Reads what [`DataDir::write_state`] wrote.
    pub fn read_state(&self, name: &str) -> io::Result<Option<Bytes>> {
        Ok(read_file(&*self.shared.disk, &self.shared.path.join(name))?.map(Bytes::from))
    }

    /// Removes what [`DataDir::write_state`] wrote; nothing if there is none.
    pub fn remove_state(&self, name: &str) -> io::Result<()> {
        remove_if_there(&*self.shared.disk, &self.shared.path.join(name))?;
        self.shared.disk.sync_dir(&self.shared.path)
    }

    fn write_file(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let (disk, path) = (&*self.shared.disk, self.shared.path.join(name));
        self.shared.reserve.spend(|| write_atomically(disk, &path, content, Durability::Synced))
    }

    fn topic_id(&self, dir: &Path) -> io::Result<Option<TopicId>> {
        let Some(content) = read_file(&*self.shared.disk, &dir.join(names::PARTITION_METADATA))? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&content);
        Ok(meta::decode_partition_metadata(&text)
            .inspect_err(
                |error| tracing::warn!(%error, dir = %dir.display(), "partition.metadata is ignored"),
            )
            .ok())
    }

    fn rename_dir(&self, topic: &str, partition: PartitionId, suffix: &str) -> io::Result<PathBuf> {
        let (disk, dir) = (&*self.shared.disk, &self.shared.path);
        let name = names::log_dir(topic, partition);
        let unique = u128::from_be_bytes(disk.random()?);
        let suffix = format!(".{unique:032x}-{suffix}");
        let kept = name.len().min(NAME_BYTES_MAX - suffix.len());
        let renamed = dir.join(format!("{}{suffix}", &name[..kept]));
        disk.rename(&dir.join(&name), &renamed)?;
        disk.sync_dir(dir)?;
        Ok(renamed)
    }

    /// What was deleted before the last stop is removed by the first purge.
    fn collect_trash(&self) -> io::Result<()> {
        for entry in self.shared.disk.read_dir(&self.shared.path)? {
            if entry.is_dir && names::parse_log_dir(&entry.name) == LogDirName::Deleted {
                self.shared.add_trash_dir(self.shared.path.join(&entry.name), Timestamp(0));
            }
        }
        Ok(())
    }
}
