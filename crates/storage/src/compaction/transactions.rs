//! Which transactions of a log were aborted, and which markers no longer mark anything. Pure.

use std::collections::{BTreeMap, BTreeSet};

use record::{Batch, BatchSummary, RecordError};
use types::{Offset, ProducerId};

/// What a control batch says of its producer's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    Abort,
    Commit,
    /// A kind that is not a transaction's end.
    Other,
}

impl Marker {
    pub(crate) fn of(batch: &Batch) -> Result<Marker, RecordError> {
        let Some(record) = batch.records()?.next() else { return Ok(Marker::Other) };
        // The key is a version and a type, both of 16 bits.
        Ok(match record?.key.as_deref() {
            Some([_, _, 0, 0, ..]) => Marker::Abort,
            Some([_, _, 0, 1, ..]) => Marker::Commit,
            _ => Marker::Other,
        })
    }
}

/// The aborted transactions of a range, collected from its batches in order.
#[derive(Debug, Default)]
pub(crate) struct Aborted {
    /// Where the transaction that is open began.
    open: BTreeMap<ProducerId, Offset>,
    /// First offset and marker of each.
    ranges: BTreeMap<ProducerId, Vec<(Offset, Offset)>>,
}

impl Aborted {
    pub(crate) fn data(&mut self, batch: &BatchSummary) {
        self.open.entry(batch.producer_id).or_insert(batch.base_offset);
    }

    pub(crate) fn marker(&mut self, batch: &BatchSummary, marker: Marker) {
        if marker == Marker::Other {
            return;
        }
        let first = self.open.remove(&batch.producer_id);
        if let Some(first) = first.filter(|_| marker == Marker::Abort) {
            self.ranges.entry(batch.producer_id).or_default().push((first, batch.last_offset()));
        }
    }

    /// Whether a batch with records belongs to one of them.
    pub(crate) fn holds(&self, batch: &BatchSummary) -> bool {
        let holds = |(first, last): &(Offset, Offset)| (*first..=*last).contains(&batch.base_offset);
        batch.is_transactional
            && !batch.is_control
            && self.ranges.get(&batch.producer_id).is_some_and(|ranges| ranges.iter().any(holds))
    }
}

/// The producers of whose transaction there was a batch since the last marker.
#[derive(Debug, Default)]
pub(crate) struct Observed(BTreeSet<ProducerId>);

impl Observed {
    pub(crate) fn data(&mut self, batch: &BatchSummary) {
        self.0.insert(batch.producer_id);
    }

    /// Takes in a marker; true if nothing of its transaction is left in front of it.
    pub(crate) fn is_done(&mut self, batch: &BatchSummary, marker: Marker) -> bool {
        marker != Marker::Other && !self.0.remove(&batch.producer_id)
    }
}
