//! A node that has no vote: it takes what is committed from any controller, a snapshot first, and keeps it in memory.

use std::time::Duration;

use bytes::BytesMut;
use metadata::Image;
use openraft::EntryPayload;
use tokio::sync::watch;

use super::codec;
use super::link::{CallError, Links, Target};
use super::message::{Entries, Purpose, Reply, Request};
use super::raft::Proposal;
use super::state_machine::{Committed, publish};

/// How long a controller is asked to wait for news.
const WAIT_MS: u32 = 500;
/// For the answer to that, and for a piece of a snapshot.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Before the next controller is asked, when one has failed.
const RETRY: Duration = Duration::from_millis(50);

/// Follows the log until the node stops.
#[derive(Debug)]
pub(super) struct Observer {
    links: Links,
    image: Image,
    end: u64,
    committed: watch::Sender<Committed>,
    leader: watch::Sender<Option<i32>>,
}

/// Whether a controller is worth asking again.
enum News {
    /// It is part of a quorum.
    Current,
    /// It knows of no leader.
    Lonely,
}

impl Observer {
    /// From where the node is.
    pub(super) fn new(
        links: Links,
        committed: watch::Sender<Committed>,
        leader: watch::Sender<Option<i32>>,
    ) -> Observer {
        let Committed { image, end } = committed.borrow().clone();
        Observer { links, image: (*image).clone(), end, committed, leader }
    }

    /// Asks one controller until it fails or is alone, then the next. Most nodes that the configuration names may be no
    /// controllers: those that have answered come first, the others when none of them does.
    pub(super) async fn run(mut self) {
        let named: Vec<i32> = self.links.nodes().collect();
        if named.is_empty() {
            tracing::error!("no controller is known: name them as peers in broker.yaml");
        }
        let mut known = named.clone();
        loop {
            let mut answered = Vec::new();
            for node in &known {
                if self.follow(*node).await {
                    answered.push(*node);
                }
                tokio::time::sleep(RETRY).await;
            }
            known = match (answered.is_empty(), known.len() == named.len()) {
                (true, _) => named.clone(),
                (false, true) => answered,
                // One that is down now will be up again.
                (false, false) => known,
            };
            if named.is_empty() {
                return;
            }
        }
    }

    /// Whether that node gave any answer before it failed.
    async fn follow(&mut self, node: i32) -> bool {
        let target = Target { node, directory: None, purpose: Purpose::Client };
        let mut has_answered = false;
        loop {
            match self.step(target).await {
                Ok(News::Current) => has_answered = true,
                Ok(News::Lonely) => return true,
                Err(error) => {
                    tracing::debug!(node, %error, "cannot follow the metadata at a controller");
                    return has_answered;
                }
            }
        }
    }

    async fn step(&mut self, target: Target) -> Result<News, CallError> {
        let request = Request::Tail { from: self.end, wait_ms: WAIT_MS };
        match self.links.call(target, None, &request, TIMEOUT).await? {
            Reply::Tail { entries, leader } => {
                self.apply(entries)?;
                self.note_leader(leader);
                Ok(if leader.is_some() { News::Current } else { News::Lonely })
            }
            Reply::TailSnapshot { end, total } => {
                self.take_snapshot(target, end, total).await?;
                Ok(News::Current)
            }
            Reply::Failed { error } => Err(CallError::Senseless(error)),
            other => Err(CallError::Senseless(format!("{other:?}"))),
        }
    }

    /// Never goes back, and leaves nothing out, whichever controller answers.
    fn apply(&mut self, Entries(entries): Entries) -> Result<(), CallError> {
        let mut image = self.image.clone();
        let mut end = self.end;
        for entry in entries {
            if entry.log_id.index != end {
                let index = entry.log_id.index;
                return Err(CallError::Senseless(format!("entry {index} came where {end} was asked for")));
            }
            end += 1;
            match entry.payload {
                EntryPayload::Normal(Proposal(records)) => {
                    records.iter().for_each(|record| image.apply(record));
                }
                EntryPayload::Blank | EntryPayload::Membership(_) => {}
            }
        }
        if end > self.end {
            (self.image, self.end) = (image, end);
            self.publish();
        }
        Ok(())
    }

    async fn take_snapshot(&mut self, target: Target, end: u64, total: u64) -> Result<(), CallError> {
        if end <= self.end {
            return Err(CallError::Senseless(format!("a snapshot up to {end} is behind {}", self.end)));
        }
        let mut content = BytesMut::new();
        while (content.len() as u64) < total {
            let request = Request::TailSnapshot { at: content.len() as u64 };
            match self.links.call(target, None, &request, TIMEOUT).await? {
                Reply::Chunk { chunk } if !chunk.is_empty() => content.extend_from_slice(&chunk),
                other => return Err(CallError::Senseless(format!("{other:?}"))),
            }
        }
        let records = codec::decode_all(content.freeze());
        let records = records.map_err(|error| CallError::Senseless(error.to_string()))?;
        let mut image = Image::default();
        records.iter().for_each(|record| image.apply(record));
        (self.image, self.end) = (image, end);
        self.publish();
        Ok(())
    }

    fn publish(&self) {
        publish(&self.committed, Committed { image: self.image.clone().into(), end: self.end });
    }

    fn note_leader(&self, leader: Option<i32>) {
        self.leader.send_if_modified(|known| {
            let is_new = *known != leader;
            *known = leader;
            is_new
        });
    }
}
