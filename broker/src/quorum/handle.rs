//! How the rest of the node reads and changes metadata, wherever the active controller is.

use std::sync::Arc;
use std::time::Duration;

use metadata::{Command, Image, Response};
use openraft::async_runtime::WatchReceiver as _;
use storage::DataDir;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::controller::{Submission, submit_here};
use super::link::{CallError, Links, Target};
use super::message::{Purpose, Reply, Request};
use super::raft::{Raft, VoterAddress};
use super::silence::Contact;
use super::state_machine::Committed;
use super::{SUBMIT_TIMEOUT, SubmitError};

/// While no controller is known, or the one that was known is not it any more.
pub(super) const FIND_CONTROLLER: Duration = Duration::from_millis(20);
/// While a controller has not answered yet, which it mostly does in less.
const LOOK_FOR_ANOTHER: Duration = Duration::from_millis(50);
/// Beyond the time that the controller gives itself.
pub(super) const FORWARD_TIMEOUT: Duration = SUBMIT_TIMEOUT.saturating_add(Duration::from_secs(2));

/// Clones share all.
#[derive(Clone, Debug)]
pub(crate) struct MetadataHandle {
    pub(super) node: i32,
    pub(super) data_dir: Arc<DataDir>,
    pub(super) controller: Controller,
    pub(super) links: Links,
    pub(super) committed: watch::Receiver<Committed>,
    /// What the node has acted on: partitions are open, configurations taken in.
    pub(super) published: watch::Receiver<Committed>,
}

/// How this node knows who is the active controller.
#[derive(Clone, Debug)]
pub(super) enum Controller {
    /// By its own vote; it may be this node.
    Voter {
        /// The quorum.
        raft: Raft,
        /// Commands for this node's own controller.
        commands: mpsc::Sender<Submission>,
        /// Whether a leader speaks to this node.
        contact: Contact,
        /// The leader by what those say that it tails while none does.
        tailed: watch::Receiver<Option<i32>>,
    },
    /// By what those say that it tails.
    Observer {
        /// The leader.
        leader: watch::Receiver<Option<i32>>,
    },
}

impl MetadataHandle {
    /// What the cluster is, as far as this node has acted on it.
    pub(crate) fn image(&self) -> Arc<Image> {
        Arc::clone(&self.published.borrow().image)
    }

    /// The end of the log up to which this node has acted.
    pub(crate) fn published_end(&self) -> u64 {
        self.published.borrow().end
    }

    /// The committed image as it changes, before the node has acted on it.
    pub(crate) fn committed(&self) -> watch::Receiver<Committed> {
        self.committed.clone()
    }

    /// Has the active controller carry out a command. Answers once the change is committed and this node has acted on it, so
    /// that whoever asks next finds it done. Looks for a controller as long as that can be without doing anything twice.
    pub(crate) async fn submit(&self, command: Command) -> Result<Response, SubmitError> {
        let (response, end) = self.carried_out(command).await?;
        let mut published = self.published.clone();
        let applied = published.wait_for(|published| published.end >= end);
        match tokio::time::timeout(SUBMIT_TIMEOUT, applied).await {
            Ok(Ok(_)) => Ok(response),
            Ok(Err(_)) | Err(_) => Err(SubmitError::Unknown),
        }
    }

    /// The same, as soon as the change is committed: for whom the answer is all.
    pub(crate) async fn tell(&self, command: Command) -> Result<Response, SubmitError> {
        self.carried_out(command).await.map(|(response, _)| response)
    }

    /// With the end of the log that holds what was decided.
    async fn carried_out(&self, command: Command) -> Result<(Response, u64), SubmitError> {
        let deadline = Instant::now() + SUBMIT_TIMEOUT;
        let request = Request::Submit { command };
        loop {
            match self.submit_once(&request).await {
                Err(SubmitError::NoController) if self.may_come() && Instant::now() < deadline => {
                    tokio::time::sleep(FIND_CONTROLLER).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn submit_once(&self, request: &Request) -> Result<(Response, u64), SubmitError> {
        let leader = self.leader().ok_or(SubmitError::NoController)?;
        match (&self.controller, request) {
            (Controller::Voter { commands, .. }, Request::Submit { command }) if leader == self.node => {
                submit_here(commands, command.clone(), SUBMIT_TIMEOUT).await
            }
            _ => self.forward(leader, request).await,
        }
    }

    async fn forward(&self, leader: i32, request: &Request) -> Result<(Response, u64), SubmitError> {
        let reply = tokio::select! {
            reply = self.call(leader, request) => reply?,
            // One that hangs or is cut off answers when it is too late: heartbeats that wait for it would be missed by the
            // next one, which would fence their brokers.
            () = self.superseded(leader) => return Err(SubmitError::Unknown),
        };
        match reply {
            Reply::Submit { result } => result,
            _ => Err(SubmitError::Unknown),
        }
    }

    /// Waits until another node is the active controller.
    async fn superseded(&self, former: i32) {
        while self.leader().is_none_or(|leader| leader == former) {
            tokio::time::sleep(LOOK_FOR_ANOTHER).await;
        }
    }

    /// Asks the node that this one takes for the leader.
    pub(super) async fn call(&self, leader: i32, request: &Request) -> Result<Reply, SubmitError> {
        let target = Target { node: leader, directory: None, purpose: Purpose::Client };
        let address = self.address(leader);
        match self.links.call(target, address.as_ref(), request, FORWARD_TIMEOUT).await {
            Ok(reply) => Ok(reply),
            Err(CallError::TooLarge) => Err(SubmitError::TooLarge),
            Err(CallError::Busy) => Err(SubmitError::Busy),
            Err(error) if error.is_undone() => Err(SubmitError::NoController),
            Err(_) => Err(SubmitError::Unknown),
        }
    }

    /// The active controller's node, as far as this one knows.
    pub(super) fn leader(&self) -> Option<i32> {
        match &self.controller {
            Controller::Voter { raft, contact, tailed, .. } => {
                let by_vote = raft.metrics().borrow_watched().current_leader.map(|leader| leader.node);
                // Who is removed from the quorum goes on to believe in its last leader.
                if contact.is_silent(raft) { tailed.borrow().or(by_vote) } else { by_vote }
            }
            Controller::Observer { leader } => *leader.borrow(),
        }
    }

    /// What the log says of a voter's address; the configuration may say nothing of voters that came later.
    fn address(&self, node: i32) -> Option<VoterAddress> {
        match &self.controller {
            Controller::Voter { raft, .. } => {
                let metrics = raft.metrics();
                let metrics = metrics.borrow_watched();
                let mut nodes = metrics.membership_config.nodes();
                nodes.find(|(voter, _)| voter.node == node).map(|(_, address)| address.clone())
            }
            Controller::Observer { .. } => None,
        }
    }

    /// Whether there may be a controller soon: not before the founding, and not when this node's quorum has ended.
    pub(super) fn may_come(&self) -> bool {
        let is_running = match &self.controller {
            Controller::Voter { raft, .. } => raft.metrics().borrow_watched().running_state.is_ok(),
            Controller::Observer { leader } => leader.has_changed().is_ok(),
        };
        is_running && self.data_dir.cluster_id().is_some()
    }
}
