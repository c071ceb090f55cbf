//! What clients were told: every record that was acknowledged or read, with what is needed to judge later whether it may be
//! gone. A record may be lost only if its topic does not flush and all who had to keep it lost power: the replicas that were
//! in sync when it was acknowledged, and those that came to be in sync since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::properties::compacted::Keyed;
use chance::Random;

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
    /// How often an older offset of the group was read than the last one that was acknowledged.
    pub stale_commits: u64,
    /// Of the topic whose records are deleted: the offset before which they may be gone, and the one before which they are.
    trim: Trim,
    /// What was written to the compacted topic.
    pub keyed: Keyed,
    /// How often the compacted topic was read from its beginning to its end.
    pub keyed_reads: u64,
    /// How often a topic was created, written, read and deleted.
    pub lives: u64,
    /// Offsets whose commit failed: it may come true late, after others.
    uncertain_commits: BTreeSet<i64>,
    /// When the last one that was acknowledged was sent.
    last_commit_sent: Duration,
    keepers: BTreeMap<Part, Keepers>,
    power_losses: BTreeMap<i32, Duration>,
}

/// How far records were deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trim {
    /// Somebody asked for it.
    pub asked: i64,
    /// Somebody was told that it is done.
    pub done: i64,
    /// How often that was.
    pub times: u64,
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

    /// An offset before which all records are to be deleted.
    pub fn trim_to(&mut self, random: &mut Random) -> Option<i64> {
        let known = self.entries.get(&(TRIMMED, 0))?;
        let (last, _) = known.last_key_value()?;
        let from = self.trim.asked;
        let offset = i64::try_from(random.between(0, u64::try_from(last - from).ok()? + 1)).ok()? + from;
        self.trim.asked = offset;
        Some(offset)
    }

    /// Records were deleted before this offset on all replicas.
    pub fn trimmed(&mut self, low_watermark: i64) {
        self.trim.times += 1;
        self.trim.done = self.trim.done.max(low_watermark);
    }

    /// How far records of a partition were deleted.
    pub fn trim_of(&self, part: Part) -> Trim {
        if part == (TRIMMED, 0) { self.trim } else { Trim::default() }
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

    /// A commit of a group's offset that was sent at `sent` was acknowledged, or not.
    pub fn committed(&mut self, offset: i64, sent: Duration, is_acknowledged: bool) {
        match is_acknowledged {
            true => (self.commits, self.last_commit_sent) = (self.commits + 1, sent),
            false => drop(self.uncertain_commits.insert(offset)),
        }
    }

    /// A group's offset was read after `acknowledged` was committed and before anything past `sent` was: it does not go
    /// back, unless all who had to keep it lost power. Whether that is settled; until the `last` time, a coordinator may
    /// have answered that is none any more.
    pub fn committed_read(&mut self, read: i64, acknowledged: i64, sent: i64, last: bool) -> bool {
        let is_there = (acknowledged..=sent).contains(&read) || self.uncertain_commits.contains(&read);
        let is_kept = |(part, keepers): (&Part, &Keepers)| {
            part.0 != OFFSETS || keepers.lost_at.is_none_or(|lost_at| lost_at < self.last_commit_sent)
        };
        if is_there || !self.keepers.iter().all(is_kept) {
            return true;
        }
        self.stale_commits += 1;
        if last {
            self.violations.push(format!(
                "commits: a group is at {read} at {:?}, and {acknowledged} was acknowledged",
                self.now
            ));
        }
        last
    }

    /// Whether all who had to keep a record lost power after it was written.
    pub fn may_be_lost(&self, part: Part, entry: Entry) -> bool {
        let lost_at = self.keepers.get(&part).and_then(|keepers| keepers.lost_at);
        part.0 == PLAIN && lost_at.is_some_and(|lost_at| lost_at >= entry.sent)
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
/// The topic of the groups' offsets; only replicated too.
pub const OFFSETS: &str = "__consumer_offsets";
/// Its partitions in the simulation.
pub const OFFSETS_PARTITIONS: i32 = 2;
/// The topic whose records are only replicated.
pub const PLAIN: &str = "plain";
/// The topic whose records are deleted from its beginning on; it is flushed too.
pub const TRIMMED: &str = "trimmed";
/// The compacted topic; it is flushed too.
pub const KEYED: &str = "keyed";
