//! What clients were told: every record that was acknowledged or read, with what is needed to judge later whether it may be
//! gone. A record may be lost only if its topic does not flush and all who had to keep it lost power: the replicas that were
//! in sync when it was acknowledged, and those that came to be in sync since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is seen of a change of replicas in sync may lag behind it.
const OBSERVATION_LAG: Duration = Duration::from_millis(100);

/// A partition of a topic of the workload.
pub type Part = (&'static str, i32);

/// A record's identity: its producer in the upper half, its number in the lower.
pub type RecordId = u64;

/// A record that somebody knows to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub id: RecordId,
    /// It may have been written from then on.
    pub sent: Duration,
    /// It was there by then.
    pub known: Duration,
}

/// What clients were told; clones share it.
#[derive(Clone, Debug, Default)]
pub struct History(Arc<Mutex<Told>>);

/// The content of a history.
#[derive(Debug, Default)]
pub struct Told {
    /// The simulation's time.
    pub now: Duration,
    /// By partition and offset.
    pub entries: BTreeMap<Part, BTreeMap<i64, Entry>>,
    /// Everything that was acknowledged.
    pub acknowledged: BTreeMap<RecordId, (Part, Entry)>,
    /// Records that were read, counting repetitions.
    pub read_count: u64,
    /// Records that were given up by their producers: they may be there or not.
    pub given_up: u64,
    /// What must not be.
    pub violations: Vec<String>,
    /// Offsets whose value changed because all replicas in sync had lost power.
    pub lost_with_power: u64,
    /// Commits of a group's offset that were acknowledged.
    pub commits: u64,
    /// Offsets whose commit failed: it may come true late, after others.
    uncertain_commits: BTreeSet<i64>,
    keepers: BTreeMap<Part, Keepers>,
    power_losses: BTreeMap<i32, Duration>,
}

/// Who has all that was acknowledged in a partition.
#[derive(Debug, Default)]
struct Keepers {
    /// In sync or eligible, as the newest image says.
    all: BTreeSet<i32>,
    /// Those of them that have not lost power since they came to be.
    intact: BTreeSet<i32>,
    /// When the last of them had lost power.
    lost_at: Option<Duration>,
}

impl History {
    /// For a moment.
    pub fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// A producer was told that its record is there; offset -1 is one that it was not told.
    pub fn acknowledged(&mut self, part: Part, offset: i64, id: RecordId, sent: Duration) {
        let entry = Entry { id, sent, known: self.now };
        self.acknowledged.insert(id, (part, entry));
        if offset >= 0 {
            self.note(part, offset, entry, "acknowledged");
        }
    }

    /// A consumer was given a record that a broker sent at some time after `since`.
    pub fn read(&mut self, part: Part, offset: i64, id: RecordId, since: Duration) {
        self.read_count += 1;
        self.note(part, offset, Entry { id, sent: since, known: self.now }, "read");
    }

    /// One value for each offset, unless the former one may be gone.
    fn note(&mut self, part: Part, offset: i64, entry: Entry, how: &str) {
        let known = self.entries.entry(part).or_default().get(&offset).copied();
        match known {
            Some(known) if known.id == entry.id => return,
            // What a client is told late may be what was lost.
            Some(known) if !self.may_be_lost(part, known) && self.may_be_lost(part, entry) => return,
            Some(known) if !self.may_be_lost(part, known) => {
                let (topic, partition) = part;
                self.violations.push(format!(
                    "one value: {topic}-{partition} offset {offset} was {:x} at {:?}, and {:x} was {how} there at {:?}",
                    known.id, known.known, entry.id, self.now
                ));
                return;
            }
            Some(_) => self.lost_with_power += 1,
            None => {}
        }
        self.entries.entry(part).or_default().insert(offset, entry);
    }

    /// Who is in sync or eligible to lead, as the newest image says.
    pub fn kept_by(&mut self, part: Part, all: BTreeSet<i32>) {
        let (now, losses) = (self.now, &self.power_losses);
        let is_fresh = |node: &i32| losses.get(node).is_none_or(|lost| *lost + OBSERVATION_LAG < now);
        let keepers = self.keepers.entry(part).or_default();
        if keepers.all != all {
            let joined = all.difference(&keepers.all).copied().filter(is_fresh);
            let stayed = keepers.intact.intersection(&all).copied();
            keepers.intact = joined.chain(stayed).collect();
            keepers.all = all;
            keepers.look(now);
        }
    }

    /// A machine lost what it had not synced.
    pub fn power_lost(&mut self, node: i32) {
        let now = self.now;
        self.power_losses.insert(node, now);
        for keepers in self.keepers.values_mut() {
            keepers.intact.remove(&node);
            keepers.look(now);
        }
    }

    /// A commit of a group's offset was acknowledged, or not.
    pub fn committed(&mut self, offset: i64, is_acknowledged: bool) {
        match is_acknowledged {
            true => self.commits += 1,
            false => drop(self.uncertain_commits.insert(offset)),
        }
    }

    /// A group's offset was read after `acknowledged` was committed and before anything past `sent` was: it does not go
    /// back. It is not synced, so that a loss of power takes it back without a fault of anybody's.
    pub fn committed_read(&mut self, read: i64, acknowledged: i64, sent: i64) {
        let is_there = (acknowledged..=sent).contains(&read) || self.uncertain_commits.contains(&read);
        if !is_there && self.power_losses.is_empty() {
            self.violations.push(format!(
                "commits: a group is at {read} at {:?}, and {acknowledged} was acknowledged",
                self.now
            ));
        }
    }

    /// Whether all who had to keep a record lost power after it was written.
    pub fn may_be_lost(&self, part: Part, entry: Entry) -> bool {
        let lost_at = self.keepers.get(&part).and_then(|keepers| keepers.lost_at);
        part.0 != FLUSHED && lost_at.is_some_and(|lost_at| lost_at >= entry.sent)
    }
}

impl Keepers {
    fn look(&mut self, now: Duration) {
        if self.intact.is_empty() {
            self.lost_at = Some(now);
        }
    }
}

/// The topic whose records are synced before they are acknowledged.
pub const FLUSHED: &str = "flushed";
/// The topic whose records are only replicated.
pub const PLAIN: &str = "plain";
