//! The composition root: everything of one node that requests and background work share. No statics: a process can hold
//! several nodes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config::BrokerConfig;
use config::node::NodeConfig;
use replication::FetchSessions;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::partitions::Partitions;
use crate::seams::{Blocking, Wall};

/// One node.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its `broker.yaml`.
    pub(crate) config: NodeConfig,
    /// The broker's typed configuration.
    pub(crate) broker_config: BrokerConfig,
    /// The clocks.
    pub(crate) wall: Wall,
    /// Threads for work that may wait for the disk.
    pub(crate) blocking: Blocking,
    /// The partitions that it leads.
    pub(crate) partitions: Arc<Partitions>,
    /// Sessions of consumers.
    pub(crate) fetch_sessions: Sessions,
    /// What is counted.
    pub(crate) metrics: Metrics,
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
}
