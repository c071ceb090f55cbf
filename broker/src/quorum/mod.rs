//! The metadata quorum: openraft over the node's own log, and the controller on top of it. openraft's types stay in here.

mod bootstrap;
mod codec;
mod commands;
mod controller;
mod description;
mod entry;
mod facts;
mod handle;
mod link;
mod log_store;
mod message;
mod network;
mod observer;
mod probe;
mod raft;
mod runtime;
mod server;
mod service;
mod silence;
mod state_machine;
mod voters;
mod wire;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use metadata::ControllerDefaults;
use openraft::Config;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::Fatal;
use storage::DataDir;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::ErrorCode;

pub(crate) use self::bootstrap::BootstrapError;
pub(crate) use self::description::{QuorumDescription, ReplicaDescription};
pub(crate) use self::facts::QuorumFacts;
use self::handle::Controller;
pub(crate) use self::handle::MetadataHandle;
use self::link::Links;
use self::log_store::LogStore;
use self::network::Network;
use self::observer::Observer;
use self::probe::Prober;
use self::raft::{Raft, VoterAddress, VoterId};
use self::service::Service;
use self::silence::Contact;
pub(crate) use self::state_machine::Committed;
use self::state_machine::StateMachine;
#[cfg(test)]
use self::voters::VotersError;
use crate::seams::{Blocking, Listener, Transport, Wall};

/// Commands that wait for the controller; more are told to come back.
const COMMANDS_WAITING_MAX: usize = 1000;
/// Entries between two snapshots.
const ENTRIES_A_SNAPSHOT: u64 = 5000;
/// Entries that stay in the log behind a snapshot.
const ENTRIES_KEPT: u64 = 1000;
/// How long a command may take. What is not answered by then may still come true.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(8);
/// How long the leadership may take to move to another voter when this one stops.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(1);

/// The quorum's part of a node.
#[derive(Debug)]
pub(crate) struct MetadataQuorum {
    node: i32,
    data_dir: Arc<DataDir>,
    part: Part,
    links: Links,
    handle: MetadataHandle,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// What a node is to the quorum.
#[derive(Debug)]
enum Part {
    /// It may vote.
    Controller(Arc<Service>, VoterAddress),
    /// It takes what is committed from those who do.
    Observer(watch::Receiver<Committed>, watch::Receiver<Option<i32>>),
}

/// What a node brings to the quorum.
#[derive(Debug)]
pub(crate) struct QuorumOptions {
    /// Where the log is, and who the node is.
    pub(crate) data_dir: Arc<DataDir>,
    /// Its id.
    pub(crate) node: i32,
    /// The controller's port, and the host under which others reach it; absent on a node without that role.
    pub(crate) listener: Option<(Box<dyn Listener>, String)>,
    /// The other nodes' hosts and controllers' ports.
    pub(crate) peers: Vec<(i32, String, u16)>,
    /// For the controller's decisions.
    pub(crate) defaults: ControllerDefaults,
    /// After what silence the active controller takes a broker for gone.
    pub(crate) session_timeout: Duration,
    /// What the node has acted on.
    pub(crate) published: watch::Receiver<Committed>,
    /// The seams.
    pub(crate) transport: Arc<dyn Transport>,
    /// The seams.
    pub(crate) blocking: Blocking,
    /// The seams.
    pub(crate) wall: Wall,
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

impl MetadataQuorum {
    /// Opens the log and starts raft over it, or begins to follow. A controller does nothing before the quorum is founded.
    pub(crate) async fn start(options: QuorumOptions) -> io::Result<MetadataQuorum> {
        let QuorumOptions {
            data_dir,
            node,
            listener,
            peers,
            defaults,
            session_timeout,
            published,
            transport,
            blocking,
            wall,
        } = options;
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        let addresses = peers.into_iter().map(|(id, host, port)| (id, VoterAddress { host, port })).collect();
        let links = Links::new(
            Arc::clone(&transport),
            Arc::clone(&data_dir),
            blocking.clone(),
            node,
            addresses,
            tasks.clone(),
            stopping.clone(),
        );
        let (part, controller, committed) = match listener {
            Some((listener, host)) => {
                let address = VoterAddress { host, port: listener.local_addr()?.port() };
                let (service, committed_sender) =
                    start_raft(&data_dir, node, &links, transport, blocking, wall).await?;
                let committed = committed_sender.subscribe();
                let (leader_sender, tailed) = watch::channel(None);
                let contact = service.0.contact.clone();
                let (raft, commands) = (service.0.raft.clone(), service.0.commands.clone());
                let prober = service.0.prober.clone();
                let facts = Arc::clone(&service.0.facts);
                let timing = facts::time_elections(service.0.raft.clone(), Arc::clone(&facts));
                tasks.spawn(stopping.clone().run_until_cancelled_owned(timing));
                let task = controller::Task {
                    raft: raft.clone(),
                    voter: service.0.voter,
                    prober,
                    defaults,
                    session_timeout,
                    wall,
                    facts,
                    committed: committed.clone(),
                    waiting: service.1,
                };
                tasks.spawn(stopping.clone().run_until_cancelled_owned(task.run()));
                let sampling = description::sample(raft.clone(), service.0.caught_up.clone());
                tasks.spawn(stopping.clone().run_until_cancelled_owned(sampling));
                let service = Arc::new(service.0);
                tasks.spawn(server::run(listener, Arc::clone(&service), stopping.clone()));
                let tailing = silence::run(
                    contact.clone(),
                    raft.clone(),
                    links.clone(),
                    committed_sender,
                    leader_sender,
                );
                tasks.spawn(stopping.clone().run_until_cancelled_owned(tailing));
                let controller = Controller::Voter { raft, commands, contact, tailed };
                (Part::Controller(service, address), controller, committed)
            }
            None => {
                let (committed_sender, committed) = watch::channel(Committed::default());
                let (leader_sender, leader) = watch::channel(None);
                let observer = Observer::new(links.clone(), committed_sender, leader_sender);
                tasks.spawn(stopping.clone().run_until_cancelled_owned(observer.run()));
                let part = Part::Observer(committed.clone(), leader.clone());
                (part, Controller::Observer { leader }, committed)
            }
        };
        let handle = MetadataHandle {
            node,
            data_dir: Arc::clone(&data_dir),
            controller,
            links: links.clone(),
            committed,
            published,
        };
        let quorum = MetadataQuorum { node, data_dir, part, links, handle, tasks, stopping };
        quorum.elect_if_alone().await?;
        Ok(quorum)
    }

    /// How the rest of the node reads and changes metadata.
    pub(crate) fn handle(&self) -> &MetadataHandle {
        &self.handle
    }

    /// Who leads the quorum, its term, and whether that is this node.
    pub(crate) fn status(&self) -> QuorumStatus {
        match &self.part {
            Part::Controller(service, _) => {
                let metrics = service.raft.metrics().borrow_watched().clone();
                let leader = self.handle.leader();
                if service.contact.is_silent(&service.raft) {
                    let end = self.handle.committed().borrow().end;
                    let (term, voters) =
                        (metrics.current_term, metrics.membership_config.voter_ids().count());
                    return QuorumStatus {
                        leader,
                        is_leader: false,
                        term,
                        log_end: end,
                        applied: end,
                        voters,
                    };
                }
                QuorumStatus {
                    leader,
                    is_leader: metrics.current_leader == Some(service.voter),
                    term: metrics.current_term,
                    log_end: metrics.last_log_index.map_or(0, |index| index + 1),
                    applied: metrics.last_applied.map_or(0, |applied| applied.index + 1),
                    voters: metrics.membership_config.voter_ids().count(),
                }
            }
            Part::Observer(committed, leader) => {
                let end = committed.borrow().end;
                let leader = *leader.borrow();
                QuorumStatus { leader, is_leader: false, term: 0, log_end: end, applied: end, voters: 0 }
            }
        }
    }

    /// What is counted; a node that has no vote counts nothing.
    pub(crate) fn facts(&self) -> Option<&QuorumFacts> {
        self.service().map(|service| &*service.facts)
    }

    /// Why other nodes do not talk to this one.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.links.refusals().iter().map(ToString::to_string).collect()
    }

    /// Resolves when raft has ended because its log or its state failed it.
    pub(crate) async fn failed(&self) -> String {
        let Part::Controller(service, _) = &self.part else { return std::future::pending().await };
        // The full metrics change with every heartbeat. These change with the leader, and end with raft.
        let mut ending = service.raft.server_metrics();
        while ending.changed().await.is_ok() {}
        let state = service.raft.metrics().borrow_watched().running_state.clone();
        match state {
            Ok(()) => "raft is gone".to_owned(),
            Err(Fatal::Stopped) => std::future::pending().await,
            Err(error @ (Fatal::StorageError(_) | Fatal::Panicked)) => error.to_string(),
        }
    }

    /// Hands the leadership on, stops raft and makes its log durable.
    pub(crate) async fn stop(&self, blocking: &Blocking) {
        if let Part::Controller(service, _) = &self.part {
            service.hand_over().await;
            if let Err(error) = service.raft.shutdown().await {
                tracing::error!(%error, "the metadata quorum did not stop cleanly");
            }
            let log = service.log.clone();
            if let Err(error) = blocking.run(move || log.sync()).await {
                tracing::error!(%error, "cannot sync the metadata log");
            }
        }
        self.end_tasks().await;
    }

    async fn end_tasks(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// A single voter need not wait for an election timeout: there is nobody else.
    async fn elect_if_alone(&self) -> io::Result<()> {
        let Part::Controller(service, _) = &self.part else { return Ok(()) };
        let voters: Vec<VoterId> =
            service.raft.metrics().borrow_watched().membership_config.voter_ids().collect();
        if voters == [service.voter] {
            service.raft.trigger().elect(false).await.map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// Opens the log and starts raft over it. With the commands that will come.
async fn start_raft(
    data_dir: &Arc<DataDir>,
    node: i32,
    links: &Links,
    transport: Arc<dyn Transport>,
    blocking: Blocking,
    wall: Wall,
) -> io::Result<((Service, mpsc::Receiver<controller::Submission>), watch::Sender<Committed>)> {
    let opening = (Arc::clone(data_dir), blocking.clone());
    let log = blocking.run(move || LogStore::open(opening.0, opening.1, wall)).await?;
    let state_machine = StateMachine::new(Arc::clone(data_dir), blocking.clone());
    let committed_sender = state_machine.committed();
    let committed = committed_sender.subscribe();
    let applied_end = state_machine.applied_end();
    let voter = VoterId { node, directory: data_dir.directory_id() };
    let config = Config {
        cluster_name: "metadata".to_owned(),
        // Raft ticks at a fifth of the heartbeat: what an idle node does is mostly this. A controller that dies has to be
        // replaced within a second, and a busy machine must not look like one that died. A follower waits for the leader's
        // lease, which is the longest election timeout, and then for its own: 650 to 800 ms of silence.
        heartbeat_interval: 100,
        election_timeout_min: 250,
        election_timeout_max: 400,
        enable_pre_vote: Some(true),
        install_snapshot_timeout: 10_000,
        snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(ENTRIES_A_SNAPSHOT),
        max_in_snapshot_log_to_keep: ENTRIES_KEPT,
        // An old disk that is put back must not end the leader.
        allow_log_reversion: Some(true),
        ..Config::default()
    };
    let config = Arc::new(config.validate().map_err(io::Error::other)?);
    let network = Network { links: links.clone() };
    let raft =
        Raft::new(voter, config, network, log.clone(), state_machine).await.map_err(io::Error::other)?;
    let (commands, waiting) = mpsc::channel(COMMANDS_WAITING_MAX);
    let prober = Prober {
        transport,
        committed: committed.clone(),
        commands: commands.clone(),
        tasks: links.tasks().clone(),
        stopping: links.stopping().clone(),
    };
    let service = Service {
        voter,
        prober,
        data_dir: Arc::clone(data_dir),
        blocking,
        raft,
        log,
        commands,
        committed: committed.clone(),
        applied_end,
        observers: std::sync::Mutex::default(),
        contact: Contact::default(),
        changing: tokio::sync::Mutex::default(),
        links: links.clone(),
        caught_up: watch::Sender::default(),
        facts: Arc::default(),
        wall,
    };
    Ok(((service, waiting), committed_sender))
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

#[cfg(test)]
mod cluster_tests;
#[cfg(test)]
mod tests;
