//! A whole node inside a process that is not its own: its files, sockets, threads and clocks are the caller's, and it has
//! no administration endpoint. For simulations; knows nothing of faults or of what they check.

use std::sync::Arc;

use bytes::Bytes;
use config::node::NodeConfig;
use futures::future::BoxFuture;
use metadata::Image;
use storage::ReadError;
use tokio_util::task::TaskTracker;
use types::{LeaderEpoch, Offset, TopicPartition, Uuid};

use crate::lifecycle::{self, RunError};
use crate::node::Node;
use crate::seams::Seams;

/// A node that runs on the caller's tokio runtime. Dropping that runtime is the death of the process. Its futures are boxed
/// here, so that this crate is compiled once and not by each program that polls them.
#[derive(Clone, Debug)]
pub struct EmbeddedNode {
    node: Arc<Node>,
    tasks: TaskTracker,
}

/// One replica as its node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Of which partition.
    pub partition: TopicPartition,
    /// Whether the node leads it.
    pub is_leading: bool,
    /// The newest leader epoch that it has heard of.
    pub leader_epoch: LeaderEpoch,
    /// Its first offset.
    pub log_start: Offset,
    /// What it takes for committed.
    pub high_watermark: Offset,
    /// The offset that its next record gets.
    pub log_end: Offset,
}

impl EmbeddedNode {
    /// Opens the data directory and starts what a node has before it is part of a cluster.
    pub fn start(config: NodeConfig, seams: Seams) -> BoxFuture<'static, Result<EmbeddedNode, RunError>> {
        Box::pin(async {
            let (node, tasks) = lifecycle::start(config, seams).await?;
            Ok(EmbeddedNode { node, tasks })
        })
    }

    /// Becomes part of the cluster and serves, until it is stopped or fails.
    pub fn serve(&self) -> BoxFuture<'_, Result<(), RunError>> {
        Box::pin(lifecycle::serve(&self.node, &self.tasks))
    }

    /// Stops cleanly.
    pub fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(lifecycle::stop(&self.node, self.tasks.clone()))
    }

    /// Founds the quorum of these voters, of which this node has the lowest id.
    pub fn bootstrap<'a>(
        &'a self,
        cluster_id: &'a str,
        voters: &'a [(i32, Uuid)],
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            self.node.quorum.bootstrap(cluster_id, voters).await.map_err(|error| error.to_string())
        })
    }

    /// What tells its directory from others.
    pub fn directory_id(&self) -> Uuid {
        self.node.partitions.data_dir().directory_id()
    }

    /// Whether it is registered and serves.
    pub fn is_ready(&self) -> bool {
        self.node.is_ready()
    }

    /// Whether it is the active controller, as far as it knows.
    pub fn is_controller(&self) -> bool {
        self.node.quorum.status().is_leader
    }

    /// The committed metadata, and the index in the quorum's log up to which it goes.
    pub fn metadata(&self) -> (u64, Arc<Image>) {
        let committed = self.node.metadata().committed();
        let committed = committed.borrow();
        (committed.end, Arc::clone(&committed.image))
    }

    /// Whether a log failed here, so that its replica waits for the next start.
    pub fn has_offline_replicas(&self) -> bool {
        self.node.partitions.all().iter().any(|partition| !partition.is_online())
    }

    /// All replicas that are open here.
    pub fn replicas(&self) -> Vec<Replica> {
        let view = |partition: &Arc<crate::partitions::Partition>| {
            let bounds = partition.bounds();
            Replica {
                partition: partition.id(),
                is_leading: partition.is_leading(),
                leader_epoch: bounds.leader_epoch,
                log_start: bounds.log_start,
                high_watermark: bounds.high_watermark,
                log_end: bounds.log_end,
            }
        };
        self.node.partitions.all().iter().map(view).collect()
    }

    /// Whole batches of a replica's log in `from..end`, at most about `bytes_max`; nothing if it is not open here.
    pub fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        end: Offset,
        bytes_max: u32,
    ) -> Result<Option<Bytes>, ReadError> {
        let Some(found) = self.node.partitions.get(partition) else { return Ok(None) };
        let slice = found.reader().read(from, end, bytes_max, true)?;
        Ok(Some(slice.read_to_bytes()?))
    }
}
