//! Reading a log's files one by one, for people: what `taffrail log dump` prints. Works on files of a running, a stopped
//! or a killed broker, and changes nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use record::{Batch, BatchHeader, ProducerSnapshotEntry, ProducerSnapshotError};
use types::{LeaderEpoch, Offset};

use crate::checkpoint;
use crate::disk::{Disk, DiskFile, OpenMode, read_exact_at, read_file};
use crate::index::{Entry, OffsetEntry, TimeEntry};
use crate::names;

/// What a file holds.
#[derive(Debug)]
pub enum Dump {
    /// A `.log`: batches.
    Log(LogDump),
    /// An `.index`: where batches begin.
    OffsetIndex(Vec<OffsetEntry>),
    /// A `.timeindex`: how timestamps rise.
    TimeIndex(Vec<TimeEntry>),
    /// A `.snapshot`: the state of idempotent producers.
    Producers(Vec<ProducerSnapshotEntry>),
    /// The `leader-epoch-checkpoint`: epochs and where they start.
    LeaderEpochs(Vec<(LeaderEpoch, Offset)>),
}

/// A file was not read.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// Its name is none of a log's.
    #[error("{path} is not the name of a log's file")]
    UnknownName {
        /// The file.
        path: PathBuf,
    },
    /// It is a damaged snapshot.
    #[error("{path} cannot be read")]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ProducerSnapshotError,
    },
    /// It is a damaged checkpoint.
    #[error("line {line} of {path} is malformed")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// The disk failed, or there is no such file.
    #[error("{path} cannot be read")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The batches of a log file, from its start to the first bytes that are none.
#[derive(Debug)]
pub struct LogDump {
    file: Arc<dyn DiskFile>,
    position: u64,
    len: u64,
    has_failed: bool,
}

/// One batch of a log file.
#[derive(Clone, Debug)]
pub struct DumpedBatch {
    /// Its first byte in the file.
    pub position: u64,
    /// Its header, bytes and records.
    pub batch: Batch,
    /// Whether its checksum is right.
    pub is_intact: bool,
}

impl LogDump {
    /// Bytes after the last batch that came out: a torn end, or damage.
    pub fn bytes_left(&self) -> u64 {
        self.len - self.position
    }

    fn read(&mut self) -> io::Result<Option<DumpedBatch>> {
        let mut header = [0; BatchHeader::BYTES];
        if self.bytes_left() < header.len() as u64 {
            return Ok(None);
        }
        read_exact_at(&*self.file, &mut header, self.position)?;
        let Ok(header) = BatchHeader::parse(&header) else { return Ok(None) };
        if self.bytes_left() < u64::from(header.size_bytes) {
            return Ok(None);
        }
        let mut bytes = vec![0; header.size_bytes as usize];
        read_exact_at(&*self.file, &mut bytes, self.position)?;
        let Ok(Some(batch)) = Batch::parse(&Bytes::from(bytes)) else { return Ok(None) };
        let position = self.position;
        self.position += u64::from(header.size_bytes);
        Ok(Some(DumpedBatch { position, is_intact: batch.is_intact(), batch }))
    }
}

impl Iterator for LogDump {
    type Item = io::Result<DumpedBatch>;

    fn next(&mut self) -> Option<io::Result<DumpedBatch>> {
        if self.has_failed {
            return None;
        }
        let read = self.read();
        self.has_failed = read.is_err();
        read.transpose()
    }
}

/// Reads one of a log's files; its name says which kind it is.
pub fn dump(disk: &dyn Disk, path: &Path) -> Result<Dump, DumpError> {
    let unknown = || DumpError::UnknownName { path: path.to_owned() };
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(unknown)?;
    if name == names::LEADER_EPOCHS {
        return dump_epochs(disk, path);
    }
    let (base, extension) = names::parse_segment_file(name).ok_or_else(unknown)?;
    // A deleted file is still what it was.
    match extension.strip_suffix(names::DELETED).unwrap_or(extension) {
        names::LOG => dump_log(disk, path).map_err(|source| io_error(path, source)),
        names::OFFSET_INDEX => Ok(Dump::OffsetIndex(entries(&content(disk, path)?, base))),
        names::TIME_INDEX => Ok(Dump::TimeIndex(entries(&content(disk, path)?, base))),
        names::PRODUCER_SNAPSHOT => {
            let producers = record::decode_producer_snapshot(&content(disk, path)?);
            producers
                .map(Dump::Producers)
                .map_err(|source| DumpError::Snapshot { path: path.to_owned(), source })
        }
        _ => Err(unknown()),
    }
}

/// The files of a log's directory that [`dump`] reads, in order.
pub fn files(disk: &dyn Disk, dir: &Path) -> Result<Vec<PathBuf>, DumpError> {
    let is_known = |name: &str| {
        let extension = names::parse_segment_file(name).map(|(_, extension)| extension);
        let of_segment = [names::LOG, names::OFFSET_INDEX, names::TIME_INDEX, names::PRODUCER_SNAPSHOT];
        name == names::LEADER_EPOCHS || extension.is_some_and(|extension| of_segment.contains(&extension))
    };
    let entries = disk.read_dir(dir).map_err(|source| io_error(dir, source))?;
    Ok(entries.into_iter().filter(|entry| is_known(&entry.name)).map(|entry| dir.join(entry.name)).collect())
}

fn dump_log(disk: &dyn Disk, path: &Path) -> io::Result<Dump> {
    let file = disk.open(path, OpenMode::Read)?;
    let len = file.len()?;
    Ok(Dump::Log(LogDump { file, position: 0, len, has_failed: false }))
}

fn dump_epochs(disk: &dyn Disk, path: &Path) -> Result<Dump, DumpError> {
    let content = content(disk, path)?;
    let entries = checkpoint::decode_epochs(&String::from_utf8_lossy(&content));
    entries
        .map(Dump::LeaderEpochs)
        .map_err(|invalid| DumpError::Checkpoint { path: path.to_owned(), line: invalid.line })
}

/// Whole entries; the file of a killed broker may end in a part of one.
fn entries<E: Entry>(content: &[u8], base: Offset) -> Vec<E> {
    content.chunks_exact(E::BYTES).map(|bytes| E::decode(base, bytes)).collect()
}

fn content(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, DumpError> {
    let content = read_file(disk, path).map_err(|source| io_error(path, source))?;
    content.ok_or_else(|| io_error(path, io::ErrorKind::NotFound.into()))
}

fn io_error(path: &Path, source: io::Error) -> DumpError {
    DumpError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use types::{PartitionId, Timestamp, TopicId, TopicPartition};

    use super::*;
    use crate::test_batch::{self, Batch as TestBatch};
    use crate::{CheckpointKind, DataDir, LogConfig, RealDisk};

    #[test]
    fn every_file_of_a_log_is_read() {
        let temp = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(Arc::new(RealDisk), temp.path(), 1, None).unwrap();
        let id = TopicPartition { topic: TopicId::ZERO, partition: PartitionId(0) };
        let config = LogConfig { segment_bytes: 1000, index_interval_bytes: 100, ..LogConfig::default() };
        let (mut log, _) = data_dir.create_or_open_log("t", id, config, Timestamp(0)).unwrap();
        for base_offset in 0..25 {
            let batch = TestBatch { base_offset, timestamp: 1000 + base_offset, ..TestBatch::default() };
            test_batch::append(&mut log, &batch, Timestamp(0)).unwrap();
        }
        log.begin_checkpoint(CheckpointKind::Written, &[]).run().unwrap();

        let dir = temp.path().join("t-0");
        let files = files(&RealDisk, &dir).unwrap();
        let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names.len(), 3 * 3 + 3 + 1, "{names:?}");
        for path in &files {
            let dump = dump(&RealDisk, path).unwrap();
            match (path.extension().and_then(|extension| extension.to_str()), dump) {
                (Some("log"), Dump::Log(mut log)) => {
                    let batches: Vec<_> = log.by_ref().map(Result::unwrap).collect();
                    assert!(batches.iter().all(|batch| batch.is_intact) && batches.len() >= 5);
                    assert_eq!(log.bytes_left(), 0);
                }
                (Some("index"), Dump::OffsetIndex(entries)) => assert!(entries.len() >= 2),
                (Some("timeindex"), Dump::TimeIndex(entries)) => assert!(entries.len() >= 2),
                (Some("snapshot"), Dump::Producers(producers)) => assert!(producers.is_empty()),
                (None, Dump::LeaderEpochs(epochs)) => assert_eq!(epochs, [(LeaderEpoch(0), Offset(0))]),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(
            dump(&RealDisk, &dir.join("partition.metadata")),
            Err(DumpError::UnknownName { .. })
        ));
    }
}
