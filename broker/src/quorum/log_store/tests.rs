//! The log store on a disk that forgets: what it has said after a crash is not undone by the next one.

use std::path::Path;
use std::sync::Arc;

use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{EntryPayload, RaftLogReader};
use storage::DataDir;
use storage::fake::{Crash, FakeDisk};
use types::Uuid;

use super::super::raft::{CommittedLeaderId, Entry, LogId, Vote, VoterId};
use super::LogStore;
use crate::seams::{Blocking, Wall};

/// More than any change of the store makes on the disk.
const OPERATIONS: u64 = 12;

fn open(disk: &FakeDisk) -> LogStore {
    let data_dir = DataDir::open(Arc::new(disk.clone()), Path::new("/data"), 0, None).unwrap();
    LogStore::open(Arc::new(data_dir), Blocking::pool(1), Wall::real()).expect("a log that can be read")
}

fn log_id(term: u64, index: u64) -> LogId {
    LogId { leader_id: CommittedLeaderId::new(term), index }
}

fn entry(term: u64, index: u64) -> Entry {
    Entry { log_id: log_id(term, index), payload: EntryPayload::Blank }
}

async fn append(store: &mut LogStore, term: u64, indexes: std::ops::Range<u64>) -> bool {
    let entries: Vec<_> = indexes.map(|index| entry(term, index)).collect();
    store.append(entries, IOFlushed::noop()).await.is_ok()
}

async fn last(store: &mut LogStore) -> Option<LogId> {
    store.get_log_state().await.unwrap().last_log_id
}

fn voter() -> VoterId {
    VoterId { node: 0, directory: Uuid::from_random([1; 16]) }
}

#[tokio::test]
async fn an_entry_that_a_restart_found_survives_the_power() {
    for seed in 0..20 {
        for operations in 0..OPERATIONS {
            let disk = FakeDisk::new(seed);
            let mut store = open(&disk);
            assert!(append(&mut store, 1, 0..3).await);
            disk.crash_after(operations);
            append(&mut store, 1, 3..4).await;
            drop(store);
            disk.restart(Crash::Process);
            // Raft counts on all that is here when it starts.
            let found = last(&mut open(&disk)).await;
            disk.restart(Crash::Power);
            let kept = last(&mut open(&disk)).await;
            assert!(kept >= found, "seed {seed}, {operations} operations: {found:?} and then {kept:?}");
            assert!(kept >= Some(log_id(1, 2)));
        }
    }
}

#[tokio::test]
async fn a_vote_that_a_restart_found_survives_the_power() {
    for seed in 0..20 {
        for operations in 0..OPERATIONS {
            let disk = FakeDisk::new(seed);
            let mut store = open(&disk);
            store.save_vote(&Vote::new(1, voter())).await.unwrap();
            disk.crash_after(operations);
            let is_saved = store.save_vote(&Vote::new(2, voter())).await.is_ok();
            drop(store);
            disk.restart(Crash::Process);
            let found = open(&disk).read_vote().await.unwrap();
            disk.restart(Crash::Power);
            let kept = open(&disk).read_vote().await.unwrap();
            assert_eq!(kept, found, "seed {seed}, {operations} operations");
            assert!(!is_saved || kept == Some(Vote::new(2, voter())));
        }
    }
}

#[tokio::test]
async fn a_log_that_a_snapshot_has_overtaken_begins_behind_it() {
    for seed in 0..20 {
        for operations in 0..2 * OPERATIONS {
            let disk = FakeDisk::new(seed);
            let mut store = open(&disk);
            assert!(append(&mut store, 1, 0..3).await);
            disk.crash_after(operations);
            // A snapshot of another voter reaches further than this log.
            let is_purged = store.purge(log_id(2, 9)).await.is_ok();
            drop(store);
            disk.restart(Crash::Power);

            let mut store = open(&disk);
            let state = store.get_log_state().await.unwrap();
            assert!(!is_purged || state.last_purged_log_id == Some(log_id(2, 9)));
            assert!(state.last_log_id >= state.last_purged_log_id, "seed {seed}, {operations} operations");
            let purged = state.last_purged_log_id.map_or(0, |purged| purged.index + 1);
            let next = state.last_log_id.map_or(0, |last| last.index + 1);
            assert!(append(&mut store, 3, next..next + 2).await);
            let mut store = open_again(&disk, store);
            let entries = store.try_get_log_entries(purged..).await.unwrap();
            let indexes: Vec<_> = entries.iter().map(|entry| entry.log_id.index).collect();
            assert_eq!(indexes, (purged..next + 2).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn what_was_truncated_does_not_come_back() {
    for seed in 0..20 {
        let disk = FakeDisk::new(seed);
        let mut store = open(&disk);
        assert!(append(&mut store, 1, 0..5).await);
        store.truncate_after(Some(log_id(1, 1))).await.unwrap();
        drop(store);
        disk.restart(Crash::Power);
        let mut store = open(&disk);
        assert_eq!(last(&mut store).await, Some(log_id(1, 1)));
        assert!(append(&mut store, 2, 2..3).await);
        let mut store = open_again(&disk, store);
        assert_eq!(last(&mut store).await, Some(log_id(2, 2)));
        let terms: Vec<_> = store.try_get_log_entries(..).await.unwrap();
        let terms: Vec<_> = terms.iter().map(|entry| entry.log_id.leader_id.term).collect();
        assert_eq!(terms, [1, 1, 2]);
    }
}

fn open_again(disk: &FakeDisk, store: LogStore) -> LogStore {
    drop(store);
    disk.restart(Crash::Power);
    open(disk)
}
