//! Compacting a partition's log: what may go, and the moment in which new files take the place of old ones. The work
//! itself needs no lock.

use std::ops::ControlFlow;
use std::sync::Arc;

use storage::{Backlog, CheckpointKind, Compacted, CompactionError, CompactionRules, CompactionSettings};
use types::{ErrorCode, Now, Offset};

use super::Partition;
use crate::sabotage::{Rule, is_broken};

impl Partition {
    /// What there is to compact; `None` where the topic is not compacted, or the log is not open or not readable.
    pub(crate) fn compaction_backlog(&self, now: Now) -> Option<Backlog> {
        let config = {
            let shell = self.lock();
            shell.log.as_ref()?;
            Arc::clone(&shell.config)
        };
        if !config.cleanup_policy.compact {
            return None;
        }
        let rules = CompactionRules {
            min_cleanable_dirty_ratio: config.min_cleanable_dirty_ratio,
            min_compaction_lag_ms: config.min_compaction_lag_ms,
            max_compaction_lag_ms: config.max_compaction_lag_ms,
        };
        let backlog = self.reader.compaction_backlog(&rules, self.stable_end(), now.wall);
        backlog
            .inspect_err(
                |error| tracing::warn!(partition = %self.label(), %error, "cannot tell what to compact"),
            )
            .ok()
    }

    /// Compacts what `backlog` says. Blocks, for as long as there is to read and write.
    pub(crate) fn compact(
        self: &Arc<Self>,
        now: Now,
        backlog: &Backlog,
        dedupe_bytes: u64,
        pace: &dyn Fn(u64) -> ControlFlow<()>,
    ) -> Result<Compacted, CompactionError> {
        self.sync_before_compaction(backlog)?;
        let (producers, settings) = {
            let shell = self.lock();
            let log = shell.log.as_ref().ok_or(CompactionError::Stopped)?;
            let settings = CompactionSettings {
                dedupe_bytes,
                delete_retention_ms: shell.config.delete_retention_ms,
                segment_bytes: log.config().segment_bytes,
                index_interval_bytes: log.config().index_interval_bytes,
            };
            (shell.role.producer_snapshot(), settings)
        };
        let mut round =
            self.reader.begin_compaction(backlog, self.stable_end(), &producers, settings, now.wall)?;
        round.read_keys(pace)?;
        while let Some(group) = round.next_group(pace)? {
            let mut shell = self.lock();
            let log = shell.log.as_mut().ok_or(CompactionError::Stopped)?;
            match log.replace_compacted(group, now.wall) {
                Ok(true) => {}
                // Retention or a cut came between: the next round looks again.
                Ok(false) => return Err(CompactionError::Stopped),
                Err(error) => {
                    tracing::error!(partition = %self.label(), %error, "cannot put compacted segments in place");
                    self.log_dir.look_at(&error);
                    self.resign(&mut shell, now, ErrorCode::KafkaStorageError);
                    return Err(error.into());
                }
            }
        }
        let compacted = round.compacted();
        if let Some(log) = &self.lock().log {
            log.note_compacted(compacted.upto)?;
        }
        Ok(compacted)
    }

    /// Only what the disk has is compacted.
    fn sync_before_compaction(&self, backlog: &Backlog) -> Result<(), CompactionError> {
        if self.reader.recovery_point() >= backlog.first_uncleanable {
            return Ok(());
        }
        let checkpoint = {
            let mut shell = self.lock();
            let producers = shell.role.producer_snapshot();
            let log = shell.log.as_mut().ok_or(CompactionError::Stopped)?;
            log.begin_checkpoint(CheckpointKind::Sync, &producers)
        };
        Ok(checkpoint.run()?)
    }

    /// Neither what other replicas may lack nor what a transaction may still undo.
    fn stable_end(&self) -> Offset {
        let bounds = self.bounds();
        if is_broken(Rule::CompactionStopsAtHighWatermark) {
            return bounds.log_end;
        }
        bounds.high_watermark.min(bounds.last_stable)
    }
}
