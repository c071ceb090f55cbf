//! openraft's view of the other voters.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend};

use super::link::{CallError, Links, Target};
use super::message::{CHUNK_BYTES, Purpose, Reply, Request};
use super::raft::{Quorum, Vote, VoterAddress, VoterId};
use super::state_machine::{Snapshot, snapshot_head};

/// For entries: the other voter syncs its disk before it answers.
const APPEND_TIMEOUT: Duration = Duration::from_secs(1);
/// For one piece of a snapshot; the last one is installed before the answer.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes connections to voters.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) links: Links,
}

/// Another voter.
#[derive(Debug)]
pub(super) struct Peer {
    links: Links,
    target: Target,
    address: VoterAddress,
    /// The furthest entry that it has acknowledged.
    acknowledged: Option<u64>,
}

impl RaftNetworkFactory<Quorum> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: VoterId, address: &VoterAddress) -> Peer {
        let target = Target { node: target.node, directory: Some(target.directory), purpose: Purpose::Raft };
        Peer { links: self.links.clone(), target, address: address.clone(), acknowledged: None }
    }
}

impl Peer {
    async fn call(&self, request: &Request, timeout: Duration) -> Result<Reply, RPCError<Quorum>> {
        let reply = self.links.call(self.target, Some(&self.address), request, timeout).await;
        match reply {
            Ok(Reply::Failed { error }) => Err(network_error(&CallError::Senseless(error))),
            Ok(reply) => Ok(reply),
            Err(error @ (CallError::Lost | CallError::Busy)) => Err(network_error(&error)),
            // openraft waits a little before it tries again.
            Err(error) => Err(RPCError::Unreachable(Unreachable::new(&AnyError::error(error)))),
        }
    }
}

impl Peer {
    /// A voter that does not have what it acknowledged got an old disk back. openraft fills it again; but it has also
    /// forgotten whom it voted for, which nobody can give back.
    fn note_progress(
        &mut self,
        reply: &AppendEntriesResponse<Quorum>,
        before: Option<u64>,
        last: Option<u64>,
    ) {
        match reply {
            AppendEntriesResponse::Success => self.acknowledged = self.acknowledged.max(last),
            AppendEntriesResponse::Conflict if before.is_some() && before <= self.acknowledged => {
                self.acknowledged = None;
                tracing::error!(
                    node = self.target.node,
                    "a voter lost metadata that it had acknowledged: an old copy of its disk was put back. It is filled \
                     again. Never restore a voter's disk: wipe it, then remove the old voter and add the new one \
                     (taffrail quorum)"
                );
            }
            AppendEntriesResponse::PartialSuccess(_)
            | AppendEntriesResponse::Conflict
            | AppendEntriesResponse::HigherVote(_) => {}
        }
    }
}

fn network_error(error: &CallError) -> RPCError<Quorum> {
    RPCError::Network(NetworkError::new(&AnyError::error(error)))
}

/// An answer to something else.
fn senseless(reply: &Reply) -> RPCError<Quorum> {
    network_error(&CallError::Senseless(format!("{reply:?}")))
}

impl RaftNetworkV2<Quorum> for Peer {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Quorum>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Quorum>, RPCError<Quorum>> {
        let timeout = if request.entries.is_empty() { option.hard_ttl() } else { APPEND_TIMEOUT };
        let before = request.prev_log_id.as_ref().map(|log_id| log_id.index);
        let last = request.entries.last().map(|entry| entry.log_id.index).or(before);
        match self.call(&Request::Append { request }, timeout).await? {
            Reply::Append { reply } => {
                self.note_progress(&reply, before, last);
                Ok(reply)
            }
            other => Err(senseless(&other)),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Quorum>,
        option: RPCOption,
    ) -> Result<VoteResponse<Quorum>, RPCError<Quorum>> {
        match self.call(&Request::Vote { request }, option.hard_ttl()).await? {
            Reply::Vote { reply } => Ok(reply),
            other => Err(senseless(&other)),
        }
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Quorum>,
        option: RPCOption,
    ) -> Result<VoteResponse<Quorum>, RPCError<Quorum>> {
        match self.call(&Request::PreVote { request }, option.hard_ttl()).await? {
            Reply::Vote { reply } => Ok(reply),
            other => Err(senseless(&other)),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Quorum>, StreamingError<Quorum>> {
        tokio::select! {
            sent = self.send_snapshot(vote, snapshot) => sent.map_err(StreamingError::from),
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Quorum>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Quorum>, RPCError<Quorum>> {
        match self.call(&Request::TransferLeader { request }, option.hard_ttl()).await? {
            Reply::TransferLeader { is_accepted: true } => Ok(Ok(())),
            other => Err(senseless(&other)),
        }
    }
}

impl Peer {
    /// Piece by piece, each answered before the next: a broken connection costs the whole, a slow disk nothing.
    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
    ) -> Result<SnapshotResponse<Quorum>, RPCError<Quorum>> {
        let head = snapshot_head(&snapshot.meta)
            .map_err(|error| network_error(&CallError::Senseless(error.to_string())))?;
        let content = snapshot.snapshot;
        let mut at = 0;
        loop {
            let chunk = content.slice(at..content.len().min(at + CHUNK_BYTES));
            let next = at + chunk.len();
            let request = Request::Snapshot {
                vote,
                head: head.clone(),
                total: content.len() as u64,
                at: at as u64,
                chunk,
            };
            match self.call(&request, CHUNK_TIMEOUT).await? {
                Reply::Snapshot { vote: Some(vote) } => return Ok(SnapshotResponse::new(vote)),
                Reply::Snapshot { vote: None } if next < content.len() => at = next,
                other => return Err(senseless(&other)),
            }
        }
    }
}
