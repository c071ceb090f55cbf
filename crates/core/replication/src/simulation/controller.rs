//! A controller of one partition, as small as the rules allow: registration, fencing, elections from the in-sync and the
//! eligible leader replicas (KIP-966), AlterPartition.

use std::collections::{BTreeMap, BTreeSet};

use types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, PartitionEpoch};

use crate::{CommittedIsr, IsrProposal, PartitionState};

/// What brokers are told, in versions.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) version: i64,
    pub(super) state: PartitionState,
    pub(super) eligible: BTreeMap<BrokerId, Option<BrokerEpoch>>,
}

#[derive(Clone, Debug)]
pub(super) struct Controller {
    version: i64,
    state: PartitionState,
    elr: BTreeSet<BrokerId>,
    brokers: BTreeMap<BrokerId, Registration>,
    min_isr: usize,
    pub(super) elr_elections: usize,
}

#[derive(Clone, Copy, Debug)]
struct Registration {
    epoch: BrokerEpoch,
    is_fenced: bool,
}

impl Controller {
    pub(super) fn new(replicas: Vec<BrokerId>, min_isr: usize) -> Controller {
        let brokers = (1..)
            .zip(&replicas)
            .map(|(epoch, broker)| (*broker, Registration { epoch: BrokerEpoch(epoch), is_fenced: false }));
        Controller {
            version: 100,
            brokers: brokers.collect(),
            state: PartitionState {
                partition_epoch: PartitionEpoch(0),
                leader_epoch: LeaderEpoch(0),
                leader: Some(replicas[0]),
                isr: replicas.clone(),
                replicas,
            },
            elr: BTreeSet::new(),
            min_isr,
            elr_elections: 0,
        }
    }

    pub(super) fn image(&self) -> Image {
        let eligible = self
            .brokers
            .iter()
            .map(|(broker, registration)| (*broker, (!registration.is_fenced).then_some(registration.epoch)));
        Image { version: self.version, state: self.state.clone(), eligible: eligible.collect() }
    }

    pub(super) fn broker_epoch(&self, broker: BrokerId) -> BrokerEpoch {
        self.brokers[&broker].epoch
    }

    pub(super) fn is_fenced(&self, broker: BrokerId) -> bool {
        self.brokers[&broker].is_fenced
    }

    /// Who has every record that may have been acknowledged.
    pub(super) fn keepers(&self) -> impl Iterator<Item = BrokerId> {
        self.state.isr.iter().copied().chain(self.elr.iter().copied())
    }

    /// A new incarnation; gives back the version from which on it may believe images.
    pub(super) fn register(&mut self, broker: BrokerId, was_unclean: bool) -> i64 {
        if !self.is_fenced(broker) {
            self.fence(broker);
        }
        self.version += 1;
        let registration = Registration { epoch: BrokerEpoch(self.version), is_fenced: true };
        self.brokers.insert(broker, registration);
        if was_unclean {
            let isr = self.state.isr.iter().copied().filter(|other| *other != broker).collect();
            self.change_isr(isr, Some(broker));
            self.elect_if_needed();
        }
        self.version
    }

    pub(super) fn fence(&mut self, broker: BrokerId) {
        self.version += 1;
        self.brokers.get_mut(&broker).unwrap().is_fenced = true;
        if self.state.isr.contains(&broker) {
            let isr = self.state.isr.iter().copied().filter(|other| *other != broker).collect();
            self.change_isr(isr, None);
        }
        self.elect_if_needed();
    }

    pub(super) fn unfence(&mut self, broker: BrokerId) {
        self.version += 1;
        self.brokers.get_mut(&broker).unwrap().is_fenced = false;
        self.elect_if_needed();
    }

    /// Moves the leadership to another replica in sync, or begins a new epoch of the same.
    pub(super) fn move_leader(&mut self, to: BrokerId) {
        if self.state.isr.contains(&to) && !self.is_fenced(to) {
            self.lead(Some(to));
        }
    }

    pub(super) fn alter(
        &mut self,
        from: BrokerId,
        broker_epoch: BrokerEpoch,
        proposal: &IsrProposal,
    ) -> Result<CommittedIsr, ErrorCode> {
        if self.broker_epoch(from) != broker_epoch {
            return Err(ErrorCode::StaleBrokerEpoch);
        }
        if proposal.leader_epoch != self.state.leader_epoch || self.state.leader != Some(from) {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if proposal.partition_epoch != self.state.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        for member in &proposal.isr {
            let registered = self.brokers[&member.broker];
            let is_current = member.broker_epoch.is_none_or(|epoch| epoch == registered.epoch);
            if registered.is_fenced || !is_current {
                return Err(ErrorCode::IneligibleReplica);
            }
        }
        self.change_isr(proposal.isr.iter().map(|member| member.broker).collect(), None);
        let PartitionState { leader_epoch, partition_epoch, isr, .. } = self.state.clone();
        Ok(CommittedIsr { leader_epoch, partition_epoch, isr })
    }

    fn change_isr(&mut self, isr: Vec<BrokerId>, lost: Option<BrokerId>) {
        self.version += 1;
        self.elr.extend(&self.state.isr);
        self.elr.retain(|broker| !isr.contains(broker) && Some(*broker) != lost);
        if isr.len() >= self.min_isr {
            self.elr.clear();
        }
        self.state.isr = isr;
        self.state.partition_epoch = self.state.partition_epoch.next();
    }

    fn elect_if_needed(&mut self) {
        if self.state.leader.is_some_and(|leader| self.state.isr.contains(&leader)) {
            return;
        }
        let is_alive = |broker: &BrokerId| !self.brokers[broker].is_fenced;
        if let Some(leader) = self.state.isr.iter().copied().find(is_alive) {
            self.lead(Some(leader));
        } else if let Some(leader) = self.elr.iter().copied().find(is_alive) {
            self.elr_elections += 1;
            self.change_isr(vec![leader], None);
            self.lead(Some(leader));
        } else if self.state.leader.is_some() {
            self.lead(None);
        }
    }

    fn lead(&mut self, leader: Option<BrokerId>) {
        self.version += 1;
        self.state.leader = leader;
        self.state.leader_epoch = self.state.leader_epoch.next();
        self.state.partition_epoch = self.state.partition_epoch.next();
    }
}
