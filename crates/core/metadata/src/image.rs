//! What the cluster is at one moment. Readers share an image; applying a record copies only the map that it changes, and
//! only while somebody still reads the old one.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::Overrides;
use types::{
    BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, PartitionId, ProducerId, TopicId, TopicPartition,
    Uuid,
};

use crate::MetadataRecord;

/// The cluster's metadata at one moment; cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    topics: Arc<BTreeMap<TopicId, Arc<TopicImage>>>,
    topic_ids: Arc<BTreeMap<Arc<str>, TopicId>>,
    configs: Arc<BTreeMap<ConfigResource, Arc<Overrides>>>,
    brokers: Arc<BTreeMap<BrokerId, Arc<BrokerImage>>>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionImage {
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Those of them that are in sync.
    pub isr: Vec<BrokerId>,
    /// The leader, if there is one.
    pub leader: Option<BrokerId>,
    /// Counts the leaders.
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
    /// Whether it may not lead.
    pub is_fenced: bool,
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

    /// What was set for a resource.
    pub fn config(&self, resource: &ConfigResource) -> &Overrides {
        static NOTHING: Overrides = Overrides::new();
        self.configs.get(resource).map_or(&NOTHING, |overrides| overrides)
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
        for broker in self.brokers.values() {
            records.extend(broker.to_records());
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
            MetadataRecord::Partition {
                topic, replicas, isr, leader, leader_epoch, partition_epoch, ..
            } => {
                let partition = PartitionImage {
                    replicas: replicas.clone(),
                    isr: isr.clone(),
                    leader: *leader,
                    leader_epoch: *leader_epoch,
                    partition_epoch: *partition_epoch,
                };
                self.change_topic(*topic, |topic| topic.partitions.push(partition));
            }
            MetadataRecord::PartitionChange { topic, partition, isr, leader } => {
                self.change_partition(*topic, *partition, isr.as_deref(), *leader);
            }
            MetadataRecord::RemoveTopic { id } => self.remove_topic(*id),
            MetadataRecord::Config { resource, key, value } => {
                self.configure(resource, key, value.as_deref())
            }
            MetadataRecord::RegisterBroker { broker, epoch, incarnation, endpoints, rack } => {
                let image = BrokerImage {
                    id: *broker,
                    epoch: *epoch,
                    incarnation: *incarnation,
                    endpoints: endpoints.clone(),
                    rack: rack.clone(),
                    is_fenced: true,
                };
                self.last_broker_epoch = self.last_broker_epoch.max(*epoch);
                Arc::make_mut(&mut self.brokers).insert(*broker, Arc::new(image));
            }
            MetadataRecord::FenceBroker { broker, epoch } => self.set_fenced(*broker, *epoch, true),
            MetadataRecord::UnfenceBroker { broker, epoch } => self.set_fenced(*broker, *epoch, false),
            MetadataRecord::ProducerIds { next, .. } => self.next_producer_id = Some(*next),
        }
    }

    fn change_topic(&mut self, id: TopicId, change: impl FnOnce(&mut TopicImage)) {
        if let Some(topic) = Arc::make_mut(&mut self.topics).get_mut(&id) {
            change(Arc::make_mut(topic));
        }
    }

    fn change_partition(
        &mut self,
        topic: TopicId,
        partition: PartitionId,
        isr: Option<&[BrokerId]>,
        leader: Option<Option<BrokerId>>,
    ) {
        self.change_topic(topic, |topic| {
            let index = usize::try_from(partition.0).unwrap_or(usize::MAX);
            let Some(partition) = topic.partitions.get_mut(index) else { return };
            if let Some(isr) = isr {
                partition.isr = isr.to_vec();
            }
            if let Some(leader) = leader {
                partition.leader = leader;
                partition.leader_epoch = partition.leader_epoch.next();
            }
            partition.partition_epoch = partition.partition_epoch.next();
        });
    }

    fn remove_topic(&mut self, id: TopicId) {
        if let Some(topic) = Arc::make_mut(&mut self.topics).remove(&id) {
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

    fn set_fenced(&mut self, broker: BrokerId, epoch: BrokerEpoch, is_fenced: bool) {
        let brokers = Arc::make_mut(&mut self.brokers);
        if let Some(broker) = brokers.get_mut(&broker).filter(|broker| broker.epoch == epoch) {
            Arc::make_mut(broker).is_fenced = is_fenced;
        }
    }
}

impl TopicImage {
    fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = vec![MetadataRecord::Topic { name: self.name.to_string(), id: self.id }];
        for (index, partition) in (0..).zip(&self.partitions) {
            records.push(MetadataRecord::Partition {
                topic: self.id,
                partition: PartitionId(index),
                replicas: partition.replicas.clone(),
                isr: partition.isr.clone(),
                leader: partition.leader,
                leader_epoch: partition.leader_epoch,
                partition_epoch: partition.partition_epoch,
            });
        }
        records
    }
}

impl BrokerImage {
    fn to_records(&self) -> Vec<MetadataRecord> {
        let (broker, epoch) = (self.id, self.epoch);
        let registration = MetadataRecord::RegisterBroker {
            broker,
            epoch,
            incarnation: self.incarnation,
            endpoints: self.endpoints.clone(),
            rack: self.rack.clone(),
        };
        let mut records = vec![registration];
        if !self.is_fenced {
            records.push(MetadataRecord::UnfenceBroker { broker, epoch });
        }
        records
    }
}
