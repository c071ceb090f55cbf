//! A controller that hears nothing of a leader: it was not added to the quorum yet, was removed from it, or is cut off. It
//! follows the log as a node without a vote does, from any controller that answers, until a leader speaks to it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::watch;
use tokio::time::Instant;

use super::link::Links;
use super::observer::Observer;
use super::raft::Raft;
use super::state_machine::Committed;

/// A leader speaks ten times a second; elections take half a second.
const SILENCE: Duration = Duration::from_secs(1);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// When a leader last spoke to this node. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Contact(Arc<Mutex<Option<Instant>>>);

impl Contact {
    /// It does now.
    pub(super) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_recent(&self) -> bool {
        !self.until_silence().is_zero()
    }

    /// How long it will take until this is silence, if nobody speaks.
    fn until_silence(&self) -> Duration {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.map_or(Duration::ZERO, |at| SILENCE.saturating_sub(at.elapsed()))
    }

    /// Whether this node is neither the leader nor spoken to by one.
    pub(super) fn is_silent(&self, raft: &Raft) -> bool {
        raft.metrics().borrow_watched().state != ServerState::Leader && !self.is_recent()
    }
}

/// Follows the log whenever there is silence, until the node stops.
pub(super) async fn run(
    contact: Contact,
    raft: Raft,
    links: Links,
    committed: watch::Sender<Committed>,
    leader: watch::Sender<Option<i32>>,
) {
    if links.nodes().next().is_none() {
        return;
    }
    let silence = async || {
        while !contact.is_silent(&raft) {
            // Not more often than it can begin: a node that has nothing to do should sleep.
            tokio::time::sleep(contact.until_silence().max(BETWEEN_LOOKS)).await;
        }
    };
    let contact_again = async || {
        while contact.is_silent(&raft) {
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    };
    // An election that is under way at the start is none of this.
    tokio::time::sleep(SILENCE).await;
    loop {
        silence().await;
        let observer = Observer::new(links.clone(), committed.clone(), leader.clone());
        tokio::select! {
            () = observer.run() => {}
            () = contact_again() => {}
        }
        leader.send_replace(None);
    }
}
