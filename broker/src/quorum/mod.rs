//! The metadata quorum: openraft over the node's own log, and the controller on top of it. openraft's types stay in here.

mod codec;
mod commands;
mod controller;
mod entry;
mod log_store;
mod message;
mod network;
mod raft;
mod state_machine;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use metadata::{Command, ControllerDefaults, Image, Response};
use openraft::Config;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::Fatal;
use storage::DataDir;
use tokio::sync::{mpsc, oneshot, watch};
use types::{ErrorCode, Uuid};

use self::controller::Submission;
use self::log_store::LogStore;
use self::network::Network;
use self::raft::{Raft, VoterAddress, VoterId};
pub(crate) use self::state_machine::Committed;
use self::state_machine::StateMachine;
use crate::seams::{Blocking, Wall};

/// Commands that wait for the controller; more are told to come back.
const COMMANDS_WAITING_MAX: usize = 1000;
/// Entries between two snapshots.
const ENTRIES_A_SNAPSHOT: u64 = 5000;
/// Entries that stay in the log behind a snapshot.
const ENTRIES_KEPT: u64 = 1000;

/// The quorum's part of a node.
#[derive(Debug)]
pub(crate) struct MetadataQuorum {
    raft: Raft,
    log: LogStore,
    data_dir: Arc<DataDir>,
    voter: VoterId,
    address: VoterAddress,
    handle: MetadataHandle,
}

/// How the rest of the node reads and changes metadata.
#[derive(Clone, Debug)]
pub(crate) struct MetadataHandle {
    commands: mpsc::Sender<Submission>,
    committed: watch::Receiver<Committed>,
    /// What the node has acted on: partitions are open, configurations taken in.
    published: watch::Receiver<Committed>,
}

/// A command that was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SubmitError {
    /// Refused as a whole.
    #[error(transparent)]
    Rejected(#[from] metadata::Rejection),
    /// There is no active controller that could tell.
    #[error("there is no active controller")]
    NoController,
    /// Too many wait.
    #[error("too many requests wait for the controller")]
    Busy,
    /// The controller went away in the middle: the change may or may not come true.
    #[error("the controller was lost before it answered: the change may have been made")]
    Unknown,
    /// The change would not fit into one entry of the quorum's log.
    #[error("the request changes too much at once: split it")]
    TooLarge,
}

impl SubmitError {
    /// The error as Kafka puts it on the wire.
    pub(crate) fn code(self) -> ErrorCode {
        match self {
            SubmitError::Rejected(rejection) => rejection.code(),
            SubmitError::NoController | SubmitError::Unknown => ErrorCode::NotController,
            SubmitError::Busy => ErrorCode::ThrottlingQuotaExceeded,
            SubmitError::TooLarge => ErrorCode::PolicyViolation,
        }
    }
}

/// Why a quorum was not founded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootstrapError {
    /// The node belongs to a cluster already.
    #[error("this node belongs to cluster {found}, not to {asked}")]
    OtherCluster {
        /// Its cluster.
        found: String,
        /// The one that was asked for.
        asked: String,
    },
    /// The request is for other voters than this node.
    #[error("a quorum has one voter, and it has to be node {node} with directory {directory}")]
    OtherVoters {
        /// This node.
        node: i32,
        /// Its directory.
        directory: Uuid,
    },
    /// The disk or openraft failed.
    #[error("the quorum could not be founded: {0}")]
    Failed(String),
}

impl MetadataQuorum {
    /// Opens the log and starts raft over it. It does nothing before the quorum is founded.
    pub(crate) async fn start(
        data_dir: Arc<DataDir>,
        node: i32,
        address: (String, u16),
        defaults: ControllerDefaults,
        published: watch::Receiver<Committed>,
        blocking: Blocking,
        wall: Wall,
    ) -> io::Result<MetadataQuorum> {
        let opening = (Arc::clone(&data_dir), blocking.clone());
        let log = blocking.run(move || LogStore::open(opening.0, opening.1, wall)).await?;
        let state_machine = StateMachine::new(Arc::clone(&data_dir), blocking);
        let committed = state_machine.watch();
        let voter = VoterId { node, directory: data_dir.directory_id() };
        let config = Config {
            cluster_name: "metadata".to_owned(),
            heartbeat_interval: 50,
            election_timeout_min: 150,
            election_timeout_max: 300,
            enable_pre_vote: Some(true),
            snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(ENTRIES_A_SNAPSHOT),
            max_in_snapshot_log_to_keep: ENTRIES_KEPT,
            ..Config::default()
        };
        let config = Arc::new(config.validate().map_err(io::Error::other)?);
        let raft =
            Raft::new(voter, config, Network, log.clone(), state_machine).await.map_err(io::Error::other)?;
        let (commands, waiting) = mpsc::channel(COMMANDS_WAITING_MAX);
        tokio::spawn(controller::run(raft.clone(), voter, defaults, wall, committed.clone(), waiting));
        let handle = MetadataHandle { commands, committed, published };
        let address = VoterAddress { host: address.0, port: address.1 };
        let quorum = MetadataQuorum { raft, log, data_dir, voter, address, handle };
        quorum.elect_if_founded().await?;
        Ok(quorum)
    }

    /// How the rest of the node reads and changes metadata.
    pub(crate) fn handle(&self) -> &MetadataHandle {
        &self.handle
    }

    /// Founds the quorum with this node as its only voter. Asking again for the same changes nothing.
    pub(crate) async fn bootstrap(
        &self,
        cluster_id: &str,
        voters: &[(i32, Uuid)],
    ) -> Result<(), BootstrapError> {
        if let Some(found) = self.data_dir.cluster_id().filter(|found| found != cluster_id) {
            return Err(BootstrapError::OtherCluster { found, asked: cluster_id.to_owned() });
        }
        if voters != [(self.voter.node, self.voter.directory)] {
            return Err(BootstrapError::OtherVoters {
                node: self.voter.node,
                directory: self.voter.directory,
            });
        }
        let failed = |error: &dyn std::fmt::Display| BootstrapError::Failed(error.to_string());
        self.data_dir.set_cluster_id(cluster_id).map_err(|error| failed(&error))?;
        if self.raft.is_initialized().await.map_err(|error| failed(&error))? {
            return Ok(());
        }
        let members = BTreeMap::from([(self.voter, self.address.clone())]);
        self.raft.initialize(members).await.map_err(|error| failed(&error))?;
        tracing::info!(cluster_id, voter = %self.voter, "founded the metadata quorum");
        Ok(())
    }

    /// Who leads the quorum, its term, and whether that is this node.
    pub(crate) fn status(&self) -> QuorumStatus {
        let metrics = self.raft.metrics().borrow_watched().clone();
        QuorumStatus {
            leader: metrics.current_leader.map(|leader| leader.node),
            is_leader: metrics.current_leader == Some(self.voter),
            term: metrics.current_term,
            log_end: metrics.last_log_index.map_or(0, |index| index + 1),
            applied: metrics.last_applied.map_or(0, |applied| applied.index + 1),
            voters: metrics.membership_config.voter_ids().count(),
        }
    }

    /// Resolves when raft has ended because its log or its state failed it.
    pub(crate) async fn failed(&self) -> String {
        let mut metrics = self.raft.metrics();
        loop {
            let state = metrics.borrow_watched().running_state.clone();
            match state {
                Ok(()) => {}
                Err(Fatal::Stopped) => std::future::pending().await,
                Err(error @ (Fatal::StorageError(_) | Fatal::Panicked)) => return error.to_string(),
            }
            if metrics.changed().await.is_err() {
                return "raft is gone".to_owned();
            }
        }
    }

    /// Stops raft and makes its log durable.
    pub(crate) async fn stop(&self, blocking: &Blocking) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, "the metadata quorum did not stop cleanly");
        }
        let log = self.log.clone();
        if let Err(error) = blocking.run(move || log.sync()).await {
            tracing::error!(%error, "cannot sync the metadata log");
        }
    }

    /// A single voter need not wait for an election timeout: there is nobody else.
    async fn elect_if_founded(&self) -> io::Result<()> {
        if self.raft.is_initialized().await.map_err(io::Error::other)? {
            self.raft.trigger().elect(false).await.map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// The quorum as this node sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuorumStatus {
    /// The leader's node id, if one is known.
    pub(crate) leader: Option<i32>,
    /// Whether that is this node.
    pub(crate) is_leader: bool,
    /// The term, which is Kafka's controller epoch.
    pub(crate) term: u64,
    /// The index after the last entry.
    pub(crate) log_end: u64,
    /// The index after the last applied entry.
    pub(crate) applied: u64,
    /// How many voters there are.
    pub(crate) voters: usize,
}

impl MetadataHandle {
    /// What the cluster is, as far as this node has acted on it.
    pub(crate) fn image(&self) -> Arc<Image> {
        Arc::clone(&self.published.borrow().image)
    }

    /// The committed image as it changes, before the node has acted on it.
    pub(crate) fn committed(&self) -> watch::Receiver<Committed> {
        self.committed.clone()
    }

    /// Has the controller carry out a command. Answers once the change is committed and this node has acted on it, so
    /// that whoever asks next finds it done.
    pub(crate) async fn submit(&self, command: Command) -> Result<Response, SubmitError> {
        let (answer, answered) = oneshot::channel();
        self.commands.try_send(Submission { command, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Busy,
            mpsc::error::TrySendError::Closed(_) => SubmitError::NoController,
        })?;
        let (response, end) = answered.await.unwrap_or(Err(SubmitError::NoController))?;
        let mut published = self.published.clone();
        match published.wait_for(|published| published.end >= end).await {
            Ok(_) => Ok(response),
            Err(_) => Err(SubmitError::NoController),
        }
    }
}

#[cfg(test)]
mod tests;
