//! Talking to other voters. There are none yet: a quorum has one voter, and a target that is named nevertheless is
//! unreachable, which openraft takes as such.

use std::future::Future;

use bytes::Bytes;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend};

use super::raft::{Quorum, Vote, VoterAddress, VoterId};
use super::state_machine::Snapshot;

/// Makes connections to voters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network;

/// A voter that cannot be reached.
#[derive(Debug)]
pub(super) struct Unconnected {
    target: VoterId,
}

impl RaftNetworkFactory<Quorum> for Network {
    type Network = Unconnected;

    async fn new_client(&mut self, target: VoterId, _address: &VoterAddress) -> Unconnected {
        Unconnected { target }
    }
}

impl Unconnected {
    fn unreachable(&self) -> Unreachable<Quorum> {
        let target = self.target;
        Unreachable::new(&AnyError::error(format!("voter {target}: this release has quorums of one voter")))
    }
}

impl RaftNetworkV2<Quorum> for Unconnected {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<Quorum>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Quorum>, RPCError<Quorum>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<Quorum>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Quorum>, RPCError<Quorum>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn pre_vote(
        &mut self,
        _request: VoteRequest<Quorum>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Quorum>, RPCError<Quorum>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Quorum>, StreamingError<Quorum>> {
        Err(StreamingError::Unreachable(self.unreachable()))
    }
}
