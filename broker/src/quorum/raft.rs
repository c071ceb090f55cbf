//! The types that openraft is parameterized with.

use std::fmt;

use metadata::MetadataRecord;
use openraft::impls::leader_id_std;
use serde::{Deserialize, Serialize};
use types::Uuid;

openraft::declare_raft_types!(
    /// The metadata quorum.
    pub(super) Quorum:
        D = Proposal,
        R = (),
        NodeId = VoterId,
        Node = VoterAddress,
        Term = u64,
        LeaderId = leader_id_std::LeaderId<u64, VoterId>,
        AsyncRuntime = super::runtime::QuorumRuntime,
);

pub(super) type Raft = openraft::Raft<Quorum, super::state_machine::StateMachine>;
pub(super) type CommittedLeaderId = openraft::vote::leader_id_std::CommittedLeaderId<u64>;
pub(super) type LogId = openraft::LogId<CommittedLeaderId>;
pub(super) type Vote = openraft::impls::Vote<leader_id_std::LeaderId<u64, VoterId>>;
pub(super) type Payload = openraft::EntryPayload<Proposal, VoterId, VoterAddress>;
pub(super) type Entry = openraft::Entry<CommittedLeaderId, Payload>;
pub(super) type Membership = openraft::Membership<VoterId, VoterAddress>;
pub(super) type StoredMembership = openraft::StoredMembership<CommittedLeaderId, VoterId, VoterAddress>;
pub(super) type SnapshotMeta = openraft::storage::SnapshotMeta<CommittedLeaderId, VoterId, VoterAddress>;

/// A voter is a node with one directory: a node whose disk was wiped is another voter and has no old votes to forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct VoterId {
    pub(super) node: i32,
    pub(super) directory: Uuid,
}

/// Where a voter's controller is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VoterAddress {
    pub(super) host: String,
    pub(super) port: u16,
}

/// What an entry of the log carries: records that are committed together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Proposal(pub(super) Vec<MetadataRecord>);

impl fmt::Display for VoterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.directory)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records", self.0.len())
    }
}
