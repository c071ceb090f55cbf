//! The partitions of which this node has a replica: a registry by topic id, and for each the shell around the pure
//! `replication::Leader` or `Follower` and the `storage::Log`. Knows neither requests nor the wire.
//!
//! A partition is a lock around its pure replica and its log, not a task with a mailbox: an append is a decision and one
//! `write`, and whoever has the request in hand does both. Readers never take the lock; they read published bounds.

mod cleaner;
mod errands;
mod flusher;
mod log_dirs;
mod maintenance;
mod outbox;
mod partition;
mod registry;
mod role;

pub(crate) use cleaner::{CleanerFacts, CleanerState, run_cleaner};
pub(crate) use errands::{Errands, ReplicaSettings};
pub(crate) use flusher::run_flushes;
pub(crate) use log_dirs::{LogDir, LogDirs};
pub(crate) use maintenance::run_maintenance;
pub(crate) use partition::{Append, AppendTicket, Assignment, Partition};
pub(crate) use registry::{OpenPartition, Partitions, TopicRef};

use config::TopicConfig;
use storage::LogConfig;

/// Topics that only the node itself writes to, as Kafka names them.
const INTERNAL_TOPICS: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

/// Whether clients may read but not write a topic.
pub(crate) fn is_internal(topic_name: &str) -> bool {
    INTERNAL_TOPICS.contains(&topic_name)
}

/// What of a topic's configuration concerns its files.
fn log_config(topic_name: &str, config: &TopicConfig) -> LogConfig {
    let unsigned = |value: i32| u32::try_from(value).unwrap_or(0);
    // A segment that is written cannot be compacted: the longest lag also rolls.
    let policy = config.cleanup_policy;
    let rolls_for_lag = policy.compact && config.max_compaction_lag_ms > 0;
    let segment_ms = match rolls_for_lag {
        true => config.segment_ms.min(config.max_compaction_lag_ms),
        false => config.segment_ms,
    };
    LogConfig {
        segment_bytes: unsigned(config.segment_bytes),
        segment_ms,
        segment_jitter_ms: config.segment_jitter_ms,
        index_interval_bytes: unsigned(config.index_interval_bytes),
        segment_index_bytes: unsigned(config.segment_index_bytes),
        retention_ms: config.retention_ms,
        retention_bytes: config.retention_bytes,
        is_deleted_by_retention: config.cleanup_policy.delete,
        file_delete_delay_ms: config.file_delete_delay_ms,
        preallocate: config.preallocate,
        // Deleting needs a commit, and a commit needs space.
        may_use_reserve: is_internal(topic_name),
    }
}

#[cfg(test)]
mod cleaner_tests;

#[cfg(test)]
mod stress_tests;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod replica_tests;
