//! The fetchers of a node: for each leader that it follows some, each for a part of the partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::BrokerConfig;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::{BrokerEpoch, BrokerId, TopicPartition};

use super::connection::Leaders;
use super::fetcher::{Fetcher, Followed};
use super::suspects::Suspects;
use super::throttle::Throttle;
use crate::metrics::Copying;
use crate::partitions::{Partition, Partitions};
use crate::seams::{Blocking, Wall};

/// Looking at all partitions takes that long when there are thousands of them.
const LONG_LOOK: Duration = Duration::from_millis(1);

/// What of the node's configuration concerns fetchers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetcherSettings {
    /// `num.replica.fetchers`: for each leader.
    pub(crate) fetchers: usize,
    /// `replica.fetch.wait.max.ms`.
    pub(crate) wait_max: Duration,
    /// `replica.fetch.min.bytes`.
    pub(crate) bytes_min: i32,
    /// `replica.fetch.max.bytes`: of one partition.
    pub(crate) bytes_max: i32,
    /// `replica.fetch.response.max.bytes`.
    pub(crate) response_bytes_max: i32,
    /// `replica.fetch.backoff.ms`.
    pub(crate) backoff: Duration,
}

impl FetcherSettings {
    /// From the broker's configuration.
    pub(crate) fn new(config: &BrokerConfig) -> FetcherSettings {
        let millis = |value: i32| Duration::from_millis(u64::try_from(value).unwrap_or(0));
        FetcherSettings {
            fetchers: usize::try_from(config.num_replica_fetchers).unwrap_or(1).max(1),
            wait_max: millis(config.replica_fetch_wait_max_ms),
            bytes_min: config.replica_fetch_min_bytes,
            bytes_max: config.replica_fetch_max_bytes,
            response_bytes_max: config.replica_fetch_response_max_bytes,
            backoff: millis(config.replica_fetch_backoff_ms),
        }
    }
}

/// What all fetchers share.
#[derive(Debug)]
pub(crate) struct ReplicaFetchers {
    /// What may have to be fetched.
    pub(crate) partitions: Arc<Partitions>,
    /// The way to the leaders.
    pub(crate) leaders: Arc<dyn Leaders>,
    /// This node's registration; without one nothing is fetched.
    pub(crate) registration: watch::Receiver<Option<BrokerEpoch>>,
    /// How fast they copy what is moved to this node.
    pub(crate) throttle: Throttle,
    /// Leaders that may have died.
    pub(crate) suspects: Arc<Suspects>,
    /// What is counted.
    pub(crate) copying: Copying,
    /// How they fetch.
    pub(crate) settings: FetcherSettings,
    /// Where they write.
    pub(crate) blocking: Blocking,
    /// The clocks.
    pub(crate) wall: Wall,
}

/// A fetcher that runs.
#[derive(Debug)]
struct Running {
    followed: watch::Sender<Followed>,
    task: AbortHandle,
}

type Slots = BTreeMap<(BrokerId, usize), Vec<Arc<Partition>>>;

impl ReplicaFetchers {
    /// Keeps a fetcher for all that this node follows, until it stops.
    pub(crate) async fn run(self: Arc<Self>, stopping: CancellationToken) {
        let mut stirred = self.partitions.errands().stirred();
        let mut running = BTreeMap::new();
        // Ends them all when it is dropped.
        let mut tasks = JoinSet::new();
        loop {
            stirred.borrow_and_update();
            let begun = Instant::now();
            self.match_fetchers(&mut running, &mut tasks);
            // While thousands of logs are opened each of them stirs: half of the time is theirs.
            let took = begun.elapsed();
            if took >= LONG_LOOK {
                tokio::time::sleep(took).await;
            }
            tokio::select! {
                _ = stirred.changed() => {}
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended && error.is_panic() {
                        tracing::error!(%error, "a fetcher failed");
                        running.retain(|_, fetcher: &mut Running| !fetcher.task.is_finished());
                    }
                }
                () = stopping.cancelled() => return,
            }
        }
    }

    pub(super) fn me(&self) -> BrokerId {
        self.partitions.errands().settings.me
    }

    fn match_fetchers(
        self: &Arc<Self>,
        running: &mut BTreeMap<(BrokerId, usize), Running>,
        tasks: &mut JoinSet<()>,
    ) {
        let wanted = self.slots();
        running.retain(|key, fetcher| {
            let is_wanted = wanted.contains_key(key);
            if !is_wanted {
                fetcher.task.abort();
            }
            is_wanted
        });
        for (key, followed) in wanted {
            if let Some(fetcher) = running.get(&key) {
                fetcher.followed.send_if_modified(|known| {
                    let is_same = known.len() == followed.len()
                        && known.iter().zip(&followed).all(|(old, new)| Arc::ptr_eq(old, new));
                    if !is_same {
                        *known = Arc::new(followed);
                    }
                    !is_same
                });
                continue;
            }
            let (sender, receiver) = watch::channel(Arc::new(followed));
            let task = tasks.spawn(Fetcher::new(key.0, receiver, Arc::clone(self)).run());
            running.insert(key, Running { followed: sender, task });
        }
    }

    fn slots(&self) -> Slots {
        let mut slots = Slots::new();
        for partition in self.partitions.all() {
            if let Some(leader) = partition.followed() {
                let slot = slot_of(partition.id(), self.settings.fetchers);
                slots.entry((leader, slot)).or_default().push(partition);
            }
        }
        slots
    }
}

/// Always the same for a partition, and different for those of one topic.
fn slot_of(id: TopicPartition, slots: usize) -> usize {
    let topic =
        id.topic.0.0.iter().fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add((*byte).into()));
    topic.wrapping_add(usize::try_from(id.partition.0).unwrap_or(0)) % slots
}
