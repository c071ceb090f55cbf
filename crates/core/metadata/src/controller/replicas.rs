//! What becomes of all partitions when a broker comes, goes, stops or comes back without what it had.

use std::collections::BTreeSet;

use types::{BrokerId, PartitionId, TopicPartition};

use super::Controller;
use super::partition_change::{Election, PartitionChangeBuilder};
use crate::rules::{ElectionRules, RuleBook};
use crate::{ConfigResource, MetadataRecord, PartitionImage, TopicImage};

/// What happened to a broker, as far as partitions see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BrokerEvent {
    /// It may lead and be in sync from now on.
    Comes(BrokerId),
    /// It may neither lead nor be in sync from now on.
    Goes(BrokerId),
    /// As `Goes`, and it may have lost records that it had acknowledged.
    LosesRecords(BrokerId),
    /// As `Goes`, and a directory that it had is not there any more.
    LosesEverything(BrokerId),
}

impl ElectionRules {
    /// How to elect when nobody asked for anything in particular.
    pub(super) fn election(self) -> Election {
        if self.allows_unclean { Election::Unclean } else { Election::Online }
    }
}

impl BrokerEvent {
    fn concerns(self, partition: &PartitionImage) -> bool {
        match self {
            BrokerEvent::Comes(id) => {
                partition.leader.is_none()
                    && (partition.replicas.contains(&id) || partition.last_known_elr.contains(&id))
            }
            BrokerEvent::Goes(id) => partition.isr.contains(&id) || partition.leader == Some(id),
            BrokerEvent::LosesRecords(id) => partition.isr.contains(&id) || partition.elr.contains(&id),
            BrokerEvent::LosesEverything(id) => {
                let holding = [&partition.isr, &partition.elr, &partition.last_known_elr];
                holding.iter().any(|brokers| brokers.contains(&id))
            }
        }
    }
}

impl Controller {
    /// The changes of all partitions that an event concerns. They belong into one entry of the log together with what
    /// made the event.
    pub(super) fn partition_changes(&self, event: BrokerEvent) -> Vec<MetadataRecord> {
        let rules = self.rule_book();
        self.image.topics().flat_map(|topic| self.topic_changes(topic, &rules, event)).collect()
    }

    pub(super) fn is_active(&self, id: BrokerId) -> bool {
        self.image.broker(id).is_some_and(|broker| broker.is_active())
    }

    /// Whether a broker leads only what nobody else can.
    pub(super) fn avoids(&self, id: BrokerId) -> bool {
        self.image.is_cordoned(id) || self.image.drain_grant().is_some_and(|grant| grant.broker == id)
    }

    pub(super) fn election_rules(&self, topic: &TopicImage) -> ElectionRules {
        ElectionRules::new(self.image.config(&ConfigResource::Topic(topic.id)), &self.broker_layers())
    }

    pub(super) fn rule_book(&self) -> RuleBook<'_> {
        RuleBook::new(&self.image, self.broker_layers())
    }

    /// What becomes of a topic's partitions when its configuration is another one, but no broker comes or goes.
    pub(super) fn reconsider(&self, topic: &TopicImage) -> Vec<MetadataRecord> {
        let rules = self.election_rules(topic);
        let may_lead = |id| self.is_active(id);
        let avoid = |id| self.avoids(id);
        let waits = |partition: &PartitionImage| partition.leader.is_none() || !partition.elr.is_empty();
        let change = |(index, partition): (i32, &PartitionImage)| {
            let builder = PartitionChangeBuilder::new(partition, &may_lead, rules.min_isr);
            let change = builder.election(rules.election()).avoiding(&avoid).build()?;
            let partition = PartitionId(index);
            Some(MetadataRecord::PartitionChange { topic: topic.id, partition, change })
        };
        let waiting = (0..).zip(&topic.partitions).filter(|(_, partition)| waits(partition));
        waiting.filter_map(change).collect()
    }

    /// Others lead what these replicas of a broker led, and they leave the in-sync replicas: their directory failed, and the
    /// broker lives on. They do not fetch, so that they cannot come back; whoever has nobody else stays without a leader.
    pub(super) fn offline_changes(
        &self,
        broker: BrokerId,
        offline: &[TopicPartition],
    ) -> Vec<MetadataRecord> {
        let (goes, rules) = (BrokerEvent::Goes(broker), self.rule_book());
        let may_lead = |id: BrokerId| id != broker && self.is_active(id);
        let avoid = |id| self.avoids(id);
        let once: BTreeSet<_> = offline.iter().copied().collect();
        let change = |id: TopicPartition| {
            let topic = self.image.topic(id.topic)?;
            let partition = self.image.partition(id).filter(|partition| goes.concerns(partition))?;
            let rules = rules.of(topic);
            let builder = PartitionChangeBuilder::new(partition, &may_lead, rules.min_isr);
            let builder = builder.election(rules.election()).avoiding(&avoid).without(broker);
            let TopicPartition { topic, partition } = id;
            builder.build().map(|change| MetadataRecord::PartitionChange { topic, partition, change })
        };
        once.into_iter().filter_map(change).collect()
    }

    fn topic_changes(
        &self,
        topic: &TopicImage,
        rules: &RuleBook<'_>,
        event: BrokerEvent,
    ) -> Vec<MetadataRecord> {
        if !topic.partitions.iter().any(|partition| event.concerns(partition)) {
            return Vec::new();
        }
        let rules = rules.of(topic);
        let may_lead = |id: BrokerId| match event {
            BrokerEvent::Comes(comes) => id == comes || self.is_active(id),
            BrokerEvent::Goes(goes)
            | BrokerEvent::LosesRecords(goes)
            | BrokerEvent::LosesEverything(goes) => id != goes && self.is_active(id),
        };
        let avoid = |id| self.avoids(id);
        let change = |(index, partition): (i32, &PartitionImage)| {
            let builder = PartitionChangeBuilder::new(partition, &may_lead, rules.min_isr);
            let builder = builder.election(rules.election()).avoiding(&avoid);
            let builder = match event {
                BrokerEvent::Comes(_) => builder,
                BrokerEvent::Goes(id) => builder.without(id),
                BrokerEvent::LosesRecords(id) => builder.without_unclean(id),
                BrokerEvent::LosesEverything(id) => builder.without_unclean(id).without_memory_of(id),
            };
            let (topic, partition) = (topic.id, PartitionId(index));
            builder.build().map(|change| MetadataRecord::PartitionChange { topic, partition, change })
        };
        let partitions = (0..).zip(&topic.partitions).filter(|(_, partition)| event.concerns(partition));
        partitions.filter_map(change).collect()
    }
}
