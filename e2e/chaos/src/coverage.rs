//! What a run did, and whether that was enough to count.

use std::collections::BTreeMap;
use std::fmt;

use crate::schedule::Fault;

/// A run that has acknowledged fewer records shows nothing.
const ACKNOWLEDGED_MIN: u64 = 1_000;
const LEADER_CHANGES_MIN: u64 = 3;
const KINDS_MIN: usize = 4;

/// What happened in one round, or in several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Of these rounds.
    pub seeds: Vec<u64>,
    /// How often each kind of fault came.
    pub faults: BTreeMap<Fault, u64>,
    /// Records that producers were told of.
    pub acknowledged: u64,
    /// Records that consumers were given.
    pub read: u64,
    /// Commits of groups that were acknowledged.
    pub commits: u64,
    /// How often a partition was seen to be led by another.
    pub leader_changes: u64,
    /// What must not be.
    pub violations: Vec<String>,
}

impl Coverage {
    /// Both together.
    pub fn add(&mut self, other: Coverage) {
        self.seeds.extend(other.seeds);
        for (fault, count) in other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        self.acknowledged += other.acknowledged;
        self.read += other.read;
        self.commits += other.commits;
        self.leader_changes += other.leader_changes;
        self.violations.extend(other.violations);
    }

    /// What a round lacks to count; nothing if it does.
    pub fn lacks(&self) -> Vec<String> {
        let kinds = self.faults.len();
        let least = [
            (self.acknowledged >= ACKNOWLEDGED_MIN, format!("{ACKNOWLEDGED_MIN} acknowledged records")),
            (self.read >= self.acknowledged, "every acknowledged record read".to_owned()),
            (self.commits > 0, "a commit of a group".to_owned()),
            (self.leader_changes >= LEADER_CHANGES_MIN, format!("{LEADER_CHANGES_MIN} leader changes")),
            (kinds >= KINDS_MIN, format!("{KINDS_MIN} kinds of fault")),
        ];
        least.into_iter().filter(|(is_enough, _)| !is_enough).map(|(_, what)| what).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let faults: Vec<String> =
            self.faults.iter().map(|(fault, count)| format!("{fault:?} {count}")).collect();
        write!(
            f,
            "{} acknowledged, {} read, {} commits, {} leader changes; {}; seeds {}; {} violations",
            self.acknowledged,
            self.read,
            self.commits,
            self.leader_changes,
            faults.join(", "),
            seeds.join(" "),
            self.violations.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enough() -> Coverage {
        let faults =
            [Fault::KillOne, Fault::KillAll, Fault::Pause, Fault::Restart].map(|fault| (fault, 1)).into();
        Coverage {
            faults,
            acknowledged: 1_000,
            read: 1_000,
            commits: 1,
            leader_changes: 3,
            ..Coverage::default()
        }
    }

    #[test]
    fn a_run_that_did_little_does_not_count() {
        assert_eq!(enough().lacks(), Vec::<String>::new());
        assert_eq!(Coverage { acknowledged: 999, ..enough() }.lacks().len(), 1);
        assert_eq!(Coverage { read: 999, ..enough() }.lacks().len(), 1);
        assert_eq!(Coverage { leader_changes: 2, ..enough() }.lacks().len(), 1);
        assert_eq!(Coverage::default().lacks().len(), 4);
    }

    #[test]
    fn rounds_add_up() {
        let mut both = enough();
        both.add(enough());
        assert_eq!((both.acknowledged, both.faults[&Fault::Pause]), (2_000, 2));
    }
}
