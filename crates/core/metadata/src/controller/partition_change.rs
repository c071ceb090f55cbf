//! How one partition changes: the in-sync replicas that it is to have, who leads it then, which replicas stay eligible,
//! and whether a reassignment is complete by that. Knows no brokers: it is told who may lead.

use types::BrokerId;

use crate::{PartitionChange, PartitionImage};

/// Whom to prefer as the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Election {
    /// The first replica, even if another one leads well.
    Preferred,
    /// Whoever leads, if that is possible.
    Online,
    /// As `Online`, and rather somebody who may lack records than nobody.
    Unclean,
}

/// What a partition is to become.
pub(super) struct PartitionChangeBuilder<'a> {
    partition: &'a PartitionImage,
    may_lead: &'a dyn Fn(BrokerId) -> bool,
    /// Who leads only if nobody else in sync can.
    avoid: Option<&'a dyn Fn(BrokerId) -> bool>,
    /// `min.insync.replicas`.
    min_isr: usize,
    election: Election,
    replicas: Vec<BrokerId>,
    isr: Vec<BrokerId>,
    adding: Vec<BrokerId>,
    removing: Vec<BrokerId>,
    elr: Vec<BrokerId>,
    unclean: Option<BrokerId>,
    /// Whose disk is empty.
    empty: Option<BrokerId>,
    is_recovering: bool,
}

/// Who leads, and by what right.
enum Elected {
    /// In sync.
    InSync(BrokerId),
    /// Out of sync, but with all that is committed.
    Eligible(BrokerId),
    /// Perhaps without some of what is committed.
    Uncleanly(BrokerId),
    /// Nobody.
    Nobody,
}

impl<'a> PartitionChangeBuilder<'a> {
    /// No change yet, except that somebody is elected if the leader may not lead.
    pub(super) fn new(
        partition: &'a PartitionImage,
        may_lead: &'a dyn Fn(BrokerId) -> bool,
        min_isr: usize,
    ) -> Self {
        PartitionChangeBuilder {
            partition,
            may_lead,
            avoid: None,
            min_isr,
            election: Election::Online,
            replicas: partition.replicas.clone(),
            isr: partition.isr.clone(),
            adding: partition.adding.clone(),
            removing: partition.removing.clone(),
            elr: partition.elr.clone(),
            unclean: None,
            empty: None,
            is_recovering: partition.is_recovering,
        }
    }

    pub(super) fn election(mut self, election: Election) -> Self {
        self.election = election;
        self
    }

    /// Who leads only if nobody else in sync can.
    pub(super) fn avoiding(mut self, avoid: &'a dyn Fn(BrokerId) -> bool) -> Self {
        self.avoid = Some(avoid);
        self
    }

    pub(super) fn isr(mut self, isr: Vec<BrokerId>) -> Self {
        self.isr = isr;
        self
    }

    pub(super) fn recovering(mut self, is_recovering: bool) -> Self {
        self.is_recovering = is_recovering;
        self
    }

    /// A broker leaves the in-sync replicas, unless it is the last: it holds what is committed, and whoever comes back
    /// first could not lead without it.
    pub(super) fn without(mut self, broker: BrokerId) -> Self {
        if self.isr != [broker] {
            self.isr.retain(|id| *id != broker);
        }
        self
    }

    /// A broker may have lost records: it leaves the in-sync and the eligible replicas, as the last one too.
    pub(super) fn without_unclean(mut self, broker: BrokerId) -> Self {
        self.isr.retain(|id| *id != broker);
        self.elr.retain(|id| *id != broker);
        self.unclean = Some(broker);
        self
    }

    /// A broker's disk is empty: it is not the last known leader, as long as another replica may hold records. Rather no
    /// leader than one that has nothing, and makes the others cut what they have.
    pub(super) fn without_memory_of(mut self, broker: BrokerId) -> Self {
        self.empty = Some(broker).filter(|_| self.partition.replicas.len() > 1);
        self
    }

    pub(super) fn replicas(
        mut self,
        replicas: Vec<BrokerId>,
        adding: Vec<BrokerId>,
        removing: Vec<BrokerId>,
    ) -> Self {
        (self.replicas, self.adding, self.removing) = (replicas, adding, removing);
        self
    }

    /// What becomes different; `None` if nothing does.
    pub(super) fn build(mut self) -> Option<PartitionChange> {
        self.complete_reassignment();
        // More than there are replicas cannot be asked for (Kafka: the effective `min.insync.replicas`).
        self.min_isr = self.min_isr.min(self.replicas.len());
        self.elr.retain(|id| self.replicas.contains(id));
        let mut change = PartitionChange::default();
        self.elect(&mut change);
        self.keep_eligible();
        self.remember_last_leader(&mut change);
        let old = self.partition;
        // A replica that goes must not be taken for a follower any longer: a new epoch fences it.
        let is_removed = |id: &BrokerId| !self.replicas.contains(id);
        if change.leader.is_none() && old.replicas.iter().any(is_removed) {
            change.leader = Some(old.leader);
        }
        let other = |new: Vec<BrokerId>, old: &Vec<BrokerId>| Some(new).filter(|new| new != old);
        change.replicas = other(self.replicas, &old.replicas);
        change.isr = other(self.isr, &old.isr);
        change.adding = other(self.adding, &old.adding);
        change.removing = other(self.removing, &old.removing);
        change.elr = other(self.elr, &old.elr);
        change.is_recovering = Some(self.is_recovering).filter(|new| *new != old.is_recovering);
        Some(change).filter(|change| !change.is_empty())
    }

    /// All that was to be added is in sync, and enough of those that stay are: what was to be removed goes. Kafka asks for
    /// one that stays, even if that leaves fewer than `min.insync.replicas`: what two had would be up to a single disk.
    fn complete_reassignment(&mut self) {
        let stays = |id: &BrokerId| !self.removing.contains(id);
        let isr: Vec<_> = self.isr.iter().copied().filter(stays).collect();
        let required = self.min_isr.min(self.replicas.iter().filter(|id| stays(id)).count());
        let is_enough = isr.len() >= required || isr.len() == self.isr.len();
        let is_complete = !isr.is_empty() && is_enough && self.adding.iter().all(|id| isr.contains(id));
        let is_under_way = !self.adding.is_empty() || !self.removing.is_empty();
        if is_under_way && is_complete {
            self.replicas = self.replicas.iter().copied().filter(stays).collect();
            self.isr = isr;
            (self.adding, self.removing) = (Vec::new(), Vec::new());
        }
    }

    fn elect(&mut self, change: &mut PartitionChange) {
        let elected = self.elected();
        let leader = match elected {
            Elected::InSync(id) | Elected::Eligible(id) | Elected::Uncleanly(id) => Some(id),
            Elected::Nobody => None,
        };
        match elected {
            Elected::InSync(_) | Elected::Nobody => {}
            Elected::Eligible(id) => self.isr = vec![id],
            Elected::Uncleanly(id) => {
                // What the others hold beyond the new leader's log is given up with it.
                self.isr = vec![id];
                self.is_recovering = true;
            }
        }
        if leader != self.partition.leader {
            change.leader = Some(leader);
        }
        if matches!(elected, Elected::Uncleanly(_)) {
            self.min_isr = 0;
        }
    }

    fn elected(&self) -> Elected {
        let in_sync = |id: &BrokerId| self.isr.contains(id) && (self.may_lead)(*id);
        let leader = self.partition.leader.filter(in_sync);
        let preferred = self.replicas.first().copied().filter(in_sync);
        let first = match self.election {
            Election::Preferred => preferred.or(leader),
            Election::Online | Election::Unclean => leader,
        };
        let is_welcome = |id: &BrokerId| in_sync(id) && !self.avoid.is_some_and(|avoid| avoid(*id));
        let mut replicas = self.replicas.iter().copied();
        let next = || replicas.clone().find(is_welcome).or_else(|| replicas.find(in_sync));
        if let Some(id) = first.or_else(next) {
            return Elected::InSync(id);
        }
        let may_lead = |id: &&BrokerId| (self.may_lead)(**id);
        if let Some(id) = self.replicas.iter().filter(|id| self.elr.contains(id)).find(may_lead) {
            return Elected::Eligible(*id);
        }
        if self.isr.is_empty()
            && self.elr.is_empty()
            && let [last] = self.partition.last_known_elr[..]
            && self.replicas.contains(&last)
            && (self.may_lead)(last)
        {
            return Elected::Uncleanly(last);
        }
        match self.replicas.iter().find(may_lead).filter(|_| self.election == Election::Unclean) {
            Some(id) => Elected::Uncleanly(*id),
            None => Elected::Nobody,
        }
    }

    /// With fewer than `min.insync.replicas` in sync the high watermark stands: who leaves then stays eligible.
    fn keep_eligible(&mut self) {
        if self.isr.len() >= self.min_isr {
            self.elr.clear();
            return;
        }
        self.elr.extend(self.partition.isr.iter().filter(|id| !self.partition.elr.contains(id)));
        let (isr, replicas, unclean) = (&self.isr, &self.replicas, self.unclean);
        self.elr.retain(|id| !isr.contains(id) && replicas.contains(id) && unclean != Some(*id));
    }

    /// When nobody is left who surely holds all, the last leader holds most.
    fn remember_last_leader(&self, change: &mut PartitionChange) {
        let old = self.partition;
        let leader = change.leader.unwrap_or(old.leader);
        if leader.is_some() {
            change.last_known_elr = Some(Vec::new()).filter(|_| !old.last_known_elr.is_empty());
        } else if self.isr.is_empty() && !old.isr.is_empty() {
            let last = old.leader.or(old.isr.first().copied()).filter(|last| self.empty != Some(*last));
            change.last_known_elr =
                Some(last.into_iter().collect()).filter(|last| *last != old.last_known_elr);
        } else if self.empty.is_some_and(|empty| old.last_known_elr == [empty]) {
            change.last_known_elr = Some(Vec::new());
        }
    }
}
