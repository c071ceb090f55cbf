//! AlterPartition: a leader says which replicas are in sync.

use types::{BrokerEpoch, BrokerId, Decision, ErrorCode, LeaderEpoch, PartitionEpoch, TopicPartition};

use super::partition_change::PartitionChangeBuilder;
use super::{Controller, Failure, Outcome, Rejection, Response, each};
use crate::{MetadataRecord, PartitionImage};

/// What a broker wants of the partitions that it leads.
#[derive(Clone, Debug, Default)]
pub struct AlterPartition {
    /// The broker.
    pub broker: BrokerId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// The partitions, each for itself.
    pub partitions: Vec<PartitionAlteration>,
}

/// What a leader wants of one partition.
#[derive(Clone, Debug)]
pub struct PartitionAlteration {
    /// Which.
    pub id: TopicPartition,
    /// The epoch in which it leads.
    pub leader_epoch: LeaderEpoch,
    /// The state that it knows.
    pub partition_epoch: PartitionEpoch,
    /// The replicas that are to be in sync.
    pub isr: Vec<ProposedReplica>,
    /// Whether it still recovers from an unclean election.
    pub is_recovering: bool,
}

/// A replica that is to be in sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProposedReplica {
    /// The broker.
    pub broker: BrokerId,
    /// The registration as which it fetched what the leader knows of it (KIP-903); `None` is not checked.
    pub epoch: Option<BrokerEpoch>,
}

/// What became of one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct AlteredPartition {
    /// Which.
    pub id: TopicPartition,
    /// What it is now, or why not. With `NewLeaderElected` it changed, but its leader is another one by that.
    pub result: Result<PartitionImage, ErrorCode>,
}

type Checked<T> = Result<T, ErrorCode>;

impl Controller {
    pub(super) fn alter_partition(&self, request: &AlterPartition) -> Result<Outcome, Rejection> {
        self.check_epoch(request.broker, request.epoch)?;
        let (records, results) = each(self, &request.partitions, false, |draft, wanted| {
            Ok(match draft.alter_one(request.broker, wanted) {
                Ok((records, state)) => (records, Ok(state)),
                Err((records, code)) => (records, Err(code)),
            })
        });
        let altered = |(wanted, result): (&PartitionAlteration, Result<Checked<_>, Failure>)| {
            let result = result.unwrap_or_else(|failure| Err(failure.code));
            AlteredPartition { id: wanted.id, result }
        };
        let altered = request.partitions.iter().zip(results).map(altered).collect();
        Ok(Decision { records, response: Response::AlteredPartitions(altered) })
    }

    fn alter_one(
        &self,
        broker: BrokerId,
        wanted: &PartitionAlteration,
    ) -> Result<(Vec<MetadataRecord>, PartitionImage), (Vec<MetadataRecord>, ErrorCode)> {
        let refuse = |code| (Vec::new(), code);
        let Some(topic) = self.image.topic(wanted.id.topic) else {
            return Err(refuse(ErrorCode::UnknownTopicId));
        };
        let partition = self.image.partition(wanted.id);
        let partition = partition.ok_or_else(|| refuse(ErrorCode::UnknownTopicOrPartition))?;
        self.check_alteration(broker, partition, wanted).map_err(refuse)?;
        let rules = self.election_rules(topic);
        let may_lead = |id| self.is_active(id);
        let avoid = |id| self.avoids(id);
        let change = PartitionChangeBuilder::new(partition, &may_lead, rules.min_isr)
            .election(rules.election())
            .avoiding(&avoid)
            .isr(wanted.isr.iter().map(|replica| replica.broker).collect())
            .recovering(wanted.is_recovering)
            .build();
        let mut state = partition.clone();
        let Some(change) = change else { return Ok((Vec::new(), state)) };
        state.change(&change);
        let TopicPartition { topic, partition } = wanted.id;
        let records = vec![MetadataRecord::PartitionChange { topic, partition, change }];
        match state.leader_epoch == wanted.leader_epoch {
            true => Ok((records, state)),
            false => Err((records, ErrorCode::NewLeaderElected)),
        }
    }

    /// In Kafka's order (`ReplicationControlManager.validateAlterPartitionData`).
    fn check_alteration(
        &self,
        broker: BrokerId,
        partition: &PartitionImage,
        wanted: &PartitionAlteration,
    ) -> Checked<()> {
        let check = |holds: bool, code: ErrorCode| if holds { Ok(()) } else { Err(code) };
        // A leader that knows of a later state than this controller has another controller.
        let is_ahead = wanted.leader_epoch > partition.leader_epoch
            || wanted.partition_epoch > partition.partition_epoch;
        check(!is_ahead, ErrorCode::NotController)?;
        check(wanted.leader_epoch == partition.leader_epoch, ErrorCode::FencedLeaderEpoch)?;
        check(partition.leader == Some(broker), ErrorCode::InvalidRequest)?;
        check(wanted.partition_epoch == partition.partition_epoch, ErrorCode::InvalidUpdateVersion)?;
        let is_once = |(index, replica): (usize, &ProposedReplica)| {
            !wanted.isr[..index].iter().any(|other| other.broker == replica.broker)
        };
        check(wanted.isr.iter().enumerate().all(is_once), ErrorCode::InvalidRequest)?;
        let is_replica = |replica: &ProposedReplica| partition.replicas.contains(&replica.broker);
        check(wanted.isr.iter().all(is_replica), ErrorCode::InvalidRequest)?;
        let has_leader = wanted.isr.iter().any(|replica| replica.broker == broker);
        check(has_leader, ErrorCode::InvalidRequest)?;
        // Who recovers is alone, and nobody begins to recover without an election.
        check(!wanted.is_recovering || wanted.isr.len() == 1, ErrorCode::InvalidRequest)?;
        check(!wanted.is_recovering || partition.is_recovering, ErrorCode::InvalidRequest)?;
        let is_eligible = wanted.isr.iter().all(|replica| self.is_eligible(replica));
        check(is_eligible, ErrorCode::IneligibleReplica)
    }

    /// Whether a replica may be in sync. What a leader knows of a broker's former life says nothing about this one: its
    /// disk may be another one.
    fn is_eligible(&self, replica: &ProposedReplica) -> bool {
        let Some(broker) = self.image.broker(replica.broker) else { return false };
        broker.is_active() && replica.epoch.is_none_or(|epoch| epoch == broker.epoch)
    }
}
