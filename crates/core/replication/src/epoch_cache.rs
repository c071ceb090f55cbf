//! Which leader epoch began at which offset in one log: what tells a follower where its log and the leader's part.
//! Knows nothing of the checkpoint file that storage keeps of it.

use types::{LeaderEpoch, Offset};

/// The epochs of one log, ascending in epoch and start. Kafka: `LeaderEpochFileCache`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<(LeaderEpoch, Offset)>,
}

impl EpochCache {
    /// The epochs of a log that is opened; `None` if the entries are not ascending.
    pub fn new(entries: Vec<(LeaderEpoch, Offset)>) -> Option<EpochCache> {
        let is_ascending = entries.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        is_ascending.then_some(EpochCache { entries })
    }

    /// The entries, oldest first.
    pub fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.entries
    }

    /// The newest epoch.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|&(epoch, _)| epoch)
    }

    /// Notes that `epoch` begins at `start`, unless it or a later one is known.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) {
        if epoch < LeaderEpoch(0) || self.latest().is_some_and(|latest| latest >= epoch) {
            return;
        }
        // An epoch without a record is replaced by the next one: its start is where the other begins too.
        self.entries.retain(|&(_, other)| other < start);
        self.entries.push((epoch, start));
    }

    /// Forgets epochs that begin at or after `end`.
    pub fn truncate_to(&mut self, end: Offset) {
        self.entries.retain(|&(_, start)| start < end);
    }

    /// Forgets epochs that end before `start`, and moves the one that holds it.
    pub fn start_at(&mut self, start: Offset) {
        let holding = self.entries.partition_point(|&(_, other)| other <= start);
        if holding > 0 {
            self.entries.drain(..holding - 1);
            self.entries[0].1 = start;
        }
    }

    /// The largest epoch up to `asked` and the offset where it ends (`LeaderEpochFileCache.endOffsetFor`); `None` if
    /// `asked` is newer than all that is known. An epoch older than all ends where the first known one begins: so far
    /// the logs can agree.
    pub fn end_offset(&self, asked: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        if asked < LeaderEpoch(0) {
            return None;
        }
        if self.latest() == Some(asked) {
            return Some((asked, log_end));
        }
        let after = self.entries.partition_point(|&(epoch, _)| epoch <= asked);
        let (_, end) = *self.entries.get(after)?;
        match after.checked_sub(1) {
            Some(at) => Some((self.entries[at].0, end)),
            None => Some((asked, end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> EpochCache {
        let entries = entries.iter().map(|&(epoch, start)| (LeaderEpoch(epoch), Offset(start)));
        EpochCache::new(entries.collect()).unwrap()
    }

    #[test]
    fn end_offset_answers_as_kafka() {
        let cache = epochs(&[(2, 6), (4, 10), (7, 15)]);
        for (asked, expected) in [
            (1, Some((1, 6))),
            (2, Some((2, 10))),
            (3, Some((2, 10))),
            (6, Some((4, 15))),
            (7, Some((7, 20))),
            (8, None),
            (-1, None),
        ] {
            let expected = expected.map(|(epoch, end)| (LeaderEpoch(epoch), Offset(end)));
            assert_eq!(cache.end_offset(LeaderEpoch(asked), Offset(20)), expected, "{asked}");
        }
    }

    #[test]
    fn an_epoch_without_records_goes_with_the_next_one_and_with_a_truncation() {
        let mut cache = epochs(&[(2, 6)]);
        cache.assign(LeaderEpoch(2), Offset(9));
        cache.assign(LeaderEpoch(3), Offset(9));
        cache.assign(LeaderEpoch(5), Offset(9));
        assert_eq!(cache, epochs(&[(2, 6), (5, 9)]));
        cache.truncate_to(Offset(9));
        assert_eq!(cache, epochs(&[(2, 6)]));
        cache.start_at(Offset(8));
        assert_eq!(cache, epochs(&[(2, 8)]));
    }

    #[test]
    fn entries_that_descend_are_no_cache() {
        assert_eq!(EpochCache::new(vec![(LeaderEpoch(2), Offset(0)), (LeaderEpoch(2), Offset(4))]), None);
        assert_eq!(EpochCache::new(vec![(LeaderEpoch(2), Offset(4)), (LeaderEpoch(3), Offset(0))]), None);
    }
}
