//! Reassignments: a partition gets other replicas. The new ones are added, catch up, and then the old ones go.

use types::{BrokerId, Decision, ErrorCode, PartitionId};

use super::partition_change::PartitionChangeBuilder;
use super::{Controller, Failure, Outcome, Response, each, failure, placement};
use crate::{MetadataRecord, PartitionImage};

/// The replicas that a partition is to have.
#[derive(Clone, Debug)]
pub struct Reassignment {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// The replicas, the preferred leader first; `None` takes a reassignment back that is under way.
    pub replicas: Option<Vec<BrokerId>>,
}

/// A partition as it was before the reassignment that is under way.
struct Original {
    replicas: Vec<BrokerId>,
    isr: Vec<BrokerId>,
}

impl Controller {
    pub(super) fn alter_reassignments(
        &self,
        reassignments: Vec<Reassignment>,
        allows_factor_change: bool,
    ) -> Outcome {
        let (records, results) = each(self, reassignments, false, |draft, reassignment| {
            Ok((draft.alter_reassignment(&reassignment, allows_factor_change)?, ()))
        });
        Decision { records, response: Response::AlteredReassignments(results) }
    }

    pub(super) fn alter_reassignment(
        &self,
        wanted: &Reassignment,
        allows_factor_change: bool,
    ) -> Result<Vec<MetadataRecord>, Failure> {
        let Reassignment { topic, partition: index, replicas } = wanted;
        let unknown = || {
            let message = format!("there is no partition {index} of a topic {topic:?}");
            failure(ErrorCode::UnknownTopicOrPartition, message)
        };
        let topic = self.image.topic_named(topic).ok_or_else(unknown)?;
        let at = usize::try_from(index.0).unwrap_or(usize::MAX);
        let partition = topic.partitions.get(at).ok_or_else(unknown)?;
        let rules = self.election_rules(topic);
        let original = Original::of(partition)?;
        let may_lead = |id| self.is_active(id);
        let builder = PartitionChangeBuilder::new(partition, &may_lead, rules.min_isr);
        let avoid = |id| self.avoids(id);
        let builder = builder.election(rules.election()).avoiding(&avoid).isr(original.isr);
        let builder = match replicas {
            None if !partition.is_reassigning() => {
                return Err(failure(
                    ErrorCode::NoReassignmentInProgress,
                    "no reassignment of it is under way",
                ));
            }
            None => builder.replicas(original.replicas, Vec::new(), Vec::new()),
            Some(target) => {
                placement::check_manual(&self.image, target, &partition.replicas)?;
                check_factor(&original.replicas, target, allows_factor_change)?;
                let (adding, removing) =
                    (without(target, &original.replicas), without(&original.replicas, target));
                let merged = target.iter().chain(&removing).copied().collect();
                builder.replicas(merged, adding, removing)
            }
        };
        let change = builder.build();
        let record = |change| MetadataRecord::PartitionChange { topic: topic.id, partition: *index, change };
        Ok(change.map(record).into_iter().collect())
    }
}

impl Original {
    /// Refused where that would give up the only replicas that have what was committed, or most of it. Kafka does it for
    /// topics that allow unclean elections; whoever wants that may wait until the others are in sync.
    fn of(partition: &PartitionImage) -> Result<Original, Failure> {
        let of_most = [&partition.isr, &partition.elr, &partition.last_known_elr];
        let of_most = of_most.into_iter().find(|replicas| !replicas.is_empty());
        if let Some(replicas) = of_most.filter(|ids| without(ids, &partition.adding).is_empty()) {
            let message = format!(
                "only replicas that are being added are in sync, {}: without them records would be lost",
                names(replicas)
            );
            return Err(failure(ErrorCode::InvalidReplicaAssignment, message));
        }
        let replicas = without(&partition.replicas, &partition.adding);
        Ok(Original { replicas, isr: without(&partition.isr, &partition.adding) })
    }
}

fn check_factor(from: &[BrokerId], to: &[BrokerId], may_change: bool) -> Result<(), Failure> {
    if !may_change && from.len() != to.len() {
        let message = format!("{} replicas would become {}, which was not allowed", from.len(), to.len());
        return Err(failure(ErrorCode::InvalidReplicationFactor, message));
    }
    Ok(())
}

fn without(all: &[BrokerId], some: &[BrokerId]) -> Vec<BrokerId> {
    all.iter().copied().filter(|id| !some.contains(id)).collect()
}

fn names(brokers: &[BrokerId]) -> String {
    brokers.iter().map(BrokerId::to_string).collect::<Vec<_>>().join(", ")
}
