//! What the cluster is at one moment. Readers share an image; applying a record copies only the map that it changes, and
//! only while somebody still reads the old one.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::Overrides;
use types::{
    BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, PartitionId, ProducerId, TopicId, TopicPartition,
    Uuid,
};

use crate::{MetadataRecord, PartitionChange};

/// The cluster's metadata at one moment; cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    topics: Arc<BTreeMap<TopicId, Arc<TopicImage>>>,
    topic_ids: Arc<BTreeMap<Arc<str>, TopicId>>,
    configs: Arc<BTreeMap<ConfigResource, Arc<Overrides>>>,
    brokers: Arc<BTreeMap<BrokerId, Arc<BrokerImage>>>,
    /// Of how many partitions each broker is the preferred leader: placing a topic would otherwise look at all others.
    preferred: Arc<BTreeMap<BrokerId, usize>>,
    next_producer_id: Option<ProducerId>,
    /// The largest epoch that any registration had.
    last_broker_epoch: BrokerEpoch,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    /// Its identity.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// Its partitions, by index from 0 without gaps.
    pub partitions: Vec<PartitionImage>,
}

/// A partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionImage {
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Those of them that are in sync. Empty only if the last one was shut down uncleanly.
    pub isr: Vec<BrokerId>,
    /// Those of `replicas` that a reassignment adds.
    pub adding: Vec<BrokerId>,
    /// Those of `replicas` that go once a reassignment is complete.
    pub removing: Vec<BrokerId>,
    /// Replicas that left the in-sync ones while those were fewer than min.insync.replicas: as the high watermark stood
    /// since, they hold all that is committed, and may lead (KIP-966).
    pub elr: Vec<BrokerId>,
    /// The last leader, if nobody is left who surely holds all that is committed.
    pub last_known_elr: Vec<BrokerId>,
    /// Whether the leader recovers from an unclean election.
    pub is_recovering: bool,
    /// The leader, if there is one.
    pub leader: Option<BrokerId>,
    /// Counts the changes of leader.
    pub leader_epoch: LeaderEpoch,
    /// Counts the changes.
    pub partition_epoch: PartitionEpoch,
}

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerImage {
    /// Its id.
    pub id: BrokerId,
    /// The epoch of its registration.
    pub epoch: BrokerEpoch,
    /// Tells one life of its process from the next.
    pub incarnation: Uuid,
    /// Where it is reached.
    pub endpoints: Vec<Endpoint>,
    /// Where it stands.
    pub rack: Option<String>,
    /// The identities of its log directories.
    pub directories: Vec<Uuid>,
    /// Those of them that take no new replica.
    pub cordoned: Vec<Uuid>,
    /// Whether it may neither lead nor be in sync.
    pub is_fenced: bool,
    /// Whether it is handing its partitions over, to stop.
    pub is_in_controlled_shutdown: bool,
}

/// Where a broker is reached by one of its listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name.
    pub listener: String,
    /// What clients are told.
    pub host: String,
    /// What clients are told.
    pub port: u16,
}

/// What a configuration belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic, by identity.
    Topic(TopicId),
    /// One broker.
    Broker(BrokerId),
    /// All brokers.
    Cluster,
}

impl Image {
    /// All topics, by identity.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<TopicImage>> {
        self.topics.values()
    }

    /// All topics' names, in order.
    pub fn topic_names(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, TopicId)> {
        self.topic_ids.iter().map(|(name, id)| (name, *id))
    }

    /// The topic of this identity.
    pub fn topic(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics.get(&id)
    }

    /// The topic that has this name now.
    pub fn topic_named(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    /// A partition.
    pub fn partition(&self, id: TopicPartition) -> Option<&PartitionImage> {
        let index = usize::try_from(id.partition.0).ok()?;
        self.topics.get(&id.topic)?.partitions.get(index)
    }

    /// The partitions that are being given other replicas.
    pub fn reassigning(&self) -> impl Iterator<Item = (&Arc<TopicImage>, PartitionId, &PartitionImage)> {
        let partitions = self.topics.values().flat_map(|topic| {
            (0..).zip(&topic.partitions).map(move |(index, state)| (topic, PartitionId(index), state))
        });
        partitions.filter(|(_, _, state)| state.is_reassigning())
    }

    /// The topic with the partition that needs the most brokers, and how many these are.
    pub fn widest_topic(&self) -> Option<(&Arc<TopicImage>, usize)> {
        let width = |topic: &TopicImage| topic.partitions.iter().map(PartitionImage::target_replicas).max();
        self.topics.values().filter_map(|topic| Some((topic, width(topic)?))).max_by_key(|(_, width)| *width)
    }

    /// What was set for a resource.
    pub fn config(&self, resource: &ConfigResource) -> &Overrides {
        static NOTHING: Overrides = Overrides::new();
        self.configs.get(resource).map_or(&NOTHING, |overrides| overrides)
    }

    /// The brokers for which something was set, registered or not.
    pub fn configured_brokers(&self) -> impl Iterator<Item = BrokerId> {
        self.configs.keys().filter_map(|resource| match resource {
            ConfigResource::Broker(id) => Some(*id),
            ConfigResource::Topic(_) | ConfigResource::Cluster => None,
        })
    }

    /// All registered brokers, by id.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &Arc<BrokerImage>> {
        self.brokers.values()
    }

    /// A registered broker.
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<BrokerImage>> {
        self.brokers.get(&id)
    }

    /// The first producer id that was not given out.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id.unwrap_or(ProducerId(0))
    }

    /// Of how many partitions a broker is the preferred leader.
    pub(crate) fn preferred_count(&self, id: BrokerId) -> usize {
        self.preferred.get(&id).copied().unwrap_or(0)
    }

    fn count_preferred(&mut self, from: Option<BrokerId>, to: Option<BrokerId>) {
        if from == to {
            return;
        }
        let preferred = Arc::make_mut(&mut self.preferred);
        if let Some(from) = from
            && let Some(count) = preferred.get_mut(&from)
        {
            *count -= 1;
            if *count == 0 {
                preferred.remove(&from);
            }
        }
        if let Some(to) = to {
            *preferred.entry(to).or_default() += 1;
        }
    }

    pub(crate) fn last_broker_epoch(&self) -> BrokerEpoch {
        self.last_broker_epoch
    }

    /// The epoch for the next registration.
    pub(crate) fn next_broker_epoch(&self) -> BrokerEpoch {
        BrokerEpoch(self.last_broker_epoch.0 + 1)
    }

    pub(crate) fn shared_topics(&self) -> &Arc<BTreeMap<TopicId, Arc<TopicImage>>> {
        &self.topics
    }

    pub(crate) fn shared_configs(&self) -> &Arc<BTreeMap<ConfigResource, Arc<Overrides>>> {
        &self.configs
    }

    /// The records that make this image from an empty one: a snapshot.
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        // The largest epoch may be that of a broker that is gone; it is not given out twice.
        if self.last_broker_epoch.0 > 0
            && self.brokers.values().all(|known| known.epoch < self.last_broker_epoch)
        {
            let epoch = self.last_broker_epoch;
            records.push(MetadataRecord::UnregisterBroker { broker: BrokerId::NONE, epoch });
        }
        for broker in self.brokers.values() {
            records.push(MetadataRecord::RegisterBroker((**broker).clone()));
        }
        for topic in self.topics.values() {
            records.extend(topic.to_records());
        }
        for (resource, overrides) in self.configs.iter() {
            records.extend(overrides.iter().map(|(key, value)| MetadataRecord::Config {
                resource: resource.clone(),
                key: key.clone(),
                value: Some(value.clone()),
            }));
        }
        if let Some(next) = self.next_producer_id {
            records.push(MetadataRecord::ProducerIds {
                broker: BrokerId::NONE,
                epoch: BrokerEpoch(-1),
                next,
            });
        }
        records
    }

    /// Takes one record in.
    pub fn apply(&mut self, record: &MetadataRecord) {
        match record {
            MetadataRecord::Topic { name, id } => {
                let name: Arc<str> = name.as_str().into();
                Arc::make_mut(&mut self.topic_ids).insert(Arc::clone(&name), *id);
                let topic = TopicImage { id: *id, name, partitions: Vec::new() };
                Arc::make_mut(&mut self.topics).insert(*id, Arc::new(topic));
            }
            MetadataRecord::Partition { topic, state, .. } => {
                if self.topics.contains_key(topic) {
                    self.count_preferred(None, state.replicas.first().copied());
                }
                self.change_topic(*topic, |topic| topic.partitions.push(state.clone()));
            }
            MetadataRecord::PartitionChange { topic, partition, change } => {
                let id = TopicPartition { topic: *topic, partition: *partition };
                if let (Some(replicas), Some(known)) = (&change.replicas, self.partition(id)) {
                    let from = known.replicas.first().copied();
                    self.count_preferred(from, replicas.first().copied());
                }
                self.change_topic(*topic, |topic| topic.change(*partition, change));
            }
            MetadataRecord::RemoveTopic { id } => self.remove_topic(*id),
            MetadataRecord::Config { resource, key, value } => {
                self.configure(resource, key, value.as_deref())
            }
            MetadataRecord::RegisterBroker(broker) => {
                self.last_broker_epoch = self.last_broker_epoch.max(broker.epoch);
                Arc::make_mut(&mut self.brokers).insert(broker.id, Arc::new(broker.clone()));
            }
            MetadataRecord::BrokerChange {
                broker,
                epoch,
                is_fenced,
                is_in_controlled_shutdown,
                cordoned,
            } => {
                self.change_broker(*broker, *epoch, |broker| {
                    broker.is_fenced = is_fenced.unwrap_or(broker.is_fenced);
                    broker.is_in_controlled_shutdown =
                        is_in_controlled_shutdown.unwrap_or(broker.is_in_controlled_shutdown);
                    if let Some(cordoned) = cordoned {
                        broker.cordoned.clone_from(cordoned);
                    }
                });
            }
            MetadataRecord::UnregisterBroker { broker, epoch } => {
                self.last_broker_epoch = self.last_broker_epoch.max(*epoch);
                if self.brokers.get(broker).is_some_and(|known| known.epoch == *epoch) {
                    Arc::make_mut(&mut self.brokers).remove(broker);
                }
            }
            MetadataRecord::ProducerIds { next, .. } => self.next_producer_id = Some(*next),
        }
    }

    fn change_topic(&mut self, id: TopicId, change: impl FnOnce(&mut TopicImage)) {
        if let Some(topic) = Arc::make_mut(&mut self.topics).get_mut(&id) {
            change(Arc::make_mut(topic));
        }
    }

    fn remove_topic(&mut self, id: TopicId) {
        if let Some(topic) = Arc::make_mut(&mut self.topics).remove(&id) {
            for partition in &topic.partitions {
                self.count_preferred(partition.replicas.first().copied(), None);
            }
            Arc::make_mut(&mut self.topic_ids).remove(&topic.name);
            Arc::make_mut(&mut self.configs).remove(&ConfigResource::Topic(id));
        }
    }

    fn configure(&mut self, resource: &ConfigResource, key: &str, value: Option<&str>) {
        let configs = Arc::make_mut(&mut self.configs);
        match value {
            Some(value) => {
                let overrides = configs.entry(resource.clone()).or_default();
                Arc::make_mut(overrides).insert(key.to_owned(), value.to_owned());
            }
            None => {
                let Some(overrides) = configs.get_mut(resource) else { return };
                Arc::make_mut(overrides).remove(key);
                if overrides.is_empty() {
                    configs.remove(resource);
                }
            }
        }
    }

    fn change_broker(&mut self, id: BrokerId, epoch: BrokerEpoch, change: impl FnOnce(&mut BrokerImage)) {
        let is_current = self.brokers.get(&id).is_some_and(|broker| broker.epoch == epoch);
        if let Some(broker) = Arc::make_mut(&mut self.brokers).get_mut(&id).filter(|_| is_current) {
            change(Arc::make_mut(broker));
        }
    }
}

impl TopicImage {
    fn to_records(&self) -> Vec<MetadataRecord> {
        let topic = MetadataRecord::Topic { name: self.name.to_string(), id: self.id };
        let partitions = (0..).zip(&self.partitions).map(|(index, partition)| MetadataRecord::Partition {
            topic: self.id,
            partition: PartitionId(index),
            state: partition.clone(),
        });
        std::iter::once(topic).chain(partitions).collect()
    }

    fn change(&mut self, partition: PartitionId, change: &PartitionChange) {
        let index = usize::try_from(partition.0).unwrap_or(usize::MAX);
        if let Some(partition) = self.partitions.get_mut(index) {
            partition.change(change);
        }
    }
}

impl PartitionImage {
    /// Takes a change in.
    pub(crate) fn change(&mut self, change: &PartitionChange) {
        let set = |to: &mut Vec<BrokerId>, from: &Option<Vec<BrokerId>>| {
            if let Some(from) = from {
                to.clone_from(from);
            }
        };
        set(&mut self.replicas, &change.replicas);
        set(&mut self.isr, &change.isr);
        set(&mut self.adding, &change.adding);
        set(&mut self.removing, &change.removing);
        set(&mut self.elr, &change.elr);
        set(&mut self.last_known_elr, &change.last_known_elr);
        self.is_recovering = change.is_recovering.unwrap_or(self.is_recovering);
        if let Some(leader) = change.leader {
            self.leader = leader;
            self.leader_epoch = self.leader_epoch.next();
        }
        self.partition_epoch = self.partition_epoch.next();
    }

    /// Whether replicas are being added or removed.
    pub fn is_reassigning(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// How many replicas it has once a reassignment is complete.
    pub fn target_replicas(&self) -> usize {
        self.replicas.len() - self.removing.len()
    }
}

impl BrokerImage {
    /// Whether it may lead and be in sync.
    pub fn is_active(&self) -> bool {
        !self.is_fenced && !self.is_in_controlled_shutdown
    }

    /// Whether none of its directories takes a new replica.
    pub fn is_cordoned(&self) -> bool {
        !self.cordoned.is_empty() && self.directories.iter().all(|id| self.cordoned.contains(id))
    }
}
