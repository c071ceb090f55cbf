//! The last offset of each key, in a bounded piece of memory. Pure.
//!
//! A key is kept as 128 bits of a hash that nobody outside knows the seed of: as Kafka's, an entry takes 24 bytes whatever
//! the key's length, and two keys that are taken for one would need an accident that does not happen.

use std::hash::Hasher;

use types::Offset;

const ENTRY_BYTES: usize = 24;
/// Of 100 slots so many are used (Kafka: `log.cleaner.io.buffer.load.factor`).
const LOAD_PERCENT: usize = 90;
/// More slots than this are taken only when they are needed.
const SLOTS_AT_FIRST: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    key: [u64; 2],
    /// Negative where the slot is free.
    offset: i64,
}

const FREE: Slot = Slot { key: [0; 2], offset: -1 };

/// From a key to the offset of its last record.
#[derive(Debug)]
pub(crate) struct KeyMap {
    seed: [u8; 16],
    slots: Vec<Slot>,
    used: usize,
    slots_max: usize,
}

impl KeyMap {
    /// An empty one that never takes more than `bytes_max`.
    pub(crate) fn new(bytes_max: u64, seed: [u8; 16]) -> KeyMap {
        let slots_max = usize::try_from(bytes_max).unwrap_or(usize::MAX) / ENTRY_BYTES;
        KeyMap { seed, slots: vec![FREE; SLOTS_AT_FIRST.min(slots_max)], used: 0, slots_max }
    }

    /// How much of what it may hold it holds.
    pub(crate) fn utilization(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "a ratio of counts")]
        let ratio = self.used as f64 / entries_max(self.slots_max).max(1) as f64;
        ratio
    }

    /// Notes a later record of a key; false if there is no room for it.
    pub(crate) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        if self.used >= entries_max(self.slots.len()) && !self.grow() {
            // A key that is known needs no room.
            return match self.find(hash) {
                Some(at) if self.slots[at].offset >= 0 => {
                    self.slots[at].offset = offset.0;
                    true
                }
                _ => false,
            };
        }
        let at = self.find(hash).expect("a table that is not full has a free slot");
        self.used += usize::from(self.slots[at].offset < 0);
        self.slots[at] = Slot { key: hash, offset: offset.0 };
        true
    }

    /// The last offset that was noted for a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slots[self.find(self.hash(key))?];
        (slot.offset >= 0).then_some(Offset(slot.offset))
    }

    /// The key's slot, or the free one where it would be; `None` if it is not there and there is none.
    fn find(&self, hash: [u64; 2]) -> Option<usize> {
        let len = self.slots.len();
        let start = usize::try_from(hash[0] % (len.max(1) as u64)).expect("below a length");
        (start..len).chain(0..start).find(|&at| self.slots[at].offset < 0 || self.slots[at].key == hash)
    }

    fn grow(&mut self) -> bool {
        let len = (self.slots.len() * 2).min(self.slots_max);
        if len <= self.slots.len() {
            return false;
        }
        let old = std::mem::replace(&mut self.slots, vec![FREE; len]);
        for slot in old.into_iter().filter(|slot| slot.offset >= 0) {
            let at = self.find(slot.key).expect("the new table is larger");
            self.slots[at] = slot;
        }
        true
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        [0u8, 1].map(|half| {
            let mut hasher = std::hash::DefaultHasher::new();
            hasher.write(&self.seed);
            hasher.write_u8(half);
            hasher.write(key);
            hasher.finish()
        })
    }
}

fn entries_max(slots: usize) -> usize {
    slots / 100 * LOAD_PERCENT + slots % 100 * LOAD_PERCENT / 100
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_is_a_map() {
        let (mut map, mut model) = (KeyMap::new(1 << 20, [1; 16]), BTreeMap::new());
        for at in 0..20_000i64 {
            let key = (at * 7919 % 5000).to_string();
            assert!(map.put(key.as_bytes(), Offset(at)));
            model.insert(key, Offset(at));
        }
        for (key, offset) in model {
            assert_eq!(map.get(key.as_bytes()), Some(offset));
        }
        assert_eq!(map.get(b"nobody"), None);
    }

    #[test]
    fn a_full_one_takes_only_keys_that_it_has() {
        let mut map = KeyMap::new(24 * 100, [2; 16]);
        for at in 0..90i64 {
            assert!(map.put(&at.to_be_bytes(), Offset(at)));
        }
        assert!(!map.put(b"one more", Offset(90)));
        assert!(map.put(&7i64.to_be_bytes(), Offset(91)));
        assert_eq!(map.get(&7i64.to_be_bytes()), Some(Offset(91)));
        assert_eq!(map.get(b"one more"), None);
    }

    #[test]
    fn no_memory_is_no_room() {
        let mut map = KeyMap::new(10, [0; 16]);
        assert!(!map.put(b"key", Offset(1)));
        assert_eq!(map.get(b"key"), None);
    }
}
