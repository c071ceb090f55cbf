//! Which leader epoch began at which offset in one log: what tells a follower where its log and the leader's part. Storage
//! keeps it in a file, replication reasons with it; both mean the same.

use crate::{LeaderEpoch, Offset};

/// The epochs of one log, ascending in epoch and start; the first may begin before the log does. Kafka:
/// `LeaderEpochFileCache`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<(LeaderEpoch, Offset)>,
}

impl LeaderEpochs {
    /// The epochs of a log that is opened; `None` if the entries are not ascending.
    pub fn new(entries: Vec<(LeaderEpoch, Offset)>) -> Option<LeaderEpochs> {
        let ascending = entries.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        ascending.then_some(LeaderEpochs { entries })
    }

    /// The entries, oldest first.
    pub fn entries(&self) -> &[(LeaderEpoch, Offset)] {
        &self.entries
    }

    /// The newest epoch.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|&(epoch, _)| epoch)
    }

    /// Notes that `epoch` begins at `start`; entries that this makes impossible go. True if something changed.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if epoch < LeaderEpoch(0) || self.latest().is_some_and(|latest| latest >= epoch) {
            return false;
        }
        // An epoch without a record is replaced by the next one: its start is where the other begins too.
        self.entries.retain(|&(_, other)| other < start);
        self.entries.push((epoch, start));
        true
    }

    /// Forgets what begins at or after `end`. True if something changed.
    pub fn truncate_to(&mut self, end: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|&(_, start)| start < end);
        self.entries.len() != before
    }

    /// Forgets epochs that end before `start`, and moves the one that holds it. True if something changed.
    pub fn start_at(&mut self, start: Offset) -> bool {
        let holding = self.entries.partition_point(|&(_, other)| other <= start);
        if holding == 0 || (holding == 1 && self.entries[0].1 == start) {
            return false;
        }
        self.entries.drain(..holding - 1);
        self.entries[0].1 = start;
        true
    }

    /// The largest epoch up to `asked` and the offset where it ends, as OffsetForLeaderEpoch answers
    /// (`LeaderEpochFileCache.endOffsetFor`); `None` if the epoch is not known at all.
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
            // Older than all we know: the first known epoch's start is as far as the logs can agree.
            None => Some((asked, end)),
        }
    }

    /// The epoch of the record at `offset`.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|&(_, start)| start <= offset);
        after.checked_sub(1).map(|at| self.entries[at].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        LeaderEpochs::new(entries.iter().map(|&(epoch, start)| (LeaderEpoch(epoch), Offset(start))).collect())
            .unwrap()
    }

    #[test]
    fn end_offset_answers_as_kafka() {
        let cache = epochs(&[(2, 6), (4, 10), (7, 15)]);
        for (asked, expected) in [
            (1, Some((1, 6))),
            (2, Some((2, 10))),
            (3, Some((2, 10))),
            (4, Some((4, 15))),
            (6, Some((4, 15))),
            (7, Some((7, 20))),
            (8, None),
            (-1, None),
        ] {
            let expected = expected.map(|(epoch, end)| (LeaderEpoch(epoch), Offset(end)));
            assert_eq!(cache.end_offset(LeaderEpoch(asked), Offset(20)), expected, "{asked}");
        }
        assert_eq!(LeaderEpochs::default().end_offset(LeaderEpoch(0), Offset(20)), None);
    }

    #[test]
    fn assignment_ignores_old_epochs_and_replaces_empty_ones() {
        let mut cache = epochs(&[(2, 6)]);
        assert!(!cache.assign(LeaderEpoch(2), Offset(9)));
        assert!(!cache.assign(LeaderEpoch(1), Offset(9)));
        assert!(cache.assign(LeaderEpoch(3), Offset(9)));
        assert!(cache.assign(LeaderEpoch(5), Offset(9)));
        assert_eq!(cache, epochs(&[(2, 6), (5, 9)]));
    }

    #[test]
    fn both_ends_can_be_cut() {
        let mut cache = epochs(&[(2, 6), (4, 10), (7, 15)]);
        assert!(!cache.start_at(Offset(5)));
        assert!(cache.start_at(Offset(12)));
        assert_eq!(cache, epochs(&[(4, 12), (7, 15)]));
        assert!(cache.truncate_to(Offset(15)));
        assert_eq!(cache, epochs(&[(4, 12)]));
        assert_eq!(cache.epoch_at(Offset(13)), Some(LeaderEpoch(4)));
        assert_eq!(cache.epoch_at(Offset(11)), None);
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
        assert_eq!(LeaderEpochs::new(vec![(LeaderEpoch(2), Offset(0)), (LeaderEpoch(2), Offset(4))]), None);
        assert_eq!(LeaderEpochs::new(vec![(LeaderEpoch(2), Offset(4)), (LeaderEpoch(3), Offset(0))]), None);
    }
}
