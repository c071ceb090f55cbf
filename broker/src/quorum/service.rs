//! What a controller answers to other nodes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use openraft::async_runtime::WatchReceiver as _;
use openraft::raft::AppendEntriesResponse;
use storage::DataDir;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use types::Uuid;

use super::controller::{Submission, submit_here};
use super::description::{CaughtUp, ObserverState};
use super::facts::QuorumFacts;
use super::link::Links;
use super::log_store::LogStore;
use super::message::{CHUNK_BYTES, Entries, Purpose, Reply, Request};
use super::probe::Prober;
use super::raft::{Raft, Vote, VoterAddress, VoterId};
use super::silence::Contact;
use super::state_machine::{Committed, Snapshot, snapshot_meta};
use super::{SUBMIT_TIMEOUT, codec};
use crate::seams::{Blocking, Wall};

/// How long somebody who tails may be kept waiting.
const TAIL_WAIT_MAX: Duration = Duration::from_secs(5);
/// What a snapshot of the metadata may be.
const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;

/// An observer that asked nothing for so long is none any more.
const OBSERVER_FORGOTTEN: Duration = Duration::from_secs(300);
const OBSERVERS_MAX: usize = 2000;

/// A controller, as other nodes see it.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) voter: VoterId,
    pub(super) prober: Prober,
    pub(super) data_dir: Arc<DataDir>,
    pub(super) blocking: Blocking,
    pub(super) raft: Raft,
    pub(super) log: LogStore,
    pub(super) commands: mpsc::Sender<Submission>,
    pub(super) committed: watch::Receiver<Committed>,
    /// Up to where `log` holds what is committed.
    pub(super) applied_end: Arc<AtomicU64>,
    /// Who tails.
    pub(super) observers: Mutex<BTreeMap<i32, ObserverState>>,
    /// Which voters have caught up, and when.
    pub(super) caught_up: CaughtUp,
    pub(super) wall: Wall,
    /// For metrics.
    pub(super) facts: Arc<QuorumFacts>,
    /// Whether a leader speaks to this node.
    pub(super) contact: Contact,
    /// Held while the voters are being changed.
    pub(super) changing: tokio::sync::Mutex<()>,
    pub(super) links: Links,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    purpose: Purpose,
    node: i32,
    directory: Uuid,
    /// The snapshot that the leader sends, as far as it has come.
    incoming: Mutex<BytesMut>,
    /// The snapshot that is sent to who tails.
    outgoing: Mutex<Bytes>,
}

impl Session {
    pub(super) fn new(purpose: Purpose, node: i32, directory: Uuid) -> Session {
        Session { purpose, node, directory, incoming: Mutex::default(), outgoing: Mutex::default() }
    }
}

impl Service {
    /// Whether this node knows of a quorum that it is part of.
    pub(super) fn is_member(&self) -> bool {
        self.raft.metrics().borrow_watched().membership_config.voter_ids().next().is_some()
    }

    pub(super) async fn answer(self: &Arc<Self>, session: &Session, request: Request) -> Reply {
        let is_rafts = match request {
            Request::Append { .. }
            | Request::Vote { .. }
            | Request::PreVote { .. }
            | Request::Snapshot { .. }
            | Request::TransferLeader { .. } => true,
            Request::Submit { .. }
            | Request::Tail { .. }
            | Request::TailSnapshot { .. }
            | Request::Describe
            | Request::Observers
            | Request::AddVoter { .. }
            | Request::RemoveVoter { .. } => false,
        };
        if is_rafts != (session.purpose == Purpose::Raft) {
            return failed("this connection is for other requests");
        }
        self.carry_out(session, request).await.unwrap_or_else(|error| failed(&error))
    }

    async fn carry_out(self: &Arc<Self>, session: &Session, request: Request) -> Result<Reply, String> {
        match request {
            Request::Append { request } => {
                let reply = self.raft.append_entries(request).await.map_err(|error| error.to_string())?;
                if !matches!(reply, AppendEntriesResponse::HigherVote(_)) {
                    self.contact.note();
                }
                Ok(Reply::Append { reply })
            }
            Request::Vote { request } => {
                let reply = self.raft.vote(request).await.map_err(|error| error.to_string())?;
                Ok(Reply::Vote { reply })
            }
            Request::PreVote { request } => {
                let reply = self.raft.pre_vote(request).await.map_err(|error| error.to_string())?;
                Ok(Reply::Vote { reply })
            }
            Request::Snapshot { vote, head, total, at, chunk } => {
                self.take_snapshot(session, vote, &head, total, at, &chunk).await
            }
            Request::TransferLeader { request } => {
                let reply = self.raft.handle_transfer_leader(request).await;
                let is_accepted = reply.map_err(|error| error.to_string())?.is_ok();
                Ok(Reply::TransferLeader { is_accepted })
            }
            Request::Submit { command } => {
                let result = submit_here(&self.commands, command, SUBMIT_TIMEOUT).await;
                Ok(Reply::Submit { result })
            }
            Request::Tail { from, wait_ms } => self.tail(session, from, wait_ms).await,
            Request::AddVoter { node, directory, host, port } => {
                let (service, address) = (Arc::clone(self), VoterAddress { host, port });
                let adding = async move { service.add_voter(VoterId { node, directory }, address).await };
                Ok(Reply::Voters { result: self.to_its_end(adding).await })
            }
            Request::RemoveVoter { node, directory } => {
                let service = Arc::clone(self);
                let removing = async move { service.remove_voter(VoterId { node, directory }).await };
                Ok(Reply::Voters { result: self.to_its_end(removing).await })
            }
            Request::Describe => Ok(Reply::Description { description: self.describe().await }),
            Request::Observers => Ok(Reply::Observers { observers: self.tailing() }),
            Request::TailSnapshot { at } => {
                let snapshot = session.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
                let at = usize::try_from(at).ok().filter(|at| *at <= snapshot.len());
                let at = at.ok_or("there is no such piece of the snapshot")?;
                let chunk = snapshot.slice(at..snapshot.len().min(at + CHUNK_BYTES));
                Ok(Reply::Chunk { chunk })
            }
        }
    }

    /// Pieces come in order, each after the answer to the one before. One that is out of order starts nothing: the leader
    /// then sends all of it again.
    async fn take_snapshot(
        &self,
        session: &Session,
        vote: Vote,
        head: &[u8],
        total: u64,
        at: u64,
        chunk: &[u8],
    ) -> Result<Reply, String> {
        if total > SNAPSHOT_BYTES_MAX {
            return Err(format!("a snapshot of {total} bytes is more than a node takes"));
        }
        self.contact.note();
        let content = {
            let mut incoming = session.incoming.lock().unwrap_or_else(PoisonError::into_inner);
            if at == 0 {
                *incoming = BytesMut::new();
            }
            if incoming.len() as u64 != at || at + chunk.len() as u64 > total {
                return Err("this piece of the snapshot does not follow the one before".to_owned());
            }
            incoming.extend_from_slice(chunk);
            if (incoming.len() as u64) < total {
                return Ok(Reply::Snapshot { vote: None });
            }
            std::mem::take(&mut *incoming).freeze()
        };
        let meta = snapshot_meta(head).map_err(|error| error.to_string())?;
        let snapshot = Snapshot { meta, snapshot: content };
        let reply = self.raft.install_full_snapshot(vote, snapshot).await;
        Ok(Reply::Snapshot { vote: Some(reply.map_err(|error| error.to_string())?.vote) })
    }

    /// What was committed and applied here. Anybody may ask any controller: what is committed stays so.
    async fn tail(&self, session: &Session, from: u64, wait_ms: u32) -> Result<Reply, String> {
        self.note_observer(session, from);
        let wait = Duration::from_millis(wait_ms.into()).min(TAIL_WAIT_MAX);
        let mut committed = self.committed.clone();
        let moved = async { committed.wait_for(|committed| committed.end > from).await.map(|now| now.end) };
        let end = match tokio::time::timeout(wait, moved).await {
            Ok(Ok(end)) => end,
            Ok(Err(_)) => return Err("the controller stops".to_owned()),
            Err(_) => from,
        };
        // Who hears nothing of a leader does not know whether it is one still.
        let is_silent = self.contact.is_silent(&self.raft);
        let leader = self.raft.metrics().borrow_watched().current_leader.filter(|_| !is_silent);
        let leader = leader.map(|leader| leader.node);
        if end == from {
            return Ok(Reply::Tail { entries: Entries::default(), leader });
        }
        // What this node heard of another one while its leader was silent is not in its own log: there may be entries in its
        // place that never were committed.
        let end = end.min(self.applied_end.load(Ordering::Acquire));
        match self.log.tail(from, end).await.map_err(|error| error.to_string())? {
            Some(entries) if !entries.is_empty() => Ok(Reply::Tail { entries: Entries(entries), leader }),
            Some(_) | None => self.begin_snapshot(session),
        }
    }

    fn note_observer(&self, session: &Session, end: u64) {
        let is_caught_up = end >= self.committed.borrow().end;
        let mut observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        observers.retain(|_, state| now - state.asked < OBSERVER_FORGOTTEN);
        if observers.len() < OBSERVERS_MAX || observers.contains_key(&session.node) {
            let known = observers.get(&session.node).filter(|known| known.directory == session.directory);
            let caught_up = known.and_then(|known| known.caught_up);
            let caught_up = if is_caught_up { Some(now) } else { caught_up };
            let state = ObserverState { directory: session.directory, end, asked: now, caught_up };
            observers.insert(session.node, state);
        }
    }

    fn begin_snapshot(&self, session: &Session) -> Result<Reply, String> {
        let Committed { image, end } = self.committed.borrow().clone();
        let snapshot = codec::encode_all(&image.to_records()).map_err(|error| error.to_string())?;
        let total = snapshot.len() as u64;
        *session.outgoing.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
        Ok(Reply::TailSnapshot { end, total })
    }
}

fn failed(error: &str) -> Reply {
    Reply::Failed { error: error.to_owned() }
}
