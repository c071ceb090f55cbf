//! What clients were told: every record that was acknowledged or read, with what is needed to judge later whether it may be
//! gone. A record may be lost only if its topic does not flush and every replica in sync at the time lost power afterwards.

use std::collections::BTreeMap;
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
    isrs: BTreeMap<Part, Vec<(Duration, Vec<i32>)>>,
    power_losses: BTreeMap<i32, Duration>,
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

    /// A consumer was given a record.
    pub fn read(&mut self, part: Part, offset: i64, id: RecordId) {
        self.read_count += 1;
        // When it was written is not known; what was in sync a while ago had it too.
        let sent = self.acknowledged.get(&id).map_or(self.now, |(_, entry)| entry.sent);
        self.note(part, offset, Entry { id, sent, known: self.now }, "read");
    }

    /// One value for each offset, unless the former one may be gone.
    fn note(&mut self, part: Part, offset: i64, entry: Entry, how: &str) {
        let known = self.entries.entry(part).or_default().get(&offset).copied();
        match known {
            Some(known) if known.id == entry.id => return,
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

    /// Who is in sync, as the newest image says.
    pub fn in_sync(&mut self, part: Part, isr: Vec<i32>) {
        let known = self.isrs.entry(part).or_default();
        if known.last().is_none_or(|(_, last)| *last != isr) {
            known.push((self.now, isr));
        }
    }

    /// A machine lost what it had not synced.
    pub fn power_lost(&mut self, node: i32) {
        self.power_losses.insert(node, self.now);
    }

    /// Whether all who had to keep a record lost power after it was written.
    pub fn may_be_lost(&self, part: Part, entry: Entry) -> bool {
        if part.0 == FLUSHED {
            return false;
        }
        let isrs = self.isrs.get(&part).map_or(&[][..], Vec::as_slice);
        let first = isrs.iter().rposition(|(since, _)| *since <= entry.sent).unwrap_or(0);
        let at_the_time =
            isrs[first..].iter().take_while(|(since, _)| *since <= entry.known + OBSERVATION_LAG);
        let lost = |node: &i32| self.power_losses.get(node).is_some_and(|lost| *lost >= entry.sent);
        at_the_time.into_iter().any(|(_, isr)| isr.iter().all(lost))
    }
}

/// The topic whose records are synced before they are acknowledged.
pub const FLUSHED: &str = "flushed";
/// The topic whose records are only replicated.
pub const PLAIN: &str = "plain";
