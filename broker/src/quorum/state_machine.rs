//! What the committed log led to: the image that everybody reads. It lives in memory and is rebuilt after a restart from
//! the last snapshot and the log behind it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use metadata::Image;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use serde::{Deserialize, Serialize};
use storage::DataDir;
use tokio::sync::watch;

use super::codec;
use super::entry::StoredVoters;
use super::raft::{CommittedLeaderId, LogId, Proposal, Quorum, SnapshotMeta, StoredMembership};
use crate::seams::Blocking;

const SNAPSHOT: &str = "quorum-snapshot";

pub(super) type Snapshot =
    openraft::storage::Snapshot<CommittedLeaderId, super::raft::VoterId, super::raft::VoterAddress, Bytes>;

/// The image after some entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Committed {
    /// The cluster's metadata.
    pub(crate) image: Arc<Image>,
    /// How many entries led to it: the index after the last one.
    pub(crate) end: u64,
}

/// The applied index never goes backwards, whoever it comes from: what is committed is so everywhere.
pub(super) fn publish(to: &watch::Sender<Committed>, committed: Committed) {
    to.send_if_modified(|known| {
        let is_news = committed.end >= known.end;
        if is_news {
            *known = committed;
        }
        is_news
    });
}

/// Applies committed entries.
#[derive(Clone, Debug)]
pub(super) struct StateMachine {
    data_dir: Arc<DataDir>,
    blocking: Blocking,
    applied: Option<LogId>,
    membership: StoredMembership,
    image: Image,
    committed: watch::Sender<Committed>,
    /// The index after the last entry that was applied here. What is published may be further.
    applied_end: Arc<AtomicU64>,
    /// The end of the snapshot that is on disk. Builders are clones, and may be slower than a snapshot that comes from
    /// the leader, behind which the log is purged: the older one must not take its place.
    on_disk: Arc<Mutex<Option<LogId>>>,
}

/// What stands before the records in a snapshot file, as one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    term: u64,
    index: u64,
    membership_at: Option<(u64, u64)>,
    voters: StoredVoters,
}

impl StateMachine {
    /// Nothing applied yet: openraft brings the snapshot and the log.
    pub(super) fn new(data_dir: Arc<DataDir>, blocking: Blocking) -> StateMachine {
        StateMachine {
            data_dir,
            blocking,
            applied: None,
            membership: StoredMembership::default(),
            image: Image::default(),
            committed: watch::Sender::new(Committed::default()),
            applied_end: Arc::default(),
            on_disk: Arc::default(),
        }
    }

    /// Where the committed image is published. A node that hears nothing of the leader publishes there, too.
    pub(super) fn committed(&self) -> watch::Sender<Committed> {
        self.committed.clone()
    }

    /// Up to where the log of this node holds what is committed. Behind that it may hold what never will be: a node that
    /// hears nothing of the leader publishes what another one told it.
    pub(super) fn applied_end(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.applied_end)
    }

    fn publish(&self) {
        let end = self.applied.map_or(0, |applied| applied.index + 1);
        // Before anybody is woken who reads the log up to there.
        self.applied_end.store(end, Ordering::Release);
        publish(&self.committed, Committed { image: Arc::new(self.image.clone()), end });
    }

    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() }
    }
}

impl RaftStateMachine<Quorum> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = StateMachine;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = Result<EntryResponder<Quorum>, io::Error>> + Unpin + OptionalSend,
    {
        let mut responders = Vec::new();
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            self.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(Proposal(records)) => {
                    records.iter().for_each(|record| self.image.apply(record));
                }
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
            responders.extend(responder);
        }
        // Whoever is told that a change is committed finds it in the image.
        self.publish();
        responders.into_iter().for_each(|responder| responder.send(()));
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> StateMachine {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Bytes) -> io::Result<()> {
        let mut image = Image::default();
        let records = codec::decode_all(snapshot.clone()).map_err(io::Error::other)?;
        records.iter().for_each(|record| image.apply(record));
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.image = image;
        self.write(meta.clone(), snapshot).await?;
        self.publish();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let data_dir = Arc::clone(&self.data_dir);
        let Some(content) = self.blocking.run(move || data_dir.read_state(SNAPSHOT)).await? else {
            return Ok(None);
        };
        let line = content.iter().position(|byte| *byte == b'\n').unwrap_or(content.len());
        let head: Head = serde_json::from_slice(&content[..line])?;
        let snapshot = content.slice((line + 1).min(content.len())..);
        Ok(Some(Snapshot { meta: head.into_meta()?, snapshot }))
    }
}

impl RaftSnapshotBuilder<Quorum> for StateMachine {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let snapshot = codec::encode_all(&self.image.to_records()).map_err(io::Error::other)?;
        self.write(self.meta(), snapshot.clone()).await?;
        Ok(Snapshot { meta: self.meta(), snapshot })
    }
}

impl StateMachine {
    /// Replaces the snapshot on disk, unless that is a later one.
    async fn write(&self, meta: SnapshotMeta, snapshot: Bytes) -> io::Result<()> {
        let Some(head) = Head::from_meta(&meta) else { return Ok(()) };
        let (data_dir, on_disk) = (Arc::clone(&self.data_dir), Arc::clone(&self.on_disk));
        self.blocking
            .run(move || {
                let mut on_disk = on_disk.lock().unwrap_or_else(PoisonError::into_inner);
                if *on_disk > meta.last_log_id {
                    return Ok(());
                }
                let mut content = serde_json::to_vec(&head)?;
                content.push(b'\n');
                content.extend_from_slice(&snapshot);
                data_dir.write_state(SNAPSHOT, &content)?;
                *on_disk = meta.last_log_id;
                Ok(())
            })
            .await
    }
}

/// What belongs to a snapshot beside its records, for another voter.
pub(super) fn snapshot_head(meta: &SnapshotMeta) -> io::Result<Bytes> {
    match Head::from_meta(meta) {
        Some(head) => Ok(serde_json::to_vec(&head)?.into()),
        None => Err(io::Error::other("a snapshot of nothing")),
    }
}

/// The reverse of [`snapshot_head`].
pub(super) fn snapshot_meta(head: &[u8]) -> io::Result<SnapshotMeta> {
    serde_json::from_slice::<Head>(head)?.into_meta()
}

impl Head {
    fn from_meta(meta: &SnapshotMeta) -> Option<Head> {
        let place = |log_id: &LogId| (log_id.leader_id.term, log_id.index);
        let (term, index) = place(meta.last_log_id.as_ref()?);
        Some(Head {
            term,
            index,
            membership_at: meta.last_membership.log_id().as_ref().map(place),
            voters: StoredVoters::from_membership(meta.last_membership.membership()),
        })
    }

    fn into_meta(self) -> io::Result<SnapshotMeta> {
        let log_id = |(term, index)| LogId { leader_id: CommittedLeaderId::new(term), index };
        let membership = self.voters.into_membership()?;
        Ok(SnapshotMeta {
            last_log_id: Some(log_id((self.term, self.index))),
            last_membership: StoredMembership::new(self.membership_at.map(log_id), membership),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use metadata::MetadataRecord;
    use storage::fake::FakeDisk;
    use types::{TopicId, Uuid};

    use super::*;

    #[tokio::test]
    async fn a_slow_builder_does_not_replace_a_later_snapshot() {
        let data_dir = DataDir::open(Arc::new(FakeDisk::new(1)), Path::new("/data"), 0, None).unwrap();
        let mut machine = StateMachine::new(Arc::new(data_dir), Blocking::pool(1));
        let at = |index| LogId { leader_id: CommittedLeaderId::new(1), index };
        machine.applied = Some(at(5));
        let mut builder = machine.get_snapshot_builder().await;
        let meta = SnapshotMeta { last_log_id: Some(at(9)), ..SnapshotMeta::default() };
        let topic = MetadataRecord::Topic { name: "a".to_owned(), id: TopicId(Uuid::from_random([1; 16])) };
        machine.install_snapshot(&meta, codec::encode_all(&[topic]).unwrap()).await.unwrap();
        let built = builder.build_snapshot().await.unwrap();
        assert_eq!(built.meta.last_log_id, Some(at(5)));
        let current = machine.get_current_snapshot().await.unwrap().unwrap();
        assert_eq!(current.meta.last_log_id, Some(at(9)));
        assert!(machine.image.topic_named("a").is_some());
    }
}
