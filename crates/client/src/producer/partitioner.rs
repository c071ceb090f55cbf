//! Which partition a record goes to: as Kafka's own producer decides, so that one key stays in one partition whichever
//! client writes it. Pure.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// The partition of a key, of `partitions` (at least one).
pub fn partition_for_key(key: &[u8], partitions: usize) -> i32 {
    let partitions = i32::try_from(partitions.max(1)).unwrap_or(i32::MAX);
    (murmur2(key) & i32::MAX) % partitions
}

/// MurmurHash2 with Kafka's seed.
fn murmur2(data: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    const SEED: u32 = 0x9747_b28c;
    let mut hash = SEED ^ (data.len() as u32);
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        rest.iter().enumerate().for_each(|(i, &byte)| hash ^= u32::from(byte) << (8 * i));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)) as i32
}

/// Records without a key stay with one partition until a batch's worth of bytes has gone there (KIP-794): full batches
/// to one partition after the other beat small ones to all.
#[derive(Debug)]
pub(crate) struct Sticky {
    current: usize,
    bytes: usize,
}

impl Sticky {
    /// Starts at a random partition, so that many producers do not start at the same one.
    pub(crate) fn new() -> Sticky {
        Sticky { current: RandomState::new().build_hasher().finish() as usize, bytes: 0 }
    }

    /// The partition for a record of `size` bytes.
    pub(crate) fn next(&mut self, size: usize, batch_bytes: usize, partitions: usize) -> i32 {
        if self.bytes >= batch_bytes {
            self.current = self.current.wrapping_add(1);
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(size);
        i32::try_from(self.current % partitions.max(1)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Sticky, murmur2, partition_for_key};

    #[test]
    fn murmur2_is_that_of_kafka() {
        // The vectors of Kafka's own UtilsTest.
        let vectors: [(&str, i32); 6] = [
            ("21", -973932308),
            ("foobar", -790332482),
            ("a-little-bit-long-string", -985981536),
            ("a-little-bit-longer-string", -1486304829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            ("abc", 479470107),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn partitions_are_never_negative() {
        assert_eq!(partition_for_key(b"21", 7), (-973932308i32 & i32::MAX) % 7);
        assert_eq!(partition_for_key(b"21", 1), 0);
        assert_eq!(partition_for_key(b"", 0), 0);
    }

    #[test]
    fn keyless_records_stay_until_a_batch_is_full() {
        let mut sticky = Sticky { current: 5, bytes: 0 };
        let taken: Vec<_> = (0..6).map(|_| sticky.next(40, 100, 3)).collect();
        assert_eq!(taken, [2, 2, 2, 0, 0, 0]);
    }
}
