//! What all replicas of a node share: who this node is, what is asked of background work, and the news for it.

use std::cmp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use config::TopicConfig;
use replication::{FollowerConfig, IsrProposal, LeaderConfig};
use tokio::sync::watch;
use types::{BrokerId, TopicPartition};

use super::Partition;
use super::outbox::Outbox;

/// What of the node's configuration concerns replicas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplicaSettings {
    /// This node.
    pub(crate) me: BrokerId,
    /// `replica.lag.time.max.ms`.
    pub(crate) lag_time_max: Duration,
    /// `replica.fetch.backoff.ms`.
    pub(crate) fetch_backoff: Duration,
}

impl ReplicaSettings {
    /// Kafka's defaults, but for the backoff: a failover is not to wait for it.
    #[cfg(test)]
    pub(crate) fn of(me: BrokerId) -> ReplicaSettings {
        ReplicaSettings {
            me,
            lag_time_max: Duration::from_secs(30),
            fetch_backoff: Duration::from_millis(20),
        }
    }

    pub(super) fn leader_config(&self, config: &TopicConfig) -> LeaderConfig {
        let min_insync_replicas = usize::try_from(config.min_insync_replicas).unwrap_or(1);
        LeaderConfig { min_insync_replicas, replica_lag_time_max: self.lag_time_max }
    }

    pub(super) fn follower_config(&self, config: &TopicConfig) -> FollowerConfig {
        FollowerConfig { fetch_backoff: self.fetch_backoff, is_compacted: config.cleanup_policy.compact }
    }
}

/// What replicas ask of the node.
#[derive(Debug)]
pub(crate) struct Errands {
    /// Who asks.
    pub(crate) settings: ReplicaSettings,
    /// Logs that want an fsync.
    pub(crate) flushes: Outbox<Arc<Partition>>,
    /// What the controller is asked for.
    pub(crate) proposals: Outbox<(TopicPartition, IsrProposal)>,
    /// How often the in-sync replicas of a partition that is led here became fewer.
    pub(crate) isr_shrinks: AtomicU64,
    /// How often they became more.
    pub(crate) isr_expands: AtomicU64,
    /// Whether a log failed whose directory did not.
    pub(super) has_failed_log: AtomicBool,
    stirred: watch::Sender<()>,
}

impl Errands {
    /// Nothing to do yet.
    pub(crate) fn new(settings: ReplicaSettings) -> Errands {
        Errands {
            settings,
            flushes: Outbox::default(),
            proposals: Outbox::default(),
            isr_shrinks: AtomicU64::new(0),
            isr_expands: AtomicU64::new(0),
            has_failed_log: AtomicBool::new(false),
            stirred: watch::Sender::new(()),
        }
    }

    /// Counts a change of the in-sync replicas, if there was one and this node led before and after.
    pub(super) fn count_isr(&self, before: Option<usize>, after: Option<usize>) {
        let (Some(before), Some(after)) = (before, after) else { return };
        match before.cmp(&after) {
            cmp::Ordering::Less => self.isr_expands.fetch_add(1, Ordering::Relaxed),
            cmp::Ordering::Greater => self.isr_shrinks.fetch_add(1, Ordering::Relaxed),
            cmp::Ordering::Equal => 0,
        };
    }

    /// Says that replicas follow others than before, or can go on.
    pub(super) fn stir(&self) {
        self.stirred.send_replace(());
    }

    /// Tells when replicas follow others than before, or can go on.
    pub(crate) fn stirred(&self) -> watch::Receiver<()> {
        self.stirred.subscribe()
    }
}
