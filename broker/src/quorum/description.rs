//! The quorum as its leader sees it: who votes, who only follows, and how far each of them is.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use openraft::async_runtime::{Instant as _, WatchReceiver as _};
use tokio::sync::watch;
use tokio::time::Instant;
use types::Uuid;

use super::handle::FIND_CONTROLLER;
use super::link::Target;
use super::message::{Purpose, Reply, Request};
use super::raft::{Raft, VoterAddress, VoterId};
use super::service::{Service, Session};
use super::voters::VotersError;
use super::wire::{Wire, wire_struct};
use super::{MetadataQuorum, Part, SUBMIT_TIMEOUT, SubmitError};
use crate::seams::Wall;

/// How often a leader notes which voters have caught up.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);
/// For the other voters' part of a description. One that is down is no reason to wait.
const OBSERVERS_TIMEOUT: Duration = Duration::from_millis(300);
/// Who has asked nothing for so long is not shown.
const OBSERVER_SHOWN: Duration = Duration::from_secs(60);
/// What Kafka says where it does not know.
const UNKNOWN_MS: i64 = -1;

/// The quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QuorumDescription {
    /// The leader's node.
    pub(crate) leader: i32,
    /// The term.
    pub(crate) leader_epoch: i32,
    /// The end of what is committed.
    pub(crate) high_watermark: u64,
    /// Who votes; in the middle of a change also who will and who did.
    pub(crate) voters: Vec<ReplicaDescription>,
    /// Who follows without a vote.
    pub(crate) observers: Vec<ReplicaDescription>,
    /// Where the voters are.
    pub(crate) addresses: Vec<(i32, String, u16)>,
    /// Whether a change of the voters is not complete.
    pub(crate) is_changing: bool,
}

/// A follower of the log, or its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplicaDescription {
    /// Its node.
    pub(crate) node: i32,
    /// Its directory.
    pub(crate) directory: Uuid,
    /// The end of its log.
    pub(crate) log_end: u64,
    /// When it was last heard of, on the leader's clock; -1 if it was not.
    pub(crate) last_fetch_ms: i64,
    /// When it last had all that the leader had.
    pub(crate) last_caught_up_ms: i64,
}

wire_struct!(QuorumDescription {
    leader,
    leader_epoch,
    high_watermark,
    voters,
    observers,
    addresses,
    is_changing
});
wire_struct!(ReplicaDescription { node, directory, log_end, last_fetch_ms, last_caught_up_ms });

impl Wire for (i32, String, u16) {
    fn put(&self, to: &mut protocol::Encoder) {
        self.0.put(to);
        self.1.put(to);
        self.2.put(to);
    }
    fn get(from: &mut protocol::Decoder) -> Result<Self, super::wire::WireError> {
        Ok((Wire::get(from)?, Wire::get(from)?, Wire::get(from)?))
    }
}

/// Who tails the log, and since when it has had all of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ObserverState {
    pub(super) directory: Uuid,
    pub(super) end: u64,
    pub(super) asked: Instant,
    pub(super) caught_up: Option<Instant>,
}

/// When each voter last had all that the leader had.
pub(super) type CaughtUp = watch::Sender<BTreeMap<VoterId, Instant>>;

/// Notes it as long as the node runs and leads. What a follower had at one sample is compared with what the leader had at
/// the one before: the leader of a busy quorum is always a little ahead.
pub(super) async fn sample(raft: Raft, caught_up: CaughtUp) {
    let mut end_before = None;
    loop {
        tokio::time::sleep(SAMPLE_INTERVAL).await;
        let metrics = raft.metrics().borrow_watched().clone();
        let Some(replication) = metrics.replication else {
            caught_up.send_replace(BTreeMap::new());
            end_before = None;
            continue;
        };
        let now = Instant::now();
        caught_up.send_modify(|known| {
            known.retain(|voter, _| replication.contains_key(voter));
            for (voter, matching) in &replication {
                let matching = matching.as_ref().map(|log_id| log_id.index);
                if end_before.is_some_and(|end| matching >= end) {
                    known.insert(*voter, now);
                }
            }
        });
        end_before = Some(metrics.last_log_index);
    }
}

impl Service {
    /// What the leader knows, and who tails the other voters; nothing if this node is not the leader.
    pub(super) async fn describe(&self) -> Option<QuorumDescription> {
        let mut description = self.describe_here()?;
        let addresses = description.addresses.clone();
        let others = addresses.iter().filter(|(node, ..)| *node != self.voter.node);
        let asked = others.map(async |(node, host, port)| {
            let target = Target { node: *node, directory: None, purpose: Purpose::Client };
            let address = VoterAddress { host: host.clone(), port: *port };
            self.links.call(target, Some(&address), &Request::Observers, OBSERVERS_TIMEOUT).await
        });
        for reply in futures::future::join_all(asked).await {
            if let Ok(Reply::Observers { observers }) = reply {
                description.observe(observers);
            }
        }
        Some(description)
    }

    fn describe_here(&self) -> Option<QuorumDescription> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let replication = metrics.replication.filter(|_| metrics.current_leader == Some(self.voter))?;
        let heard = metrics.heartbeat.unwrap_or_default();
        let now = Now { wall: self.wall, at: Instant::now() };
        let log_end = metrics.last_log_index.map_or(0, |index| index + 1);
        let caught_up = self.caught_up.borrow().clone();
        let replica = |id: &VoterId| {
            if *id == self.voter {
                let (node, directory, ms) = (id.node, id.directory, now.ms(now.at));
                return ReplicaDescription {
                    node,
                    directory,
                    log_end,
                    last_fetch_ms: ms,
                    last_caught_up_ms: ms,
                };
            }
            let matching = replication.get(id).and_then(Option::as_ref);
            let end = matching.map_or(0, |log_id| log_id.index + 1);
            let last_heard = heard.get(id).and_then(|at| at.as_ref()).map(|at| now.ms_ago(at.elapsed()));
            let sampled = caught_up.get(id).map(|at| now.ms(*at));
            ReplicaDescription {
                node: id.node,
                directory: id.directory,
                log_end: end,
                last_fetch_ms: last_heard.unwrap_or(UNKNOWN_MS),
                last_caught_up_ms: last_heard.filter(|_| end >= log_end).or(sampled).unwrap_or(UNKNOWN_MS),
            }
        };
        let membership = metrics.membership_config.membership();
        let voters: Vec<_> = membership.voter_ids().collect();
        let learners: Vec<_> = membership.learner_ids().collect();
        let address =
            |(id, address): (&VoterId, &VoterAddress)| (id.node, address.host.clone(), address.port);
        let mut description = QuorumDescription {
            leader: self.voter.node,
            leader_epoch: i32::try_from(metrics.current_term).unwrap_or(i32::MAX),
            high_watermark: self.committed.borrow().end,
            voters: voters.iter().map(replica).collect(),
            observers: learners.iter().map(replica).collect(),
            addresses: membership.nodes().map(address).collect(),
            is_changing: membership.get_joint_config().len() > 1,
        };
        description.observe(self.tailing());
        Some(description)
    }

    /// Who tails this node.
    pub(super) fn tailing(&self) -> Vec<ReplicaDescription> {
        let now = Now { wall: self.wall, at: Instant::now() };
        let observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = observers.iter().filter(|(_, state)| now.at - state.asked < OBSERVER_SHOWN);
        let described = recent.map(|(node, state)| ReplicaDescription {
            node: *node,
            directory: state.directory,
            log_end: state.end,
            last_fetch_ms: now.ms(state.asked),
            last_caught_up_ms: state.caught_up.map_or(UNKNOWN_MS, |at| now.ms(at)),
        });
        described.collect()
    }
}

impl QuorumDescription {
    /// Takes in who tails some voter. Who tails one after the other was last at the one that heard of it last; whom
    /// openraft's own replication reaches is described by that.
    fn observe(&mut self, observers: Vec<ReplicaDescription>) {
        let is_same =
            |a: &ReplicaDescription, b: &ReplicaDescription| (a.node, a.directory) == (b.node, b.directory);
        for one in observers {
            if self.voters.iter().any(|voter| is_same(voter, &one)) {
                continue;
            }
            match self.observers.iter_mut().find(|known| is_same(known, &one)) {
                Some(known) if known.last_fetch_ms < one.last_fetch_ms => *known = one,
                Some(_) => {}
                None => self.observers.push(one),
            }
        }
        self.observers.sort_by_key(|replica| (replica.node, replica.directory));
    }
}

/// One moment on both clocks.
#[derive(Clone, Copy)]
struct Now {
    wall: Wall,
    at: Instant,
}

impl Now {
    fn ms(&self, at: Instant) -> i64 {
        self.ms_ago(self.at.saturating_duration_since(at))
    }

    fn ms_ago(&self, ago: Duration) -> i64 {
        self.wall.now().wall.0.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))
    }
}

impl MetadataQuorum {
    /// The quorum as its leader describes it, wherever that is.
    pub(crate) async fn describe(&self) -> Result<QuorumDescription, SubmitError> {
        match self.ask_leader(&Request::Describe).await? {
            Reply::Description { description: Some(description) } => Ok(description),
            _ => Err(SubmitError::NoController),
        }
    }

    /// Has the leader carry out a request that may be repeated, wherever the leader is.
    pub(super) async fn ask_leader(&self, request: &Request) -> Result<Reply, SubmitError> {
        let deadline = Instant::now() + SUBMIT_TIMEOUT;
        loop {
            match self.ask_leader_once(request).await {
                Err(SubmitError::NoController) if self.handle.may_come() && Instant::now() < deadline => {
                    tokio::time::sleep(FIND_CONTROLLER).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn ask_leader_once(&self, request: &Request) -> Result<Reply, SubmitError> {
        let leader = self.handle.leader().ok_or(SubmitError::NoController)?;
        let reply = match self.service().filter(|_| leader == self.node) {
            Some(service) => {
                let session = Session::new(Purpose::Client, self.node, self.data_dir.directory_id());
                service.answer(&session, request.clone()).await
            }
            None => self.handle.call(leader, request).await?,
        };
        match reply {
            Reply::Description { description: None }
            | Reply::Voters { result: Err(VotersError::NotLeader) } => Err(SubmitError::NoController),
            Reply::Failed { error } => {
                tracing::warn!(%error, "the leader of the metadata quorum did not do what it was asked");
                Err(SubmitError::Unknown)
            }
            reply => Ok(reply),
        }
    }

    /// The quorum as far as this node can tell without asking others: whom it leads, and who tails it.
    pub(crate) fn describe_own_part(&self) -> (Option<QuorumDescription>, Vec<ReplicaDescription>) {
        match self.service() {
            Some(service) => (service.describe_here(), service.tailing()),
            None => (None, Vec::new()),
        }
    }

    /// This node's own part in the quorum, if it may have one.
    pub(super) fn service(&self) -> Option<&Arc<Service>> {
        match &self.part {
            Part::Controller(service, _) => Some(service),
            Part::Observer(..) => None,
        }
    }
}
