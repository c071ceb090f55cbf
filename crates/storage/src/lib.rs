//! The log on disk: segments, indexes, recovery, retention, compaction. The only crate that opens data files.
//!
//! The layout is Kafka's own, byte for byte. Synchronous; knows record batches as far as their header (compaction: their keys),
//! and nothing of requests, replication or threads.

mod checkpoint;
mod compaction;
mod config;
#[cfg(test)]
mod crash_tests;
mod data_dir;
mod disk;
pub mod dump;
pub mod fake;
mod identity;
mod index;
mod log;
mod meta;
mod names;
mod open_files;
mod reader;
mod real;
mod recovery;
mod reserve;
mod retention;
mod scan;
mod segment;
mod shared;
mod snapshots;
mod sync;
#[cfg(test)]
mod test_batch;
mod timestamps;

pub use compaction::{
    Backlog, CleanedGroup, Compacted, CompactionError, CompactionRound, CompactionRules, CompactionSettings,
    Pace, filthiest,
};
pub use config::LogConfig;
pub use data_dir::{DataDir, FoundLog, OpenDirError, OpenLogError, Shutdown};
pub use disk::{DirEntry, Disk, DiskFile, LockGuard, OpenMode, Space, is_disk_failure};
pub use index::{OffsetEntry, TimeEntry};
pub use log::{AppendError, Log, Producers};
pub use meta::InvalidProperties;
pub use open_files::{BoundedDisk, KeptFile};
pub use reader::{FileRange, LogReader, LogSlice, ReadError};
pub use real::RealDisk;
pub use recovery::Recovered;
pub use retention::Deleted;
pub use sync::{Checkpoint, CheckpointKind, SyncHandle};
pub use timestamps::TimestampedOffset;
