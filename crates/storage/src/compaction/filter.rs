//! What stays of a batch. Pure: a batch in, a verdict out, in the order of the log.

use std::collections::BTreeMap;

use bytes::Bytes;
use record::{Batch, Compacted, ProducerSnapshotEntry, Record, RecordError};
use types::{Offset, ProducerId, Timestamp};

use super::key_map::KeyMap;
use super::transactions::{Aborted, Marker, Observed};

/// What is to become of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    Replace(Bytes),
    Drop,
}

/// What is known of a log before any of it is changed.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) keys: KeyMap,
    /// The map speaks of records before it.
    pub(crate) upto: Offset,
    pub(crate) aborted: Aborted,
    pub(crate) observed: Observed,
    /// Of each idempotent producer the last offset that its state names.
    pub(crate) producers: BTreeMap<ProducerId, ProducerSnapshotEntry>,
    pub(crate) now: Timestamp,
    pub(crate) delete_retention_ms: i64,
}

impl Filter {
    /// Judges a batch. One that `must_stay` keeps its place even when no record is left.
    pub(crate) fn judge(&mut self, batch: &Batch, must_stay: bool) -> Result<Verdict, RecordError> {
        let header = batch.header();
        let summary = header.summary();
        let is_past_horizon = header.delete_horizon().is_some_and(|horizon| horizon <= self.now);
        let (mut is_marker_done, mut discards) = (false, false);
        if header.is_control {
            is_marker_done = self.observed.is_done(&summary, Marker::of(batch)?);
            // A marker waits as tombstones do, for readers that are on their way.
            discards = is_marker_done && is_past_horizon;
        } else if header.is_transactional {
            self.observed.data(&summary);
            discards = self.aborted.holds(&summary);
        }
        let horizon = Timestamp(self.now.0.saturating_add(self.delete_retention_ms));
        let is_control = header.is_control;
        let kept = record::compacted(batch, is_marker_done, horizon, |record| {
            !discards && (is_control || self.keeps(record, is_past_horizon))
        })?;
        Ok(match kept {
            Compacted::Whole => Verdict::Keep,
            Compacted::Part(bytes) => Verdict::Replace(bytes),
            Compacted::Nothing if !must_stay && !self.is_last_of_producer(batch) => Verdict::Drop,
            Compacted::Nothing if header.record_count == 0 => Verdict::Keep,
            Compacted::Nothing => Verdict::Replace(record::emptied(batch)),
        })
    }

    fn keeps(&self, record: &Record, is_past_horizon: bool) -> bool {
        if record.offset >= self.upto {
            return true;
        }
        // Without a key it can be no key's last; a broker refuses such records where it compacts.
        let Some(key) = &record.key else { return false };
        let is_last = self.keys.get(key).is_none_or(|last| record.offset >= last);
        is_last && (record.value.is_some() || !is_past_horizon)
    }

    /// Whether the producer's sequence and epoch are known from this batch: it stays, if need be empty, so that a replica
    /// that reads the log knows them too.
    fn is_last_of_producer(&self, batch: &Batch) -> bool {
        let header = batch.header();
        let Some(entry) = self.producers.get(&header.producer_id) else { return false };
        match entry.last_offset {
            last if last >= Offset::ZERO => header.last_offset() == last,
            _ => header.is_control && header.producer_epoch == entry.producer_epoch,
        }
    }
}

#[cfg(test)]
mod tests {
    use record::{BatchBuilder, Compression};
    use types::{LeaderEpoch, ProducerEpoch, Sequence};

    use super::*;

    const NOW: Timestamp = Timestamp(10_000);

    fn filter(keys: &[(&str, i64)], upto: i64) -> Filter {
        let mut map = KeyMap::new(1 << 16, [3; 16]);
        for (key, offset) in keys {
            assert!(map.put(key.as_bytes(), Offset(*offset)));
        }
        Filter {
            keys: map,
            upto: Offset(upto),
            aborted: Aborted::default(),
            observed: Observed::default(),
            producers: BTreeMap::new(),
            now: NOW,
            delete_retention_ms: 500,
        }
    }

    fn builder(base: i64) -> BatchBuilder {
        BatchBuilder::new(Compression::None).at(Offset(base), LeaderEpoch(0))
    }

    fn by(builder: BatchBuilder, producer: i64) -> BatchBuilder {
        builder.producer(ProducerId(producer), ProducerEpoch(1), Sequence(0))
    }

    fn built(mut builder: BatchBuilder, records: &[(&str, Option<&str>)]) -> Batch {
        for (key, value) in records {
            builder.push(Timestamp(1), Some(key.as_bytes()), value.map(str::as_bytes), &[]);
        }
        Batch::parse(&builder.build().unwrap()).unwrap().unwrap()
    }

    fn marker(base: i64, producer: i64, kind: u8) -> Batch {
        let mut builder = by(builder(base).control().transactional(), producer);
        builder.push(Timestamp(1), Some(&[0, 0, 0, kind]), Some(&[0; 6]), &[]);
        Batch::parse(&builder.build().unwrap()).unwrap().unwrap()
    }

    /// The offsets that are left, and what is left of the batch.
    fn left(filter: &mut Filter, batch: &Batch, must_stay: bool) -> Option<(Vec<i64>, Batch)> {
        let batch = match filter.judge(batch, must_stay).unwrap() {
            Verdict::Keep => batch.clone(),
            Verdict::Replace(bytes) => Batch::parse(&bytes).unwrap().unwrap(),
            Verdict::Drop => return None,
        };
        let offsets = batch.records().unwrap().map(|record| record.unwrap().offset.0).collect();
        Some((offsets, batch))
    }

    fn offsets(filter: &mut Filter, batch: &Batch) -> Option<Vec<i64>> {
        left(filter, batch, false).map(|(offsets, _)| offsets)
    }

    #[test]
    fn the_last_record_of_each_key_stays() {
        let mut filter = filter(&[("a", 5), ("b", 1)], 6);
        assert_eq!(
            offsets(&mut filter, &built(builder(0), &[("a", Some("1")), ("b", Some("2"))])),
            Some(vec![1])
        );
        assert_eq!(offsets(&mut filter, &built(builder(3), &[("a", Some("1"))])), None);
        assert_eq!(offsets(&mut filter, &built(builder(5), &[("a", Some("1"))])), Some(vec![5]));
        // What the map does not reach stays, and so does a key that only an earlier round has seen.
        assert_eq!(offsets(&mut filter, &built(builder(6), &[("a", Some("1"))])), Some(vec![6]));
        assert_eq!(offsets(&mut filter, &built(builder(2), &[("z", Some("1"))])), Some(vec![2]));
    }

    #[test]
    fn tombstones_stay_until_their_horizon() {
        let mut filter = filter(&[("a", 0)], 6);
        let (kept, batch) = left(&mut filter, &built(builder(0), &[("a", None)]), false).unwrap();
        assert_eq!((kept, batch.header().delete_horizon()), (vec![0], Some(Timestamp(10_500))));
        filter.now = Timestamp(10_499);
        assert_eq!(offsets(&mut filter, &batch), Some(vec![0]));
        filter.now = Timestamp(10_500);
        assert_eq!(offsets(&mut filter, &batch), None);
        assert_eq!(left(&mut filter, &batch, true).unwrap().0, [0i64; 0], "the last batch of a file stays");
    }

    #[test]
    fn the_last_batch_of_a_producer_stays_without_its_records() {
        let mut filter = filter(&[("a", 9)], 10);
        let entry = ProducerSnapshotEntry {
            producer_id: ProducerId(7),
            producer_epoch: ProducerEpoch(1),
            last_sequence: Sequence(0),
            last_offset: Offset(3),
            offset_delta: 0,
            timestamp: Timestamp(0),
            coordinator_epoch: -1,
            current_txn_first_offset: None,
        };
        filter.producers.insert(ProducerId(7), entry);
        assert_eq!(offsets(&mut filter, &built(by(builder(2), 7), &[("a", Some("1"))])), None);
        let last = built(by(builder(3), 7), &[("a", Some("1"))]);
        let (kept, emptied) = left(&mut filter, &last, false).unwrap();
        assert_eq!((kept.len(), emptied.header().producer_id), (0, ProducerId(7)));
        assert_eq!(filter.judge(&emptied, false), Ok(Verdict::Keep), "it stays as it is");
        assert_eq!(offsets(&mut filter, &built(by(builder(3), 8), &[("a", Some("1"))])), None);
    }

    #[test]
    fn what_was_aborted_goes_and_its_marker_after_it() {
        let mut filter = filter(&[("b", 2)], 10);
        let aborted = built(by(builder(0).transactional(), 7), &[("a", Some("1"))]);
        let committed = built(by(builder(2).transactional(), 7), &[("b", Some("1"))]);
        let (abort, commit) = (marker(1, 7, 0), marker(3, 7, 1));
        for batch in [&aborted, &committed] {
            filter.aborted.data(&batch.header().summary());
            let marker = if std::ptr::eq(batch, &aborted) { &abort } else { &commit };
            filter.aborted.marker(&marker.header().summary(), Marker::of(marker).unwrap());
        }
        assert_eq!(offsets(&mut filter, &aborted), None);
        assert_eq!(filter.judge(&abort, false), Ok(Verdict::Keep), "this round still saw its records");
        assert_eq!(filter.judge(&committed, false), Ok(Verdict::Keep));
        assert_eq!(filter.judge(&commit, false), Ok(Verdict::Keep));
        // The next round sees no record in front of the first marker: the clock runs for it.
        filter.observed = Observed::default();
        let (kept, dated) = left(&mut filter, &abort, false).unwrap();
        assert_eq!((kept, dated.header().delete_horizon()), (vec![1], Some(Timestamp(10_500))));
        filter.now = Timestamp(10_500);
        assert_eq!(offsets(&mut filter, &dated), None);
    }
}
