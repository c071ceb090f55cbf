//! The raft log: a partition's log like any other (`__cluster_metadata-0`), and beside it the vote and what is known to
//! be committed. All writes go one after the other, and none is reported before it is durable.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use record::{Batch, Batches, patched_prefix};
use serde::{Deserialize, Serialize};
use storage::{DataDir, Log, LogConfig, LogReader, LogSlice};
use types::{Offset, PartitionId, Timestamp, TopicId, TopicPartition, Uuid};

use super::entry;
use super::raft::{CommittedLeaderId, Entry, LogId, Quorum, Vote};
use crate::sabotage::{Rule, is_broken};
use crate::seams::{Blocking, Wall};

/// Kafka's name and id of the topic that holds the cluster's metadata.
const TOPIC: &str = "__cluster_metadata";
const TOPIC_ID: TopicId = TopicId(Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
const VOTE: &str = "quorum-vote";
const COMMITTED: &str = "quorum-committed";
const PURGED: &str = "quorum-purged";
const SEGMENT_BYTES: u32 = 16 << 20;
/// Entries are read in pieces of this size.
const READ_BYTES: u32 = 1 << 20;

/// The log and what belongs to it. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct LogStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    data_dir: Arc<DataDir>,
    blocking: Blocking,
    wall: Wall,
    reader: Arc<LogReader>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    log: Log,
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
}

/// How much is read at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    All,
    /// What comes with one read.
    Piece,
}

/// A place in the log, on disk.
#[derive(Debug, Serialize, Deserialize)]
struct StoredLogId {
    term: u64,
    index: u64,
}

/// A vote, on disk.
#[derive(Debug, Serialize, Deserialize)]
struct StoredVote {
    term: u64,
    voter: String,
    committed: bool,
}

impl LogStore {
    /// Opens the log, or begins one. Blocks.
    pub(super) fn open(data_dir: Arc<DataDir>, blocking: Blocking, wall: Wall) -> io::Result<LogStore> {
        let config = LogConfig {
            segment_bytes: SEGMENT_BYTES,
            is_deleted_by_retention: false,
            may_use_reserve: true,
            ..LogConfig::default()
        };
        let id = TopicPartition { topic: TOPIC_ID, partition: PartitionId(0) };
        let now = wall.now().wall;
        let (mut log, _) = data_dir.create_or_open_log(TOPIC, id, config, now).map_err(io::Error::other)?;
        let reader = log.reader();
        let purged: Option<StoredLogId> = load(&data_dir, PURGED)?;
        let committed: Option<StoredLogId> = load(&data_dir, COMMITTED)?;
        let vote: Option<StoredVote> = load(&data_dir, VOTE)?;
        // A crash of the process leaves entries and a vote that only the kernel has. Raft is about to count on them, as
        // if they had been reported durable: so they are made so. The vote's directory is that of the other states.
        log.sync()?;
        if let Some(vote) = &vote {
            store(&data_dir, VOTE, vote)?;
        }
        let purged = purged.map(StoredLogId::into_log_id);
        if let Some(purged) = &purged {
            forget(&mut log, purged, now)?;
        }
        let state = State {
            last: later(last_entry(&reader)?, purged),
            log,
            vote: vote.map(StoredVote::into_vote).transpose()?,
            committed: committed.map(StoredLogId::into_log_id),
            purged,
        };
        let shared = Shared { data_dir, blocking, wall, reader, state: Mutex::new(state) };
        Ok(LogStore { shared: Arc::new(shared) })
    }

    /// Closes the log, so that the next start has nothing to recover. Blocks.
    pub(super) fn sync(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        let checkpoint = state.log.begin_checkpoint(storage::CheckpointKind::Sync, &[]);
        drop(state);
        checkpoint.run()
    }

    /// Entries from an index on, no more than fits well into one message. `None` if the log does not go back so far.
    pub(super) async fn tail(&self, from: u64, upto: u64) -> io::Result<Option<Vec<Entry>>> {
        let shared = Arc::clone(&self.shared);
        let is_purged = move || shared.lock().purged.is_some_and(|purged| from <= purged.index);
        if is_purged() {
            return Ok(None);
        }
        let shared = Arc::clone(&self.shared);
        let entries = self.shared.blocking.run(move || shared.read(from, upto, Amount::Piece)).await?;
        // It may have been purged meanwhile.
        match entries.first() {
            Some(first) if first.log_id.index > from => Ok(None),
            Some(_) | None => Ok(Some(entries)),
        }
    }

    /// Runs a change of the log, which may wait for the disk.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &mut State) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let shared = Arc::clone(&self.shared);
        self.shared.blocking.run(move || work(&shared, &mut shared.lock())).await
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, from: u64, upto: u64, amount: Amount) -> io::Result<Vec<Entry>> {
        let upto = Offset(i64::try_from(upto).unwrap_or(i64::MAX)).min(self.reader.log_end());
        let mut next = Offset(i64::try_from(from).unwrap_or(i64::MAX)).max(self.reader.log_start());
        let mut entries = Vec::new();
        while next < upto {
            let slice: LogSlice = self.reader.read(next, upto, READ_BYTES, true).map_err(io::Error::other)?;
            for batch in Batches::new(slice.read_to_bytes()?) {
                let batch = batch.map_err(io::Error::other)?;
                next = batch.header().base_offset.plus(1);
                entries.push(entry::decode(&batch)?);
            }
            if amount == Amount::Piece && !entries.is_empty() {
                break;
            }
        }
        Ok(entries)
    }
}

impl RaftLogReader<Quorum> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let upto = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(upto) => *upto,
            Bound::Unbounded => u64::MAX,
        };
        let shared = Arc::clone(&self.shared);
        self.shared.blocking.run(move || shared.read(from, upto, Amount::All)).await
    }

    /// For another voter: no more than fits well into one message, but at least one entry.
    async fn limited_get_log_entries(&mut self, from: u64, upto: u64) -> io::Result<Vec<Entry>> {
        let shared = Arc::clone(&self.shared);
        self.shared.blocking.run(move || shared.read(from, upto, Amount::Piece)).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.lock().vote)
    }
}

impl RaftLogStorage<Quorum> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> io::Result<LogState<Quorum>> {
        let state = self.shared.lock();
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: state.last })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = *vote;
        self.change(move |shared, state| {
            if !is_broken(Rule::VoteIsSynced) {
                store(&shared.data_dir, VOTE, &StoredVote::from_vote(&vote))?;
            }
            state.vote = Some(vote);
            Ok(())
        })
        .await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let Some(committed) = committed else { return Ok(()) };
        self.change(move |shared, state| {
            if state.committed != Some(committed) {
                store(&shared.data_dir, COMMITTED, &StoredLogId::from_log_id(&committed))?;
                state.committed = Some(committed);
            }
            Ok(())
        })
        .await
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Quorum>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().collect();
        let result = self.change(move |shared, state| append(shared, state, &entries)).await;
        let report =
            result.as_ref().copied().map_err(|error| io::Error::new(error.kind(), error.to_string()));
        callback.io_completed(report);
        result
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.change(move |shared, state| {
            let end = match &last {
                Some(last) => entry::place(last)?.0.plus(1),
                None => Offset::ZERO,
            };
            state.log.truncate_to(end, shared.wall.now().wall)?;
            state.log.sync()?;
            state.last = last.or(state.purged);
            Ok(())
        })
        .await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.change(move |shared, state| {
            // First what is gone is written down, then it goes: the other order could leave a hole.
            store(&shared.data_dir, PURGED, &StoredLogId::from_log_id(&upto))?;
            state.purged = Some(upto);
            state.last = later(state.last, Some(upto));
            forget(&mut state.log, &upto, shared.wall.now().wall)
        })
        .await
    }
}

/// Group commit: however many entries come together, they share one fsync.
fn append(shared: &Shared, state: &mut State, entries: &[Entry]) -> io::Result<()> {
    let now = shared.wall.now().wall;
    for entry in entries {
        let bytes = entry::encode(entry, now)?;
        let batch = Batch::parse(&bytes).map_err(io::Error::other)?.expect("a batch that was just built");
        let summary = batch.header().summary();
        let prefix = patched_prefix(&summary, summary.base_offset, summary.leader_epoch);
        let appended = state.log.append(&summary, &prefix, &bytes[prefix.len()..], now, &Vec::new);
        appended.map_err(io::Error::other)?;
        state.last = Some(entry.log_id);
    }
    match is_broken(Rule::QuorumIsSynced) {
        true => Ok(()),
        false => state.log.sync(),
    }
}

/// The log's last place. By index: entries that a snapshot has overtaken may be of a term that came to nothing.
fn later(last: Option<LogId>, purged: Option<LogId>) -> Option<LogId> {
    std::cmp::max_by_key(last, purged, |place| place.map(|place| place.index))
}

/// Takes what was purged out of the log. A snapshot of another voter may reach further than the log, which then is empty.
fn forget(log: &mut Log, purged: &LogId, now: Timestamp) -> io::Result<()> {
    let end = entry::place(purged)?.0.plus(1);
    log.delete_records_before(end)?;
    log.apply_retention(now, end, &Vec::new)?;
    Ok(())
}

fn last_entry(reader: &LogReader) -> io::Result<Option<LogId>> {
    let end = reader.log_end();
    if end <= reader.log_start() {
        return Ok(None);
    }
    let slice = reader.read(end.plus(-1), end, READ_BYTES, true).map_err(io::Error::other)?;
    match Batches::new(slice.read_to_bytes()?).last() {
        Some(batch) => {
            let header = *batch.map_err(io::Error::other)?.header();
            entry::log_id(header.leader_epoch, header.base_offset).map(Some)
        }
        None => Ok(None),
    }
}

fn store(data_dir: &DataDir, name: &str, value: &impl Serialize) -> io::Result<()> {
    data_dir.write_state(name, &serde_json::to_vec(value)?)
}

fn load<T: for<'a> Deserialize<'a>>(data_dir: &DataDir, name: &str) -> io::Result<Option<T>> {
    match data_dir.read_state(name)? {
        Some(content) => Ok(Some(serde_json::from_slice(&content)?)),
        None => Ok(None),
    }
}

impl StoredLogId {
    fn from_log_id(log_id: &LogId) -> StoredLogId {
        StoredLogId { term: log_id.leader_id.term, index: log_id.index }
    }

    fn into_log_id(self) -> LogId {
        LogId { leader_id: CommittedLeaderId::new(self.term), index: self.index }
    }
}

impl StoredVote {
    fn from_vote(vote: &Vote) -> StoredVote {
        let leader = &vote.leader_id;
        StoredVote { term: leader.term, voter: leader.voted_for.to_string(), committed: vote.committed }
    }

    fn into_vote(self) -> io::Result<Vote> {
        let voter = entry::parse_voter(&self.voter)?;
        let vote = Vote::new(self.term, voter);
        Ok(if self.committed { Vote::new_committed(self.term, voter) } else { vote })
    }
}

#[cfg(test)]
mod tests;
