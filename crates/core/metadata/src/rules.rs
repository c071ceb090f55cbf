//! What the configuration of topics says about their replicas, and how many partitions it leaves unavailable.

use config::{BrokerLayers, Overrides, TopicConfig};

use crate::{ConfigResource, Image, PartitionImage, TopicImage};

/// The keys that the rules come from.
pub(crate) const ELECTION_KEYS: [&str; 2] = ["min.insync.replicas", "unclean.leader.election.enable"];

/// What a topic's configuration says about elections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ElectionRules {
    /// `min.insync.replicas`.
    pub(crate) min_isr: usize,
    /// `unclean.leader.election.enable`.
    pub(crate) allows_unclean: bool,
}

/// The rules of all topics: most inherit theirs, and working that out is not free.
#[derive(Debug)]
pub(crate) struct RuleBook<'a> {
    image: &'a Image,
    layers: BrokerLayers<'a>,
    inherited: ElectionRules,
}

/// How many partitions clients cannot use to the full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionHealth {
    /// All that there are.
    pub total: usize,
    /// Those without a leader: nothing can be read or written.
    pub offline: usize,
    /// Those with a leader that refuses writes with `acks=all`. Kafka: `UnderMinIsrPartitionCount`.
    pub under_min_isr: usize,
}

impl ElectionRules {
    pub(crate) fn new(own: &Overrides, layers: &BrokerLayers<'_>) -> ElectionRules {
        let config = TopicConfig::resolve(own, layers);
        ElectionRules {
            min_isr: usize::try_from(config.min_insync_replicas).unwrap_or(1),
            allows_unclean: config.unclean_leader_election_enable,
        }
    }

    /// How many replicas in sync a write with `acks=all` needs. Kafka: `Partition.effectiveMinIsr`.
    fn needed(self, partition: &PartitionImage) -> usize {
        self.min_isr.min(partition.replicas.len())
    }
}

impl<'a> RuleBook<'a> {
    pub(crate) fn new(image: &'a Image, layers: BrokerLayers<'a>) -> RuleBook<'a> {
        RuleBook { image, layers, inherited: ElectionRules::new(&Overrides::new(), &layers) }
    }

    pub(crate) fn of(&self, topic: &TopicImage) -> ElectionRules {
        let own = self.image.config(&ConfigResource::Topic(topic.id));
        match ELECTION_KEYS.iter().any(|key| own.contains_key(*key)) {
            true => ElectionRules::new(own, &self.layers),
            false => self.inherited,
        }
    }
}

impl Image {
    /// How many partitions clients cannot use; `fixed` is what stands in `broker.yaml`.
    pub fn partition_health(&self, fixed: &Overrides) -> PartitionHealth {
        let layers =
            BrokerLayers { cluster: self.config(&ConfigResource::Cluster), fixed, ..BrokerLayers::none() };
        let book = RuleBook::new(self, layers);
        let mut health = PartitionHealth::default();
        for topic in self.topics() {
            let rules = book.of(topic);
            health.total += topic.partitions.len();
            for partition in &topic.partitions {
                match partition.leader {
                    None => health.offline += 1,
                    Some(_) => {
                        health.under_min_isr += usize::from(partition.isr.len() < rules.needed(partition));
                    }
                }
            }
        }
        health
    }
}
