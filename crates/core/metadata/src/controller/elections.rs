//! Elections that somebody asks for, and those that bring leaders back to where they were placed.

use std::collections::BTreeSet;
use std::time::Duration;

use types::{BrokerId, Decision, ErrorCode, Monotonic, PartitionId};

use super::partition_change::{Election, PartitionChangeBuilder};
use super::{Controller, Failure, Outcome, Response, each, failure};
use crate::{MetadataRecord, PartitionImage, TopicImage};

/// How often leaders are moved back, and how many at a time: each costs its clients a new connection's worth of errors,
/// and a broker that just came back has its page cache cold.
const BALANCE_INTERVAL: Duration = Duration::from_secs(1);
const LEADERS_MOVED_AT_ONCE_MAX: usize = 500;
/// Leaders go back to a broker that has been there for so long. What stands between it and its clients, a Kubernetes Service,
/// a load balancer, learns after the controller that it is there: a leader that they cannot reach yet is none to them.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// Which election somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionType {
    /// The first replica is to lead.
    Preferred,
    /// Somebody is to lead, even if records are lost by that.
    Unclean,
}

/// What became of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectedLeader {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// Whether it has a leader by that.
    pub result: Result<(), Failure>,
}

impl Controller {
    pub(super) fn elect_leaders(
        &self,
        election: ElectionType,
        partitions: Option<Vec<(String, PartitionId)>>,
    ) -> Outcome {
        let names_all = partitions.is_none();
        let partitions = partitions.unwrap_or_else(|| self.all_partitions());
        let (records, results) = each(self, &partitions, false, |draft, (topic, partition)| {
            Ok((draft.elect_leader(election, topic, *partition)?, ()))
        });
        let elected = partitions.into_iter().zip(results);
        let elected = elected.map(|((topic, partition), result)| ElectedLeader { topic, partition, result });
        // Who asks for all wants to hear of those that it concerns.
        let is_told = |elected: &ElectedLeader| {
            !names_all
                || elected.result.as_ref().err().map(|failure| failure.code)
                    != Some(ErrorCode::ElectionNotNeeded)
        };
        let elected = elected.filter(is_told).collect();
        Decision { records, response: Response::ElectedLeaders(elected) }
    }

    fn all_partitions(&self) -> Vec<(String, PartitionId)> {
        let named = |topic: &TopicImage| -> Vec<_> {
            let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            (0..count).map(|index| (topic.name.to_string(), PartitionId(index))).collect()
        };
        self.image.topics().flat_map(|topic| named(topic)).collect()
    }

    fn elect_leader(
        &self,
        election: ElectionType,
        topic: &str,
        index: PartitionId,
    ) -> Result<Vec<MetadataRecord>, Failure> {
        let unknown = || {
            let message = format!("there is no partition {index} of a topic {topic:?}");
            failure(ErrorCode::UnknownTopicOrPartition, message)
        };
        let topic = self.image.topic_named(topic).ok_or_else(unknown)?;
        let at = usize::try_from(index.0).unwrap_or(usize::MAX);
        let partition = topic.partitions.get(at).ok_or_else(unknown)?;
        let is_needed = match election {
            ElectionType::Preferred => partition.leader != partition.replicas.first().copied(),
            ElectionType::Unclean => partition.leader.is_none(),
        };
        if !is_needed {
            return Err(failure(ErrorCode::ElectionNotNeeded, "leader election not needed"));
        }
        let (election, unavailable, message) = match election {
            ElectionType::Preferred => {
                let message = "the preferred replica does not live or is not in sync";
                (Election::Preferred, ErrorCode::PreferredLeaderNotAvailable, message)
            }
            ElectionType::Unclean => {
                (Election::Unclean, ErrorCode::EligibleLeadersNotAvailable, "no replica lives")
            }
        };
        let change = self.election(topic, index, partition, election);
        change.map(|change| vec![change]).ok_or_else(|| failure(unavailable, message))
    }

    fn election(
        &self,
        topic: &TopicImage,
        index: PartitionId,
        partition: &PartitionImage,
        election: Election,
    ) -> Option<MetadataRecord> {
        let may_lead = |id| self.is_active(id);
        let rules = self.election_rules(topic);
        let avoid = |id| self.avoids(id);
        let builder = PartitionChangeBuilder::new(partition, &may_lead, rules.min_isr);
        let change = builder.election(election).avoiding(&avoid).build()?;
        Some(MetadataRecord::PartitionChange { topic: topic.id, partition: index, change })
    }

    /// Moves some leaders back to their preferred replicas, if it is time.
    pub(super) fn balance_leaders(&self, now: Monotonic) -> Vec<MetadataRecord> {
        if now < self.balanced.plus(BALANCE_INTERVAL) {
            return Vec::new();
        }
        let has_settled = |preferred: BrokerId| self.settles_at(preferred) <= now;
        let due = self.imbalanced().filter(|(_, _, _, preferred)| has_settled(*preferred));
        let of = |(topic, index, partition, _)| self.election(topic, index, partition, Election::Preferred);
        due.take(LEADERS_MOVED_AT_ONCE_MAX).filter_map(of).collect()
    }

    /// When leaders may be moved next, if any are to be.
    pub(super) fn next_balance(&self) -> Option<Monotonic> {
        // A grant lapses by the other clock: that is looked at as often.
        if self.image.drain_grant().is_some() {
            return Some(self.next_balance_at());
        }
        let preferred: BTreeSet<_> = self.imbalanced().map(|(_, _, _, preferred)| preferred).collect();
        let settled = preferred.into_iter().map(|preferred| self.settles_at(preferred)).min()?;
        Some(settled.max(self.next_balance_at()))
    }

    /// From when on leaders go back to a broker.
    fn settles_at(&self, broker: BrokerId) -> Monotonic {
        self.sessions.begun(broker).unwrap_or_default().plus(SETTLED_AFTER)
    }

    pub(super) fn next_balance_at(&self) -> Monotonic {
        self.balanced.plus(BALANCE_INTERVAL)
    }

    pub(super) fn balanced_if_due(&mut self, now: Monotonic) {
        if now >= self.balanced.plus(BALANCE_INTERVAL) {
            self.balanced = now;
        }
    }

    /// Partitions that are led by another than their preferred replica, which could lead.
    fn imbalanced(&self) -> impl Iterator<Item = (&TopicImage, PartitionId, &PartitionImage, BrokerId)> {
        let partitions = self.image.topics().flat_map(|topic| {
            (0..).zip(&topic.partitions).map(|(index, p)| (&**topic, PartitionId(index), p))
        });
        partitions.filter_map(|(topic, index, partition)| {
            let preferred = *partition.replicas.first()?;
            let is_elsewhere = partition.leader.is_some_and(|leader| leader != preferred);
            let could_lead =
                || partition.isr.contains(&preferred) && self.is_active(preferred) && !self.avoids(preferred);
            (is_elsewhere && could_lead()).then_some((topic, index, partition, preferred))
        })
    }
}
