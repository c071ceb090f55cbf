//! In a compacted topic each key has the last value that was acknowledged for it, or a later one: none is lost, and none
//! that was overwritten or deleted comes back.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use record::Batches;

use super::replicas_equal::read_replicas;
use crate::history::{KEYED, RecordId};
use crate::workload::id_of;
use crate::world::World;

/// A key; its writer in the upper half.
pub type Key = u64;

/// What was written to a compacted topic. Of each key, numbers rise in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub struct Keyed {
    /// The last record of each key that was acknowledged.
    acknowledged: BTreeMap<Key, RecordId>,
    /// Of each key, the records that delete it.
    tombstones: BTreeMap<Key, BTreeSet<RecordId>>,
    /// By writer.
    last_offsets: BTreeMap<u64, i64>,
}

/// The key of a record.
pub fn key_of(key: Option<&Bytes>) -> Option<Key> {
    Some(u64::from_be_bytes(*key?.first_chunk()?))
}

impl Keyed {
    /// A record leaves its writer.
    pub fn sent(&mut self, key: Key, id: RecordId, is_tombstone: bool) {
        if is_tombstone {
            self.tombstones.entry(key).or_default().insert(id);
        }
    }

    /// Its writer was told that it is there.
    pub fn acknowledged(&mut self, key: Key, id: RecordId, offset: i64) {
        self.acknowledged.insert(key, id);
        // A writer that was not told the offset of its last record does not know where that is.
        let offset = if offset < 0 { i64::MAX } else { offset };
        self.last_offsets.insert(key >> 32, offset);
    }

    /// An offset before which, and at which, all that was acknowledged is.
    pub fn last_offset(&self) -> i64 {
        self.last_offsets.values().copied().max().unwrap_or(-1)
    }

    /// How many keys were acknowledged.
    pub fn keys(&self) -> usize {
        self.acknowledged.len()
    }

    /// Compares what had been acknowledged before a log was read with each key's last value in it. `sent` is what was sent
    /// by the time the log had been read.
    pub fn check(
        &self,
        sent: &Keyed,
        last: &BTreeMap<Key, Option<RecordId>>,
        who: &str,
        violations: &mut Vec<String>,
    ) {
        for (key, acknowledged) in &self.acknowledged {
            let is_right = match last.get(key).copied().flatten() {
                Some(id) => id >= *acknowledged,
                None => sent
                    .tombstones
                    .get(key)
                    .is_some_and(|tombstones| tombstones.last().is_some_and(|last| last >= acknowledged)),
            };
            if !is_right {
                violations.push(format!(
                    "compacted: {who} has {:x?} for key {key:x}, and {acknowledged:x} was acknowledged",
                    last.get(key)
                ));
            }
        }
    }
}

/// Compares every replica with what was acknowledged: each compacts for itself.
pub fn check(world: &World, keyed: &Keyed, violations: &mut Vec<String>) {
    for (host, bytes, _) in read_replicas(world, (KEYED, 0), violations) {
        let mut last: BTreeMap<Key, Option<RecordId>> = BTreeMap::new();
        for batch in Batches::new(BytesMut::from(&bytes[..]).freeze()) {
            let Ok(batch) = batch else {
                violations.push(format!("compacted: node {host} has a batch that cannot be read"));
                break;
            };
            let records = batch.records().into_iter().flatten().flatten();
            last.extend(
                records
                    .filter_map(|record| Some((key_of(record.key.as_ref())?, id_of(record.value.as_ref())))),
            );
        }
        keyed.check(keyed, &last, &format!("node {host}"), violations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(last: &[(Key, Option<RecordId>)]) -> usize {
        let mut keyed = Keyed::default();
        keyed.sent(1, 10, false);
        keyed.sent(1, 11, false);
        keyed.acknowledged(1, 11, 1);
        keyed.sent(2, 20, false);
        keyed.sent(2, 21, true);
        keyed.acknowledged(2, 21, 3);
        let mut violations = Vec::new();
        keyed.check(&keyed, &last.iter().copied().collect(), "a test", &mut violations);
        violations.len()
    }

    #[test]
    fn a_lost_value_and_one_that_came_back_are_seen() {
        assert_eq!(verdict(&[(1, Some(11))]), 0);
        assert_eq!(verdict(&[(1, Some(12)), (2, Some(22))]), 0, "later ones may be there");
        assert_eq!(verdict(&[(1, Some(10))]), 1, "an older value");
        assert_eq!(verdict(&[]), 1, "no value");
        assert_eq!(verdict(&[(1, Some(11)), (2, Some(20))]), 1, "a deleted one is back");
        assert_eq!(verdict(&[(1, Some(11)), (2, None)]), 0, "the tombstone itself");
    }
}
