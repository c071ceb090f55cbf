//! The composition root: everything of one node that requests and background work share. No statics: a process can hold
//! several nodes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config::node::{NodeConfig, Role};
use config::{BrokerConfig, Overrides};
use metadata::ProducerIdBlock;
use replication::FetchSessions;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use types::{BrokerEpoch, ErrorCode, PartitionId, Uuid};

use crate::coordinators::GroupCoordinators;
use crate::metrics::Metrics;
use crate::partitions::{Partition, Partitions, TopicRef};
use crate::peers::{Suspects, Throttle};
use crate::quorum::{MetadataHandle, MetadataQuorum};
use crate::seams::{Blocking, Transport, Wall};

/// One node.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its `broker.yaml`.
    pub(crate) config: NodeConfig,
    /// The broker's typed configuration.
    pub(crate) broker_config: BrokerConfig,
    /// The static layer of configurations, as DescribeConfigs shows it.
    pub(crate) static_config: Overrides,
    /// The clocks.
    pub(crate) wall: Wall,
    /// The sockets.
    pub(crate) transport: Arc<dyn Transport>,
    /// Threads for work that may wait for the disk.
    pub(crate) blocking: Blocking,
    /// The metadata quorum.
    pub(crate) quorum: MetadataQuorum,
    /// The partitions of which it has a replica.
    pub(crate) partitions: Arc<Partitions>,
    /// Leaders that may just have died.
    pub(crate) suspects: Arc<Suspects>,
    /// The consumer groups that it coordinates.
    pub(crate) groups: GroupCoordinators,
    /// Sessions of consumers.
    pub(crate) fetch_sessions: Sessions,
    /// Producer ids that this broker may still give out.
    pub(crate) producer_ids: tokio::sync::Mutex<Option<ProducerIdBlock>>,
    /// How fast others copy from it.
    pub(crate) throttle: Throttle,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Tells this life of the process from others with its id.
    pub(crate) incarnation: Uuid,
    /// The epoch of its registration, once it is registered, unfenced and all its logs are open.
    pub(crate) registration: watch::Sender<Option<BrokerEpoch>>,
    /// Why it is no broker of its cluster yet.
    pub(crate) problem: watch::Sender<Option<String>>,
    /// Set when the broker is to hand its partitions over, before it stops.
    pub(crate) leaving: CancellationToken,
    /// Set when the node is to stop: no new request is read, those that are there are answered.
    pub(crate) stopping: CancellationToken,
}

/// The fetch sessions, shared by all connections.
#[derive(Debug)]
pub(crate) struct Sessions(Mutex<FetchSessions>);

impl Sessions {
    /// Takes over what holds them.
    pub(crate) fn new(sessions: FetchSessions) -> Sessions {
        Sessions(Mutex::new(sessions))
    }

    /// For a moment; nothing waits while it is held.
    pub(crate) fn lock(&self) -> MutexGuard<'_, FetchSessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// The cluster that this node belongs to.
    pub(crate) fn cluster_id(&self) -> Option<String> {
        self.partitions.data_dir().cluster_id()
    }

    /// The cluster's metadata.
    pub(crate) fn metadata(&self) -> &MetadataHandle {
        self.quorum.handle()
    }

    /// The partition that a consumer means, if this node has a replica of it.
    pub(crate) fn readable_partition(
        &self,
        topic: TopicRef<'_>,
        partition: PartitionId,
    ) -> Result<Arc<Partition>, ErrorCode> {
        self.partitions.find(topic, partition).or_else(|_| self.led_partition(topic, partition))
    }

    /// The partition that a client means, if this node leads it.
    pub(crate) fn led_partition(
        &self,
        topic: TopicRef<'_>,
        partition: PartitionId,
    ) -> Result<Arc<Partition>, ErrorCode> {
        match self.partitions.find(topic, partition) {
            Ok(found) if found.is_leading() => Ok(found),
            Ok(_) => Err(ErrorCode::NotLeaderOrFollower),
            Err(error) => {
                // There is no replica here; that does not make it unknown.
                let image = self.metadata().image();
                let topic = match topic {
                    TopicRef::Id(id) => image.topic(id),
                    TopicRef::Name(name) => image.topic_named(name),
                };
                let index = usize::try_from(partition.0).unwrap_or(usize::MAX);
                match topic.and_then(|topic| topic.partitions.get(index)) {
                    Some(_) => Err(ErrorCode::NotLeaderOrFollower),
                    None => Err(error),
                }
            }
        }
    }

    /// Whether it does what it is there for: a broker serves clients, a controller knows of a leader.
    pub(crate) fn is_ready(&self) -> bool {
        let does = match self.config.has_role(Role::Broker) {
            true => self.registration.borrow().is_some(),
            false => self.quorum.status().leader.is_some(),
        };
        let is_going = self.leaving.is_cancelled() || self.stopping.is_cancelled();
        does && !is_going && !self.partitions.is_disk_failed()
    }
}
