//! What the quorum counts for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metadata::{ElectionKind, Image, MetadataRecord};
use openraft::async_runtime::WatchReceiver as _;
use tokio::time::Instant;
use types::TopicPartition;

use super::raft::Raft;

/// Counts since the start of the node; all of them only rise.
#[derive(Debug, Default)]
pub(crate) struct QuorumFacts {
    leader_elections: [AtomicU64; ElectionKind::ALL.len()],
    elections: AtomicU64,
    election_micros: AtomicU64,
}

impl QuorumFacts {
    /// Elections of partitions' leaders that this node, as the active controller, has committed.
    pub(crate) fn leader_elections(&self) -> impl Iterator<Item = (ElectionKind, u64)> {
        ElectionKind::ALL
            .into_iter()
            .zip(&self.leader_elections)
            .map(|(kind, count)| (kind, count.load(Ordering::Relaxed)))
    }

    /// How often the quorum had no leader and then one, as this voter saw it, and how long that took in all.
    pub(crate) fn elections(&self) -> (u64, Duration) {
        let micros = self.election_micros.load(Ordering::Relaxed);
        (self.elections.load(Ordering::Relaxed), Duration::from_micros(micros))
    }

    pub(super) fn count(&self, kinds: &[ElectionKind]) {
        for kind in kinds {
            let index = ElectionKind::ALL.iter().position(|known| known == kind);
            self.leader_elections[index.expect("all of them are there")].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn elected(&self, after: Duration) {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.election_micros.fetch_add(micros, Ordering::Relaxed);
        self.elections.fetch_add(1, Ordering::Relaxed);
    }
}

/// The elections that a record is, on the image before it.
pub(super) fn election(image: &Image, record: &MetadataRecord) -> Option<ElectionKind> {
    let MetadataRecord::PartitionChange { topic, partition, change } = record else { return None };
    let id = TopicPartition { topic: *topic, partition: *partition };
    ElectionKind::of(image.partition(id)?, change)
}

/// Measures how long the quorum goes without a leader, as long as the node runs.
pub(super) async fn time_elections(raft: Raft, facts: Arc<QuorumFacts>) {
    let mut metrics = raft.server_metrics();
    let mut without_since = None;
    loop {
        let has_leader = metrics.borrow_watched().current_leader.is_some();
        match (has_leader, without_since) {
            (false, None) => without_since = Some(Instant::now()),
            (true, Some(since)) => {
                facts.elected(since.elapsed());
                without_since = None;
            }
            (true, None) | (false, Some(_)) => {}
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}
