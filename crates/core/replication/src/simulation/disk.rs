//! A log whose unsynced tail a power failure takes.

use std::collections::BTreeMap;

use record::BatchSummary;
use types::{LeaderEpoch, LeaderEpochs, Offset};

use crate::{ProducerStates, ReplicaLog};

/// A batch; the number tells it from every other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) batch: BatchSummary,
    pub(super) number: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    batches: BTreeMap<Offset, Stored>,
    start: Offset,
    end: Offset,
    synced_end: Offset,
    /// How far the high watermark was at the last checkpoint.
    pub(super) high_watermark: Offset,
}

impl Disk {
    pub(super) fn end(&self) -> Offset {
        self.end
    }

    pub(super) fn start(&self) -> Offset {
        self.start
    }

    pub(super) fn append(&mut self, stored: Stored) {
        assert_eq!(stored.batch.base_offset, self.end, "written at the end");
        self.end = stored.batch.last_offset().plus(1);
        self.batches.insert(stored.batch.base_offset, stored);
    }

    pub(super) fn at(&self, base_offset: Offset) -> Option<&Stored> {
        self.batches.get(&base_offset)
    }

    /// The batches from the one that holds `from`, whole, up to `upto`.
    pub(super) fn range(&self, from: Offset, upto: Offset) -> impl Iterator<Item = &Stored> {
        let from_batch = self.batches.range(..=from).next_back();
        let first = from_batch.filter(|(_, stored)| stored.batch.last_offset() >= from);
        let first = first.map_or(from, |(base, _)| *base);
        self.batches.range(first..upto.max(first)).map(|(_, stored)| stored)
    }

    pub(super) fn truncate(&mut self, to: Offset) {
        self.batches.retain(|_, stored| stored.batch.last_offset() < to);
        // A batch that holds the cut goes as a whole.
        let last = self.batches.values().next_back().map(|stored| stored.batch.last_offset().plus(1));
        self.end = last.unwrap_or(self.start).max(self.start.min(to));
        self.start = self.start.min(self.end);
        self.synced_end = self.synced_end.min(self.end);
    }

    pub(super) fn restart(&mut self, at: Offset) {
        *self = Disk { start: at, end: at, synced_end: at, high_watermark: at, ..Disk::default() };
    }

    pub(super) fn delete_before(&mut self, offset: Offset) {
        self.batches.retain(|_, stored| stored.batch.last_offset() >= offset);
        self.start = self.start.max(offset);
        self.synced_end = self.synced_end.max(offset);
    }

    pub(super) fn sync(&mut self) -> Offset {
        self.synced_end = self.end;
        self.end
    }

    pub(super) fn lose_power(&mut self) {
        self.truncate(self.synced_end);
    }

    pub(super) fn producers(&self) -> ProducerStates {
        let mut producers = ProducerStates::default();
        self.batches.values().for_each(|stored| producers.record(&stored.batch));
        producers
    }

    pub(super) fn recovered(&self) -> ReplicaLog {
        let mut epochs = LeaderEpochs::default();
        for stored in self.batches.values() {
            let is_first = epochs.latest().is_none();
            let base = if is_first { self.start } else { stored.batch.base_offset };
            epochs.assign(stored.batch.leader_epoch, base);
        }
        debug_assert!(epochs.latest() != Some(LeaderEpoch::NONE));
        ReplicaLog::recovered(self.start, self.end, self.high_watermark, epochs, self.producers())
    }
}
