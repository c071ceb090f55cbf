//! Founding the quorum: once, by one node, when all its voters are there and free.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use types::Uuid;

use super::link::Target;
use super::message::Purpose;
use super::raft::{VoterAddress, VoterId};
use super::{MetadataQuorum, Part};

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
    #[error(
        "a quorum is founded by its voter with the lowest id, and this is node {node} with directory {directory}"
    )]
    OtherVoters {
        /// This node.
        node: i32,
        /// Its directory.
        directory: Uuid,
    },
    /// Another voter is not what it has to be.
    #[error("voter {node}: {problem}")]
    Voter {
        /// Which.
        node: i32,
        /// What is wrong with it.
        problem: String,
    },
    /// The disk or openraft failed.
    #[error("the quorum could not be founded: {0}")]
    Failed(String),
}

impl MetadataQuorum {
    /// Founds the quorum with these voters, of which this node has the lowest id. Asking again for the same changes nothing.
    pub(crate) async fn bootstrap(
        &self,
        cluster_id: &str,
        voters: &[(i32, Uuid)],
    ) -> Result<(), BootstrapError> {
        if let Some(found) = self.data_dir.cluster_id().filter(|found| found != cluster_id) {
            return Err(BootstrapError::OtherCluster { found, asked: cluster_id.to_owned() });
        }
        let directory = self.data_dir.directory_id();
        let others = || BootstrapError::OtherVoters { node: self.node, directory };
        let Part::Controller(service, address) = &self.part else { return Err(others()) };
        let lowest = voters.iter().min().copied();
        let ids: BTreeSet<i32> = voters.iter().map(|(node, _)| *node).collect();
        if lowest != Some((self.node, directory)) || ids.len() != voters.len() {
            return Err(others());
        }
        let failed = |error: &dyn std::fmt::Display| BootstrapError::Failed(error.to_string());
        if service.raft.is_initialized().await.map_err(|error| failed(&error))? {
            return Ok(());
        }
        let mut members = BTreeMap::from([(service.voter, address.clone())]);
        for (node, directory) in voters.iter().filter(|(node, _)| *node != self.node) {
            let address = self.check_voter(*node, *directory).await?;
            members.insert(VoterId { node: *node, directory: *directory }, address);
        }
        let (data_dir, noted) = (Arc::clone(&self.data_dir), cluster_id.to_owned());
        let noted = service.blocking.run(move || data_dir.set_cluster_id(&noted)).await;
        noted.map_err(|error| failed(&error))?;
        service.raft.initialize(members).await.map_err(|error| failed(&error))?;
        tracing::info!(cluster_id, voter = %service.voter, voters = voters.len(), "founded the metadata quorum");
        Ok(())
    }

    /// A voter must be there, with the directory that is asked for, and part of no cluster: one that is may have a quorum.
    async fn check_voter(&self, node: i32, directory: Uuid) -> Result<VoterAddress, BootstrapError> {
        let problem = |problem: String| BootstrapError::Voter { node, problem };
        let target = Target { node, directory: Some(directory), purpose: Purpose::Probe };
        let cluster_id = self.links.probe(target, None).await.map_err(|error| problem(error.to_string()))?;
        if let Some(found) = cluster_id {
            return Err(problem(format!("it belongs to cluster {found}: this node joins that one instead")));
        }
        self.links.address(node).cloned().ok_or_else(|| problem("its address is not known".to_owned()))
    }
}
