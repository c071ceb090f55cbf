//! Whether a broker may be restarted now, and the grant to do it: one broker at a time, that hands its leaderships over
//! first and gets them back when it is there again, or when the grant lapses.

use types::{BrokerId, Decision, Now, PartitionId, Timestamp};

use super::partition_change::{Election, PartitionChangeBuilder};
use super::{Controller, Outcome, Rejection, Response};
use crate::{ConfigResource, Image, MetadataRecord, PartitionImage, TopicImage};

/// The grant that was given last: a broker, and the time at which it lapses.
const GRANT: &str = "drain.grant";
/// Partitions that are named in a refusal; the others are counted.
const NAMED_MAX: usize = 10;

/// What a restart of one broker would do to the partitions of which it has a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestartCheck {
    /// Partitions that would lose availability, or acknowledged records if another broker failed: some of them.
    pub refused: Vec<(String, PartitionId)>,
    /// How many there are in all.
    pub refused_count: i32,
}

impl RestartCheck {
    /// Whether it may be restarted.
    pub fn is_allowed(&self) -> bool {
        self.refused_count == 0
    }
}

/// A broker that may be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainGrant {
    /// Which.
    pub broker: BrokerId,
    /// When that ends.
    pub until: Timestamp,
}

impl Image {
    /// The grant that was given, whether or not it has lapsed.
    pub fn drain_grant(&self) -> Option<DrainGrant> {
        let grant = self.config(&ConfigResource::Cluster).get(GRANT)?;
        let (broker, until) = grant.split_once(':')?;
        Some(DrainGrant { broker: BrokerId(broker.parse().ok()?), until: Timestamp(until.parse().ok()?) })
    }
}

impl Controller {
    /// Answers from what was decided and is committed when the answer is given.
    pub(super) fn check_restarts(&self, brokers: &[BrokerId]) -> Outcome {
        let checks = brokers.iter().map(|broker| self.restart_check(*broker)).collect();
        Decision::unchanged(Response::RestartsChecked(checks))
    }

    fn restart_check(&self, broker: BrokerId) -> RestartCheck {
        let mut check = RestartCheck::default();
        let rules = self.rule_book();
        for topic in self.image.topics() {
            if !topic.partitions.iter().any(|partition| partition.replicas.contains(&broker)) {
                continue;
            }
            let min_isr = rules.of(topic).min_isr;
            for (index, partition) in (0..).zip(&topic.partitions) {
                if !is_restart_safe(partition, broker, min_isr) {
                    check.refused_count = check.refused_count.saturating_add(1);
                    if check.refused.len() < NAMED_MAX {
                        check.refused.push((topic.name.to_string(), PartitionId(index)));
                    }
                }
            }
        }
        check
    }

    /// Grants a broker its restart, if it may be restarted and no other one has a grant. Its leaderships go to others in
    /// the same entry of the log. Asking again prolongs the grant.
    pub(super) fn drain(&self, now: Now, broker: BrokerId, ttl_ms: i64) -> Result<Outcome, Rejection> {
        if self.image.broker(broker).is_none() {
            return Err(Rejection::BrokerIdNotRegistered { broker });
        }
        let held = self.image.drain_grant().filter(|grant| grant.until > now.wall && grant.broker != broker);
        if let Some(DrainGrant { broker, .. }) = held {
            return Err(Rejection::AnotherIsDrained { broker });
        }
        let check = self.restart_check(broker);
        if !check.is_allowed() {
            return Err(Rejection::RestartRefused { broker, partitions: check.refused_count });
        }
        let until = now.wall.0.saturating_add(ttl_ms.max(0));
        let mut records = vec![grant(Some(format!("{broker}:{until}")))];
        records.extend(self.leaderships_off(broker));
        Ok(Decision { records, response: Response::Drained })
    }

    /// Everything that a broker leads and another one in sync can lead.
    fn leaderships_off(&self, broker: BrokerId) -> Vec<MetadataRecord> {
        let may_lead = |id: BrokerId| id != broker && self.is_active(id);
        let rules = self.rule_book();
        let of_topic = |topic: &TopicImage| -> Vec<MetadataRecord> {
            let led = (0..).zip(&topic.partitions).filter(|(_, partition)| {
                partition.leader == Some(broker) && partition.isr.iter().any(|id| may_lead(*id))
            });
            let min_isr = rules.of(topic).min_isr;
            let avoid = |id| self.avoids(id);
            let change = |(index, partition)| {
                let builder = PartitionChangeBuilder::new(partition, &may_lead, min_isr);
                let change = builder.election(Election::Online).avoiding(&avoid).build()?;
                let partition = PartitionId(index);
                Some(MetadataRecord::PartitionChange { topic: topic.id, partition, change })
            };
            led.filter_map(change).collect()
        };
        self.image.topics().flat_map(|topic| of_topic(topic)).collect()
    }

    /// The end of a grant that has lapsed.
    pub(super) fn lapse(&self, now: Now) -> Option<MetadataRecord> {
        self.image.drain_grant().filter(|held| held.until <= now.wall).map(|_| grant(None))
    }

    /// The end of a grant whose broker is here again.
    pub(super) fn grant_used(&self, broker: BrokerId) -> Option<MetadataRecord> {
        self.image.drain_grant().filter(|held| held.broker == broker).map(|_| grant(None))
    }
}

fn grant(value: Option<String>) -> MetadataRecord {
    MetadataRecord::Config { resource: ConfigResource::Cluster, key: GRANT.to_owned(), value }
}

/// What has no replica to spare cannot be restarted around: that is its owner's choice, and does not hold others up.
fn is_restart_safe(partition: &PartitionImage, broker: BrokerId, min_isr: usize) -> bool {
    if !partition.replicas.contains(&broker) || partition.replicas.len() <= min_isr {
        return true;
    }
    let in_sync = partition.isr.len();
    in_sync >= min_isr && !(in_sync == min_isr && partition.isr.contains(&broker))
}
