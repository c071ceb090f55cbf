//! What was acknowledged is there, at the offset that was told, once, and in the order in which it was acknowledged. What was
//! read is there too.

use std::collections::{BTreeMap, BTreeSet};

use super::replicas_equal::FinalLog;
use crate::history::{Part, RecordId, Told};

/// Compares what clients were told with what the replicas agree on. How many were lost with all their replicas' power.
pub fn check(told: &Told, logs: &BTreeMap<Part, FinalLog>, violations: &mut Vec<String>) -> u64 {
    let mut lost_with_power = 0;
    for (&part, entries) in &told.entries {
        let Some(log) = logs.get(&part) else {
            violations.push(format!("acknowledged: nothing is left of {part:?}"));
            continue;
        };
        for (&offset, entry) in entries {
            if log.records.get(&offset) == Some(&entry.id) || offset < told.trim_of(part).asked {
                continue;
            }
            if told.may_be_lost(part, *entry) {
                lost_with_power += 1;
                continue;
            }
            violations.push(format!(
                "acknowledged: {part:?} offset {offset} was {:x} at {:?}, and is {:x?} in the end (the log is {}..{})",
                entry.id,
                entry.known,
                log.records.get(&offset),
                log.start,
                log.end
            ));
        }
    }
    for (part, log) in logs {
        once(told, *part, log, violations);
        in_order(told, *part, log, violations);
    }
    let there: BTreeSet<(Part, RecordId)> =
        logs.iter().flat_map(|(part, log)| log.records.values().map(|id| (*part, *id))).collect();
    for (id, (part, entry)) in &told.acknowledged {
        let may_be_deleted = told.trim_of(*part).asked > 0;
        if !there.contains(&(*part, *id)) && !may_be_deleted && !told.may_be_lost(*part, *entry) {
            violations.push(format!(
                "acknowledged: {id:x} is not in {part:?}, and was acknowledged at {:?}",
                entry.known
            ));
        }
    }
    lost_with_power
}

fn once(told: &Told, part: Part, log: &FinalLog, violations: &mut Vec<String>) {
    let mut seen: BTreeMap<RecordId, i64> = BTreeMap::new();
    for (&offset, &id) in &log.records {
        if let Some(former) = seen.insert(id, offset) {
            let was = told.acknowledged.get(&id);
            violations.push(format!("once: {id:x} is in {part:?} at {former} and at {offset} ({was:?})"));
        }
    }
}

/// Of each producer, what it was told of stands in the order in which it was sent.
fn in_order(told: &Told, part: Part, log: &FinalLog, violations: &mut Vec<String>) {
    let mut last: BTreeMap<u64, RecordId> = BTreeMap::new();
    for (offset, id) in log.records.iter().filter(|(_, id)| told.acknowledged.contains_key(id)) {
        if let Some(former) = last.insert(id >> 32, *id).filter(|former| former > id) {
            violations.push(format!("in order: {part:?} has {former:x} before {id:x} at offset {offset}"));
        }
    }
}
