//! Changes of who votes: one at a time, carried out by the leader. A new voter first follows until it has what the leader
//! has, so that the quorum never waits for it.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver as _;
use types::{ErrorCode, Uuid};

use super::link::{CallError, Target};
use super::message::{Purpose, Refusal, Reply, Request};
use super::raft::{Raft, VoterAddress, VoterId};
use super::service::Service;
use super::wire::{Wire, wire_enum};
use super::{MetadataQuorum, SubmitError, TRANSFER_TIMEOUT};

/// How long a new voter may take to catch up. A snapshot of the metadata takes less.
const CATCH_UP: Duration = Duration::from_secs(7);
/// How long a removed voter may take to hear of it. One that does not asks around later.
const FAREWELL: Duration = Duration::from_millis(500);
/// Between two attempts to finish what a dead leader began.
const FINISH_RETRY: Duration = Duration::from_millis(200);

/// Why the voters were not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VotersError {
    /// Another node leads now; ask that one.
    #[error("this node does not lead the quorum")]
    NotLeader,
    /// One change at a time.
    #[error("another change of the voters is under way: try again when it is done")]
    UnderWay,
    /// It votes already, or another directory of its node does.
    #[error(
        "node {node} votes already, with directory {directory}: remove that voter first if its disk is gone"
    )]
    Duplicate {
        /// The node.
        node: i32,
        /// The directory that votes.
        directory: Uuid,
    },
    /// There is no such voter.
    #[error("node {node} with directory {directory} is no voter; `taffrail quorum describe` shows who is")]
    NotFound {
        /// The node.
        node: i32,
        /// The directory.
        directory: Uuid,
    },
    /// Nobody would be left.
    #[error("node {node} is the last voter: add another one before it is removed")]
    Last {
        /// The node.
        node: i32,
    },
    /// The new voter is not what it has to be.
    #[error("{problem}")]
    Voter {
        /// What is wrong with it.
        problem: String,
    },
    /// It takes too long.
    #[error("the new voter did not catch up in time: see that it runs and is reached, then try again")]
    TimedOut,
    /// openraft refused, or lost its leadership in the middle.
    #[error("the voters were not changed: {problem}")]
    Failed {
        /// Why.
        problem: String,
    },
}

impl VotersError {
    /// The error as Kafka puts it on the wire.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            VotersError::NotLeader => ErrorCode::NotController,
            VotersError::UnderWay | VotersError::TimedOut | VotersError::Failed { .. } => {
                ErrorCode::RequestTimedOut
            }
            VotersError::Duplicate { .. } => ErrorCode::DuplicateVoter,
            VotersError::NotFound { .. } => ErrorCode::VoterNotFound,
            VotersError::Last { .. } => ErrorCode::InvalidRequest,
            VotersError::Voter { .. } => ErrorCode::InvalidVoterKey,
        }
    }
}

wire_enum!(VotersError {
    1 = NotLeader,
    2 = UnderWay,
    3 = Duplicate { node, directory },
    4 = NotFound { node, directory },
    5 = Last { node },
    6 = Voter { problem },
    7 = TimedOut,
    8 = Failed { problem },
});

impl MetadataQuorum {
    /// Gives a node a vote, whoever leads the quorum.
    pub(crate) async fn add_voter(
        &self,
        node: i32,
        directory: Uuid,
        host: String,
        port: u16,
    ) -> Result<(), VotersError> {
        self.change_voters(Request::AddVoter { node, directory, host, port }).await
    }

    /// Takes a node's vote away, whoever leads the quorum.
    pub(crate) async fn remove_voter(&self, node: i32, directory: Uuid) -> Result<(), VotersError> {
        self.change_voters(Request::RemoveVoter { node, directory }).await
    }

    async fn change_voters(&self, request: Request) -> Result<(), VotersError> {
        match self.ask_leader(&request).await {
            Ok(Reply::Voters { result }) => result,
            Ok(other) => Err(VotersError::Failed { problem: format!("{other:?}") }),
            Err(SubmitError::NoController) => Err(VotersError::NotLeader),
            Err(error) => Err(VotersError::Failed { problem: error.to_string() }),
        }
    }
}

impl Service {
    pub(super) async fn add_voter(&self, id: VoterId, address: VoterAddress) -> Result<(), VotersError> {
        let _alone = self.changing.try_lock().map_err(|_| VotersError::UnderWay)?;
        let voters = self.voters_to_change()?;
        if let Some(VoterId { node, directory }) = voters.iter().find(|voter| voter.node == id.node).copied()
        {
            return Err(VotersError::Duplicate { node, directory });
        }
        self.check_newcomer(id, &address).await?;
        let failed = |error: &dyn std::fmt::Display| VotersError::Failed { problem: error.to_string() };
        let caught_up = tokio::time::timeout(CATCH_UP, self.raft.add_learner(id, address, true)).await;
        if !matches!(caught_up, Ok(Ok(_))) {
            // It stays what it was: who is no voter follows by itself.
            let forget = ChangeMembers::RemoveNodes(BTreeSet::from([id]));
            let forgotten = tokio::time::timeout(FAREWELL, self.raft.change_membership(forget, true)).await;
            tracing::warn!(voter = %id, forgotten = forgotten.is_ok(), "a new voter did not catch up");
        }
        caught_up.map_err(|_| VotersError::TimedOut)?.map_err(|error| failed(&error))?;
        let add = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
        self.raft.change_membership(add, true).await.map_err(|error| failed(&error))?;
        tracing::info!(voter = %id, "added a voter to the metadata quorum");
        Ok(())
    }

    pub(super) async fn remove_voter(&self, id: VoterId) -> Result<(), VotersError> {
        let _alone = self.changing.try_lock().map_err(|_| VotersError::UnderWay)?;
        let voters = self.voters_to_change()?;
        let VoterId { node, directory } = id;
        if !voters.contains(&id) {
            return Err(VotersError::NotFound { node, directory });
        }
        if voters.len() == 1 {
            return Err(VotersError::Last { node });
        }
        if id == self.voter {
            // Whoever leads next removes it: so nobody has to wait for an election.
            self.hand_over().await;
            return Err(VotersError::NotLeader);
        }
        let failed = |error: &dyn std::fmt::Display| VotersError::Failed { problem: error.to_string() };
        // First it only follows, and hears of that; who never heard of it would go on to ask for votes.
        let demote = ChangeMembers::RemoveVoters(BTreeSet::from([id]));
        let demoted = self.raft.change_membership(demote, true).await.map_err(|error| failed(&error))?;
        let has_heard = |metrics: &openraft::RaftMetrics<super::raft::Quorum>| {
            let matching = metrics.replication.as_ref().and_then(|all| all.get(&id)?.as_ref());
            matching.is_some_and(|log_id| log_id.index >= demoted.log_id.index)
        };
        self.raft.wait(Some(FAREWELL)).metrics(has_heard, "the removed voter hears of it").await.ok();
        let forget = ChangeMembers::RemoveNodes(BTreeSet::from([id]));
        self.raft.change_membership(forget, true).await.map_err(|error| failed(&error))?;
        tracing::info!(voter = %id, "removed a voter from the metadata quorum");
        Ok(())
    }

    /// A change goes on when nobody waits for its answer any more: half of it would leave the quorum between two sets of
    /// voters, with a leader that knows of nothing to complete.
    pub(super) async fn to_its_end(
        &self,
        change: impl Future<Output = Result<(), VotersError>> + Send + 'static,
    ) -> Result<(), VotersError> {
        let change = self.prober.stopping.clone().run_until_cancelled_owned(change);
        self.prober.tasks.spawn(change).await.ok().flatten().unwrap_or(Err(VotersError::NotLeader))
    }

    /// The voters, if this node leads them and no change is incomplete.
    fn voters_to_change(&self) -> Result<BTreeSet<VoterId>, VotersError> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        if metrics.current_leader != Some(self.voter) {
            return Err(VotersError::NotLeader);
        }
        let membership = metrics.membership_config.membership();
        if membership.get_joint_config().len() > 1 {
            return Err(VotersError::UnderWay);
        }
        Ok(membership.voter_ids().collect())
    }

    /// It must be there, with that directory, and in no other cluster.
    async fn check_newcomer(&self, id: VoterId, address: &VoterAddress) -> Result<(), VotersError> {
        let target = Target { node: id.node, directory: Some(id.directory), purpose: Purpose::Probe };
        let ours = self.data_dir.cluster_id();
        match self.links.probe(target, Some(address)).await {
            Ok(found) if found.is_none() || found == ours => Ok(()),
            Ok(found) => {
                let found = found.unwrap_or_default();
                Err(VotersError::Voter { problem: format!("node {} belongs to cluster {found}", id.node) })
            }
            Err(CallError::Refused(Refusal::OtherDirectory { node, found, asked })) => {
                let problem = format!("node {node} has directory {found}, not {asked}");
                Err(VotersError::Voter { problem })
            }
            Err(error) => Err(VotersError::Voter { problem: error.to_string() }),
        }
    }

    /// Moves the leadership to the voter that is furthest, so that nobody has to wait for an election timeout.
    pub(super) async fn hand_over(&self) {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let voters: BTreeSet<VoterId> = metrics.membership_config.voter_ids().collect();
        let replication = metrics.replication.unwrap_or_default();
        let others = replication.into_iter().filter(|(id, _)| *id != self.voter && voters.contains(id));
        let furthest = others.max_by_key(|(_, matching)| matching.as_ref().map(|log_id| log_id.index));
        let Some((heir, _)) = furthest.filter(|_| metrics.current_leader == Some(self.voter)) else {
            return;
        };
        if let Err(error) = self.raft.trigger().transfer_leader(heir).await {
            tracing::warn!(%error, "cannot hand the leadership over");
            return;
        }
        let moved = self.raft.wait(Some(TRANSFER_TIMEOUT));
        let voter = self.voter;
        let moved = moved.metrics(|metrics| metrics.current_leader != Some(voter), "another leader").await;
        match moved {
            Ok(_) => tracing::info!(%heir, "handed the leadership of the metadata quorum over"),
            Err(error) => tracing::warn!(%error, %heir, "the leadership of the metadata quorum did not move"),
        }
    }
}

/// A leader that died in the middle of a change left the quorum between two sets of voters, where it needs a majority of
/// both: whoever leads next completes that.
pub(super) async fn finish_change(raft: Raft, voter: VoterId) {
    loop {
        let (leads, is_joint) = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow_watched();
            let configs = metrics.membership_config.membership().get_joint_config().len();
            (metrics.current_leader == Some(voter), configs > 1)
        };
        if !leads || !is_joint {
            return;
        }
        match raft.change_membership(ChangeMembers::AddVoterIds(BTreeSet::new()), true).await {
            Ok(_) => tracing::info!("completed a change of voters that another leader had begun"),
            Err(error) => {
                tracing::warn!(%error, "a change of voters is not complete yet");
                tokio::time::sleep(FINISH_RETRY).await;
            }
        }
    }
}
