//! Which part of a log may be compacted, how much that is worth, and which log comes first. Pure.

use types::{Offset, Timestamp};

/// What of a topic's configuration says when its logs are compacted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompactionRules {
    /// `min.cleanable.dirty.ratio`.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: i64,
}

/// What the planner sees of a segment that is no longer written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentView {
    pub(crate) base: Offset,
    pub(crate) next: Offset,
    pub(crate) size_bytes: u64,
    pub(crate) largest_timestamp: Timestamp,
    /// Only looked at where there is a longest lag.
    pub(crate) first_timestamp: Option<Timestamp>,
}

/// What waits in one log to be compacted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backlog {
    /// All before it was compacted.
    pub first_dirty: Offset,
    /// From here on nothing may be compacted yet.
    pub first_uncleanable: Offset,
    /// The bytes before the first dirty offset.
    pub clean_bytes: u64,
    /// The bytes between the two.
    pub cleanable_bytes: u64,
    /// The bytes that are not compacted, whether they may be or not.
    pub uncleanable_bytes: u64,
    /// How long the oldest record has waited beyond `max.compaction.lag.ms`.
    pub overdue_ms: i64,
    /// Whether it is worth a round, or overdue.
    pub is_due: bool,
}

impl Backlog {
    /// Looks at the segments that are no longer written, oldest first. `stable_end` is where transactions that are open
    /// and records that are not replicated begin.
    pub(crate) fn of(
        segments: &[SegmentView],
        first_dirty: Offset,
        stable_end: Offset,
        rules: &CompactionRules,
        now: Timestamp,
    ) -> Backlog {
        let is_settled = |segment: &SegmentView| {
            segment.next <= stable_end
                && (rules.min_compaction_lag_ms <= 0
                    || segment.next <= first_dirty
                    || segment.largest_timestamp.0 <= now.0.saturating_sub(rules.min_compaction_lag_ms))
        };
        let settled = segments.iter().take_while(|segment| is_settled(segment)).count();
        let first_uncleanable = match settled.checked_sub(1) {
            Some(last) => segments[last].next.max(first_dirty),
            None => first_dirty,
        };
        let bytes = |part: &[SegmentView]| part.iter().map(|segment| segment.size_bytes).sum::<u64>();
        let clean = segments.partition_point(|segment| segment.next <= first_dirty).min(settled);
        let (clean_bytes, cleanable_bytes) = (bytes(&segments[..clean]), bytes(&segments[clean..settled]));
        let overdue_ms = overdue_ms(&segments[clean..], rules, now);
        let total = clean_bytes + cleanable_bytes;
        let mut backlog = Backlog {
            first_dirty,
            first_uncleanable,
            clean_bytes,
            cleanable_bytes,
            uncleanable_bytes: bytes(&segments[settled..]),
            overdue_ms,
            is_due: false,
        };
        backlog.is_due = cleanable_bytes > 0
            && total > 0
            && (overdue_ms > 0 || backlog.dirty_ratio() > rules.min_cleanable_dirty_ratio);
        backlog
    }

    /// Which part of what may be compacted was not yet.
    pub fn dirty_ratio(&self) -> f64 {
        match self.clean_bytes + self.cleanable_bytes {
            0 => 0.0,
            #[allow(clippy::cast_precision_loss, reason = "a ratio of sizes")]
            total => self.cleanable_bytes as f64 / total as f64,
        }
    }
}

fn overdue_ms(dirty: &[SegmentView], rules: &CompactionRules, now: Timestamp) -> i64 {
    let oldest = dirty.iter().filter_map(|segment| segment.first_timestamp).filter(|time| time.0 > 0).min();
    let until = now.0.saturating_sub(rules.max_compaction_lag_ms.max(0));
    oldest.map_or(0, |oldest| until.saturating_sub(oldest.0).max(0))
}

/// The one that is to be compacted first: that with the largest part to compact.
pub fn filthiest<T>(candidates: impl IntoIterator<Item = (T, Backlog)>) -> Option<(T, Backlog)> {
    let due = candidates.into_iter().filter(|(_, backlog)| backlog.is_due);
    due.max_by(|(_, one), (_, other)| one.dirty_ratio().total_cmp(&other.dirty_ratio()))
}

/// Puts neighbours together as long as the whole would still fit one segment.
pub(crate) fn group(segments: &[SegmentView], segment_bytes_max: u64) -> Vec<usize> {
    let mut groups: Vec<usize> = Vec::new();
    let mut first: Option<(Offset, u64)> = None;
    for segment in segments {
        let fits = first.is_some_and(|(base, bytes)| {
            bytes + segment.size_bytes <= segment_bytes_max && segment.next.since(base) <= i64::from(i32::MAX)
        });
        match (&mut first, groups.last_mut()) {
            (Some((_, bytes)), Some(count)) if fits => {
                *bytes += segment.size_bytes;
                *count += 1;
            }
            (first, _) => {
                *first = Some((segment.base, segment.size_bytes));
                groups.push(1);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: CompactionRules = CompactionRules {
        min_cleanable_dirty_ratio: 0.5,
        min_compaction_lag_ms: 0,
        max_compaction_lag_ms: i64::MAX,
    };

    /// Segments of 10 offsets with these sizes, the n-th with times from 100 n on.
    fn segments(sizes: &[u64]) -> Vec<SegmentView> {
        let view = |(at, &size_bytes): (usize, &u64)| SegmentView {
            base: Offset(10 * at as i64),
            next: Offset(10 * at as i64 + 10),
            size_bytes,
            largest_timestamp: Timestamp(100 * at as i64 + 99),
            first_timestamp: Some(Timestamp(100 * at as i64)),
        };
        sizes.iter().enumerate().map(view).collect()
    }

    fn backlog(first_dirty: i64, stable_end: i64, rules: &CompactionRules, now: i64) -> Backlog {
        Backlog::of(
            &segments(&[100, 50, 40, 30]),
            Offset(first_dirty),
            Offset(stable_end),
            rules,
            Timestamp(now),
        )
    }

    #[test]
    fn only_whole_segments_below_what_is_stable_are_cleanable() {
        for (first_dirty, stable_end, until, clean, cleanable, uncleanable) in [
            (0, 40, 40, 0, 220, 0),
            (0, 39, 30, 0, 190, 30),
            (10, 39, 30, 100, 90, 30),
            (20, 5, 20, 0, 0, 220),
            (40, 40, 40, 220, 0, 0),
            (15, 30, 30, 100, 90, 30),
        ] {
            let backlog = backlog(first_dirty, stable_end, &RULES, 0);
            assert_eq!(
                (
                    backlog.first_uncleanable.0,
                    backlog.clean_bytes,
                    backlog.cleanable_bytes,
                    backlog.uncleanable_bytes
                ),
                (until, clean, cleanable, uncleanable),
                "{first_dirty} {stable_end}"
            );
        }
    }

    #[test]
    fn a_record_younger_than_the_smallest_lag_holds_its_segment_back() {
        let rules = CompactionRules { min_compaction_lag_ms: 1000, ..RULES };
        // The third segment's youngest record is of 299.
        assert_eq!(backlog(0, 40, &rules, 1298).first_uncleanable, Offset(20));
        assert_eq!(backlog(0, 40, &rules, 1299).first_uncleanable, Offset(30));
    }

    #[test]
    fn a_log_is_due_by_its_ratio_or_by_its_oldest_dirty_record() {
        assert!(backlog(0, 40, &RULES, 0).is_due);
        assert!(!backlog(30, 40, &RULES, 0).is_due, "30 of 220 bytes");
        let rules = CompactionRules { max_compaction_lag_ms: 500, ..RULES };
        assert!(!backlog(30, 40, &rules, 800).is_due);
        let overdue = backlog(30, 40, &rules, 801);
        assert_eq!((overdue.is_due, overdue.overdue_ms), (true, 1));
        assert!(!backlog(40, 40, &rules, 5000).is_due, "there is nothing to compact");
    }

    #[test]
    fn the_filthiest_that_is_due_comes_first() {
        let with = |first_dirty| backlog(first_dirty, 40, &RULES, 0);
        let chosen = filthiest([("a", with(10)), ("b", with(0)), ("c", with(30))]);
        assert_eq!(chosen.map(|(name, _)| name), Some("b"));
        assert!(filthiest([("c", with(30))]).is_none());
    }

    #[test]
    fn small_neighbours_are_put_together() {
        assert_eq!(group(&segments(&[100, 50, 40, 30]), 100), [1, 2, 1]);
        assert_eq!(group(&segments(&[100, 50, 40, 30]), 1000), [4]);
        assert_eq!(group(&segments(&[100, 50]), 10), [1, 1]);
        assert!(group(&[], 10).is_empty());
    }
}
