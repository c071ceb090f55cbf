//! What must be true after every step.

use std::collections::{BTreeMap, BTreeSet};

use types::{BrokerEpoch, BrokerId, LeaderEpoch, Offset};

use super::disk::{Disk, Stored};

/// The rule that was seen broken.
pub(super) type Violation = String;

/// Remembers what was promised.
#[derive(Debug, Default)]
pub(super) struct Checker {
    /// Answered with acks=all: what lies where.
    acknowledged: BTreeMap<Offset, u64>,
    /// Below the high watermark of some replica, so that a consumer may have read it.
    visible: BTreeMap<Offset, u64>,
    written: BTreeMap<(Offset, LeaderEpoch), u64>,
    leaders: BTreeMap<LeaderEpoch, (BrokerId, BrokerEpoch)>,
    high_watermarks: BTreeMap<(BrokerId, BrokerEpoch), Offset>,
}

impl Checker {
    pub(super) fn acknowledged_count(&self) -> usize {
        self.acknowledged.len()
    }

    pub(super) fn leader_count(&self) -> usize {
        self.leaders.len()
    }

    /// A batch was written: one value for each offset and epoch, whoever writes it.
    pub(super) fn written(&mut self, stored: &Stored) -> Result<(), Violation> {
        let at = (stored.batch.base_offset, stored.batch.leader_epoch);
        match self.written.insert(at, stored.number) {
            Some(other) if other != stored.number => {
                Err(format!("two values at {at:?}: {other} and {}", stored.number))
            }
            _ => Ok(()),
        }
    }

    /// A batch was acknowledged with acks=all.
    pub(super) fn acknowledged(&mut self, base_offset: Offset, number: u64) -> Result<(), Violation> {
        match self.acknowledged.insert(base_offset, number) {
            Some(other) if other != number => {
                Err(format!("{other} and {number} both acknowledged at {base_offset}"))
            }
            _ => Ok(()),
        }
    }

    /// A replica began to lead: nobody else led in this epoch, and it has all that was promised.
    pub(super) fn leads(
        &mut self,
        broker: BrokerId,
        broker_epoch: BrokerEpoch,
        leader_epoch: LeaderEpoch,
        disk: &Disk,
    ) -> Result<(), Violation> {
        let leads = (broker, broker_epoch);
        if let Some(other) = self.leaders.insert(leader_epoch, leads)
            && other != leads
        {
            return Err(format!("{other:?} and {leads:?} both lead in epoch {leader_epoch}"));
        }
        self.keeps_promises(broker, disk)
    }

    /// All that was acknowledged or could be read is in this log, at the same offset, once.
    pub(super) fn keeps_promises(&self, broker: BrokerId, disk: &Disk) -> Result<(), Violation> {
        for (promise, promised) in [("acknowledged", &self.acknowledged), ("visible", &self.visible)] {
            for (offset, number) in promised.range(disk.start()..) {
                let found = disk.at(*offset).map(|stored| stored.number);
                if found != Some(*number) {
                    return Err(format!("{promise} {number} at {offset}, but {broker} has {found:?}"));
                }
            }
        }
        let mut numbers = BTreeSet::new();
        let twice = disk.range(disk.start(), disk.end()).find(|stored| !numbers.insert(stored.number));
        match twice {
            Some(stored) => Err(format!("{} is twice in the log of {broker}", stored.number)),
            None => Ok(()),
        }
    }

    /// A replica shows this high watermark: it never goes back, and all replicas agree below it.
    pub(super) fn shows(
        &mut self,
        broker: BrokerId,
        broker_epoch: BrokerEpoch,
        high_watermark: Offset,
        disk: &Disk,
    ) -> Result<(), Violation> {
        let before = self.high_watermarks.insert((broker, broker_epoch), high_watermark);
        let before = before.unwrap_or(disk.start());
        if high_watermark < before {
            return Err(format!("the high watermark of {broker} went from {before} to {high_watermark}"));
        }
        for stored in disk.range(before, high_watermark) {
            if let Some(other) = self.visible.insert(stored.batch.base_offset, stored.number)
                && other != stored.number
            {
                let offset = stored.batch.base_offset;
                return Err(format!("{} and {other} both visible at {offset}", stored.number));
            }
        }
        Ok(())
    }
}
