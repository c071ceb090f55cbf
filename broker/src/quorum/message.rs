//! What nodes say to each other on the controller's port. A connection starts with a [`Hello`] and its answer; then come
//! requests, each with a number that its answer carries, in any order. The frames are Kafka's: a length, then so many bytes.

use bytes::{Bytes, BytesMut};
use metadata::{Command, Response};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, VoteRequest,
    VoteResponse,
};
use record::Batches;
use types::{Timestamp, Uuid};

use super::SubmitError;
use super::description::{QuorumDescription, ReplicaDescription};
use super::entry;
use super::raft::{CommittedLeaderId, Entry, LogId, Quorum, Vote, VoterId};
use super::voters::VotersError;
use super::wire::{Decoder, Encoder, Wire, WireError, wire_enum, wire_struct};

/// What opens a connection: something that no other protocol starts with.
pub(super) const MAGIC: u32 = 0x5441_4646;
/// The version of everything in here.
pub(super) const VERSION: i8 = 1;
/// No message is longer: one entry of the log, or a request for one.
pub(super) const FRAME_BYTES_MAX: usize = 16 << 20;
/// A piece of a snapshot.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// Who calls whom, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) magic: u32,
    pub(super) version: i8,
    pub(super) purpose: Purpose,
    /// Absent while the caller belongs to no cluster.
    pub(super) cluster_id: Option<String>,
    pub(super) node: i32,
    pub(super) directory: Uuid,
    pub(super) target: i32,
    /// The directory that the caller takes the other node to have.
    pub(super) target_directory: Option<Uuid>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// One voter speaks to another.
    Raft,
    /// A node reads metadata or wants it changed.
    Client,
    /// Somebody is about to found a cluster and asks who is there.
    Probe,
}

/// The answer to a [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Welcome {
    Accepted { cluster_id: Option<String>, directory: Uuid },
    Refused(Refusal),
}

/// Why a node does not talk to another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("node {node} speaks version {found} of the controllers' protocol, this node version {asked}")]
    Version { node: i32, found: i8, asked: i8 },
    #[error("this address is that of node {found}, not of node {asked}: look at peers in broker.yaml")]
    OtherNode { found: i32, asked: i32 },
    #[error(
        "node {node} has directory {found}, not {asked}: its disk was replaced or wiped. It is another voter now: remove \
         the old one and add the new one"
    )]
    OtherDirectory { node: i32, found: Uuid, asked: Uuid },
    #[error(
        "node {node} belongs to cluster {found}, not to {asked}: look at its disk and its peers in broker.yaml"
    )]
    OtherCluster { node: i32, found: String, asked: String },
    #[error("node {node} belongs to no cluster yet")]
    Unformatted { node: i32 },
    #[error("node {node} cannot note the cluster: {error}")]
    Disk { node: i32, error: String },
}

/// What is asked. The answer of the same name belongs to it.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Append {
        request: AppendEntriesRequest<Quorum>,
    },
    Vote {
        request: VoteRequest<Quorum>,
    },
    PreVote {
        request: VoteRequest<Quorum>,
    },
    /// A piece of a snapshot, in order; the last one installs it.
    Snapshot {
        vote: Vote,
        head: Bytes,
        total: u64,
        at: u64,
        chunk: Bytes,
    },
    TransferLeader {
        request: TransferLeaderRequest<Quorum>,
    },
    /// Carry this out, if you are the active controller.
    Submit {
        command: Command,
    },
    /// What was committed from this index on? Wait so long for something.
    Tail {
        from: u64,
        wait_ms: u32,
    },
    /// What do you, as the leader, know of the quorum?
    Describe,
    /// Who tails you?
    Observers,
    /// Give this node a vote, if you are the leader.
    AddVoter {
        node: i32,
        directory: Uuid,
        host: String,
        port: u16,
    },
    /// Take its vote away.
    RemoveVoter {
        node: i32,
        directory: Uuid,
    },
    /// The next piece of the snapshot that [`Reply::Snapshot`] announced.
    TailSnapshot {
        at: u64,
    },
}

/// What is answered.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Append {
        reply: AppendEntriesResponse<Quorum>,
    },
    Vote {
        reply: VoteResponse<Quorum>,
    },
    /// Absent until the last piece.
    Snapshot {
        vote: Option<Vote>,
    },
    TransferLeader {
        is_accepted: bool,
    },
    Submit {
        result: Result<(Response, u64), SubmitError>,
    },
    /// Entries from the index on that was asked for, and who leads.
    Tail {
        entries: Entries,
        leader: Option<i32>,
    },
    /// What was asked for is not in the log any more: take the state up to `end`.
    TailSnapshot {
        end: u64,
        total: u64,
    },
    Chunk {
        chunk: Bytes,
    },
    /// Absent from a node that does not lead.
    Description {
        description: Option<QuorumDescription>,
    },
    Observers {
        observers: Vec<ReplicaDescription>,
    },
    /// To a change of the voters.
    Voters {
        result: Result<(), VotersError>,
    },
    /// It could not be done.
    Failed {
        error: String,
    },
}

/// Entries as the log has them: one batch each.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries(pub(super) Vec<Entry>);

wire_struct!(Hello { magic, version, purpose, cluster_id, node, directory, target, target_directory });
wire_enum!(Purpose { 1 = Raft, 2 = Client, 3 = Probe });
wire_enum!(Welcome { 1 = Accepted { cluster_id, directory }, 2 = Refused(refusal) });
wire_enum!(Refusal {
    1 = Version { node, found, asked },
    2 = OtherNode { found, asked },
    3 = OtherDirectory { node, found, asked },
    4 = OtherCluster { node, found, asked },
    5 = Unformatted { node },
    6 = Disk { node, error },
});
wire_enum!(Request {
    1 = Append { request },
    2 = Vote { request },
    3 = PreVote { request },
    4 = Snapshot { vote, head, total, at, chunk },
    5 = TransferLeader { request },
    6 = Submit { command },
    7 = Tail { from, wait_ms },
    8 = TailSnapshot { at },
    9 = Describe,
    10 = AddVoter { node, directory, host, port },
    11 = RemoveVoter { node, directory },
    12 = Observers,
});
wire_enum!(Reply {
    1 = Append { reply },
    2 = Vote { reply },
    3 = Snapshot { vote },
    4 = TransferLeader { is_accepted },
    5 = Submit { result },
    6 = Tail { entries, leader },
    7 = TailSnapshot { end, total },
    8 = Chunk { chunk },
    9 = Failed { error },
    10 = Description { description },
    11 = Voters { result },
    12 = Observers { observers },
});
wire_struct!(VoterId { node, directory });
wire_struct!(VoteRequest<Quorum> { vote, last_log_id, leadership_transfer });
wire_struct!(VoteResponse<Quorum> { vote, vote_granted, last_log_id });
wire_struct!(SnapshotResponse<Quorum> { vote });

impl Wire for LogId {
    fn put(&self, to: &mut Encoder) {
        self.leader_id.term.put(to);
        self.index.put(to);
    }
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        Ok(LogId { leader_id: CommittedLeaderId::new(Wire::get(from)?), index: Wire::get(from)? })
    }
}

impl Wire for Vote {
    fn put(&self, to: &mut Encoder) {
        self.leader_id.term.put(to);
        self.leader_id.voted_for.put(to);
        self.committed.put(to);
    }
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        let (term, voter): (u64, VoterId) = Wire::get(from)?;
        Ok(match bool::get(from)? {
            true => Vote::new_committed(term, voter),
            false => Vote::new(term, voter),
        })
    }
}

/// An entry that has no form would not have been proposed, nor have come into the log.
fn put_entries(entries: &[Entry], to: &mut Encoder) {
    let mut bytes = BytesMut::new();
    for entry in entries {
        bytes.extend_from_slice(&entry::encode(entry, Timestamp(0)).expect("what the log holds has a form"));
    }
    to.byte_string(&bytes.freeze());
}

impl Wire for Entries {
    fn put(&self, to: &mut Encoder) {
        put_entries(&self.0, to);
    }
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        let entry = |batch: Result<record::Batch, _>| {
            entry::decode(&batch.map_err(|error| WireError::Entry(std::io::Error::other(error)))?)
                .map_err(WireError::Entry)
        };
        Batches::new(from.byte_string()?).map(entry).collect::<Result<Vec<_>, _>>().map(Entries)
    }
}

impl Wire for AppendEntriesRequest<Quorum> {
    fn put(&self, to: &mut Encoder) {
        self.vote.put(to);
        self.prev_log_id.put(to);
        self.leader_commit.put(to);
        put_entries(&self.entries, to);
    }
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        Ok(AppendEntriesRequest {
            vote: Wire::get(from)?,
            prev_log_id: Wire::get(from)?,
            leader_commit: Wire::get(from)?,
            entries: Entries::get(from)?.0,
        })
    }
}

impl Wire for AppendEntriesResponse<Quorum> {
    fn put(&self, to: &mut Encoder) {
        match self {
            AppendEntriesResponse::Success => to.int8(1),
            AppendEntriesResponse::PartialSuccess(last) => {
                to.int8(2);
                last.put(to);
            }
            AppendEntriesResponse::Conflict => to.int8(3),
            AppendEntriesResponse::HigherVote(vote) => {
                to.int8(4);
                vote.put(to);
            }
        }
    }
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        match from.int8()? {
            1 => Ok(AppendEntriesResponse::Success),
            2 => Ok(AppendEntriesResponse::PartialSuccess(Wire::get(from)?)),
            3 => Ok(AppendEntriesResponse::Conflict),
            4 => Ok(AppendEntriesResponse::HigherVote(Wire::get(from)?)),
            tag => Err(WireError::UnknownTag { kind: "answer to append", tag: tag.into() }),
        }
    }
}

impl Wire for TransferLeaderRequest<Quorum> {
    fn put(&self, to: &mut Encoder) {
        self.from_leader().put(to);
        self.to_node_id().put(to);
        self.last_log_id().copied().put(to);
    }
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        Ok(TransferLeaderRequest::new(Wire::get(from)?, Wire::get(from)?, Wire::get(from)?))
    }
}
