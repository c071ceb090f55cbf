//! What becomes of all partitions when a broker comes, goes, stops or comes back without what it had.

use std::collections::BTreeSet;

use config::{BrokerLayers, Overrides, TopicConfig};
use types::{BrokerId, PartitionId, TopicPartition};

use super::Controller;
use super::configs::ELECTION_KEYS;
use super::partition_change::{Election, PartitionChangeBuilder};
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

/// What a topic's configuration says about elections.
#[derive(Clone, Copy, Debug)]
pub(super) struct ElectionRules {
    /// `min.insync.replicas`.
    pub(super) min_isr: usize,
    /// `unclean.leader.election.enable`.
    pub(super) allows_unclean: bool,
}

/// The rules of all topics, for who asks for those of many: most inherit theirs, and working that out is not free.
#[derive(Debug)]
pub(super) struct RuleBook<'a> {
    controller: &'a Controller,
    inherited: ElectionRules,
}

impl RuleBook<'_> {
    pub(super) fn of(&self, topic: &TopicImage) -> ElectionRules {
        let own = self.controller.image.config(&ConfigResource::Topic(topic.id));
        match ELECTION_KEYS.iter().any(|key| own.contains_key(*key)) {
            true => self.controller.election_rules(topic),
            false => self.inherited,
        }
    }
}

impl ElectionRules {
    fn from_config(config: &TopicConfig) -> ElectionRules {
        ElectionRules {
            min_isr: usize::try_from(config.min_insync_replicas).unwrap_or(1),
            allows_unclean: config.unclean_leader_election_enable,
        }
    }

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
        ElectionRules::from_config(&self.topic_config(topic, self.broker_layers()))
    }

    pub(super) fn rule_book(&self) -> RuleBook<'_> {
        let inherited = TopicConfig::resolve(&Overrides::new(), &self.broker_layers());
        RuleBook { controller: self, inherited: ElectionRules::from_config(&inherited) }
    }

    fn topic_config(&self, topic: &TopicImage, layers: BrokerLayers<'_>) -> TopicConfig {
        TopicConfig::resolve(self.image.config(&ConfigResource::Topic(topic.id)), &layers)
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
