//! What goes wrong, when, and for how long: all of it follows from the seed, whatever the cluster does meanwhile. Knows no
//! process and no network.

use std::time::Duration;

use chance::Random;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9` of one node.
    KillOne,
    /// `kill -9` of the leader of a partition.
    KillLeader,
    /// `kill -9` of the active controller.
    KillController,
    /// `kill -9` of two nodes at once.
    KillTwo,
    /// `kill -9` of all nodes at once.
    KillAll,
    /// SIGTERM, and a start.
    Restart,
    /// SIGSTOP, and SIGCONT.
    Pause,
    /// A node's disk is filled by somebody else.
    FillDisk,
    /// Nothing passes between a node and the others.
    Isolate,
    /// Nothing passes between a minority and the others.
    Halves,
    /// Nothing passes from a node to another, and everything the other way.
    OneWay,
    /// Packets are lost everywhere.
    Lossy,
    /// A node's link is slow.
    Slow,
}

impl Fault {
    /// All kinds: first those that need processes only, then those that need file systems and networks of the run's own.
    pub const ISOLATED: [Fault; 13] = [
        Fault::KillOne,
        Fault::KillLeader,
        Fault::KillController,
        Fault::KillTwo,
        Fault::KillAll,
        Fault::Restart,
        Fault::Pause,
        Fault::FillDisk,
        Fault::Isolate,
        Fault::Halves,
        Fault::OneWay,
        Fault::Lossy,
        Fault::Slow,
    ];
    /// What needs processes only.
    pub const OF_PROCESSES: &[Fault] = Fault::ISOLATED.split_at(7).0;

    /// How long it lasts, in milliseconds, from and to.
    fn lasts_ms(self) -> (u64, u64) {
        match self {
            Fault::KillOne | Fault::KillLeader | Fault::KillController => (0, 3_000),
            Fault::KillTwo | Fault::KillAll | Fault::Restart => (0, 1_500),
            Fault::Pause => (1_000, 8_000),
            Fault::FillDisk | Fault::Isolate | Fault::Halves | Fault::OneWay => (1_000, 6_000),
            Fault::Lossy | Fault::Slow => (2_000, 6_000),
        }
    }
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// After the end of the one before.
    pub after: Duration,
    /// What.
    pub fault: Fault,
    /// Until it is healed.
    pub lasts: Duration,
    /// The node it is done to, where the fault does not name one.
    pub node: usize,
    /// Another one.
    pub other: usize,
    /// Whether clients are cut off too, and other things that have two forms.
    pub is_wide: bool,
    /// Whether the next fault waits until the cluster has recovered from this one.
    pub waits: bool,
}

/// Faults without an end. Every kind comes once before any comes twice.
#[derive(Clone, Debug)]
pub struct Schedule {
    random: Random,
    nodes: usize,
    kinds: Vec<Fault>,
    bag: Vec<Fault>,
}

impl Schedule {
    /// For so many nodes, of these kinds.
    pub fn new(random: Random, nodes: usize, kinds: &[Fault]) -> Schedule {
        assert!(nodes > 1 && !kinds.is_empty(), "there is something to break");
        Schedule { random, nodes, kinds: kinds.to_vec(), bag: Vec::new() }
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.bag.is_empty() {
            self.bag.clone_from(&self.kinds);
        }
        let fault = self.bag.swap_remove(self.random.index(self.bag.len()));
        let (from, to) = fault.lasts_ms();
        let node = self.random.index(self.nodes);
        Some(Step {
            after: Duration::from_millis(self.random.between(200, 2_000)),
            fault,
            lasts: Duration::from_millis(self.random.between(from, to)),
            node,
            other: (node + 1 + self.random.index(self.nodes - 1)) % self.nodes,
            is_wide: self.random.one_in(2),
            waits: self.random.one_in(3),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_seed_repeats_its_faults_and_another_has_others() {
        let of = |seed| Schedule::new(Random::new(seed), 3, &Fault::ISOLATED).take(50).collect::<Vec<_>>();
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn every_kind_comes_before_any_comes_twice() {
        for seed in 0..100 {
            let mut counts: BTreeMap<Fault, usize> = BTreeMap::new();
            for step in Schedule::new(Random::new(seed), 5, &Fault::ISOLATED).take(26) {
                *counts.entry(step.fault).or_default() += 1;
            }
            assert!(Fault::ISOLATED.iter().all(|kind| counts[kind] == 2), "{seed}: {counts:?}");
        }
    }

    #[test]
    fn a_fault_is_done_to_nodes_that_there_are_and_no_longer_than_clients_bear() {
        for nodes in [3, 5] {
            for step in Schedule::new(Random::new(1), nodes, &Fault::ISOLATED).take(1000) {
                assert!(step.node < nodes && step.other < nodes && step.node != step.other);
                assert!(step.lasts <= Duration::from_secs(8));
            }
        }
    }
}
