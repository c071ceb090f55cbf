//! What clients were told, and whether it is true in the end: one value for each offset, nothing that was acknowledged or
//! read lost, duplicated or reordered, and a group's offsets that never go back. Nodes lose no power here, so that nothing
//! excuses a loss.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A topic and a partition of it.
pub type Part = (String, i32);

/// What a violation list is cut at: one cause makes many.
const VIOLATIONS_MAX: usize = 50;

/// A record's identity: who sent it, and which of theirs it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId {
    /// The producer.
    pub producer: u32,
    /// Counted by the producer in the order of sending.
    pub number: u64,
}

impl RecordId {
    /// What is written as the record's value: two numbers with a point between them, then perhaps a space and filling.
    pub fn parse(value: &[u8]) -> Option<RecordId> {
        let text = std::str::from_utf8(value).ok()?;
        let (producer, number) = text.split(' ').next()?.split_once('.')?;
        Some(RecordId { producer: producer.parse().ok()?, number: number.parse().ok()? })
    }
}

/// Shared by all clients of a run.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Told>>);

impl Ledger {
    /// For a moment.
    pub fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What clients were told.
#[derive(Debug, Default)]
pub struct Told {
    /// By partition and offset, acknowledged or read.
    known: BTreeMap<Part, BTreeMap<i64, RecordId>>,
    /// Acknowledged without an offset: a retry found its record in place.
    placeless: Vec<(Part, RecordId)>,
    /// By group and partition: the highest offset whose commit was acknowledged.
    committed: BTreeMap<(&'static str, Part), i64>,
    /// Offsets whose commit failed: it may come true late, after others.
    uncertain: BTreeSet<(&'static str, Part, i64)>,
    /// By group and partition: the highest offset that was read.
    read_up_to: BTreeMap<(&'static str, Part), i64>,
    /// Records that were acknowledged.
    pub acknowledged: u64,
    /// Records that were given to consumers.
    pub read: u64,
    /// How often a partition was seen to be led by another than before.
    pub leader_changes: u64,
    /// Commits of groups that were acknowledged.
    pub commits: u64,
    /// What must not be.
    pub violations: Vec<String>,
}

/// What all replicas of a partition hold.
pub type FinalLog = BTreeMap<i64, RecordId>;

impl Told {
    /// A producer was told that its record is there; a negative offset is one that it was not told.
    pub fn acknowledged(&mut self, part: Part, offset: i64, id: RecordId) {
        self.acknowledged += 1;
        if offset < 0 {
            return self.placeless.push((part, id));
        }
        self.note(part, offset, id, "acknowledged");
    }

    /// A consumer of a group was given a record.
    pub fn read(&mut self, group: &'static str, part: Part, offset: i64, id: RecordId) {
        self.read += 1;
        let highest = self.read_up_to.entry((group, part.clone())).or_insert(offset);
        *highest = offset.max(*highest);
        self.note(part, offset, id, "read");
    }

    /// A group's commit was acknowledged.
    pub fn committed(&mut self, group: &'static str, part: Part, offset: i64) {
        self.commits += 1;
        let highest = self.committed.entry((group, part)).or_default();
        *highest = offset.max(*highest);
    }

    /// A group's commit failed, as far as its member knows.
    pub fn uncertain_commit(&mut self, group: &'static str, part: Part, offset: i64) {
        self.uncertain.insert((group, part, offset));
    }

    /// The highest offset that a group was given.
    pub fn read_up_to(&self, group: &'static str, part: &Part) -> Option<i64> {
        self.read_up_to.get(&(group, part.clone())).copied()
    }

    /// How far a group's commits were acknowledged.
    pub fn committed_of(&self, group: &'static str, part: &Part) -> i64 {
        self.committed.get(&(group, part.clone())).copied().unwrap_or_default()
    }

    /// A group's offset was read, by a request that was sent after `acknowledged` was.
    pub fn committed_read(&mut self, group: &'static str, part: &Part, offset: i64, acknowledged: i64) {
        if offset < acknowledged && !self.uncertain.contains(&(group, part.clone(), offset)) {
            self.violation(format!(
                "commits: {group} is at {offset} of {part:?}, and {acknowledged} was acknowledged"
            ));
        }
    }

    /// Something that must not be.
    pub fn violation(&mut self, text: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(text);
        }
    }

    /// Compares what was told with what is there in the end.
    pub fn check(&mut self, logs: &BTreeMap<Part, FinalLog>) {
        let mut found = Vec::new();
        for (part, known) in &self.known {
            let Some(log) = logs.get(part) else {
                found.push(format!("acknowledged: nothing is left of {part:?}"));
                continue;
            };
            let differs = known.iter().filter(|(offset, id)| log.get(offset) != Some(id));
            found.extend(differs.map(|(offset, id)| {
                format!("acknowledged: {part:?} offset {offset} was {id:?}, and is {:?}", log.get(offset))
            }));
        }
        for (part, id) in &self.placeless {
            if !logs.get(part).is_some_and(|log| log.values().any(|there| there == id)) {
                found.push(format!("acknowledged: {id:?} is not in {part:?}"));
            }
        }
        for (part, log) in logs {
            check_order(part, log, &mut found);
        }
        found.into_iter().for_each(|text| self.violation(text));
    }

    fn note(&mut self, part: Part, offset: i64, id: RecordId, how: &str) {
        let former = *self.known.entry(part.clone()).or_default().entry(offset).or_insert(id);
        if former != id {
            self.violation(format!(
                "one value: {part:?} offset {offset} was {former:?}, and {id:?} was {how} there"
            ));
        }
    }
}

/// Nothing is there twice, and each producer's records are in the order in which they were sent. A gap is for [`Told::check`]
/// to judge: a record that was not acknowledged may be missing.
fn check_order(part: &Part, log: &FinalLog, found: &mut Vec<String>) {
    let mut last: BTreeMap<u32, u64> = BTreeMap::new();
    for (offset, id) in log {
        match last.insert(id.producer, id.number) {
            Some(former) if former >= id.number => {
                found.push(format!(
                    "in order, once: {part:?} offset {offset} has {id:?} after number {former}"
                ));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
