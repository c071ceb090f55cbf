//! What a client knows of a cluster: its nodes, its topics, who leads which partition.

use std::collections::BTreeMap;

use protocol::messages::MetadataResponse;
use protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use types::{ErrorCode, TopicId};

use crate::Error;

/// A broker, as it is advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: i32,
    /// Its advertised host.
    pub host: String,
    /// Its advertised port.
    pub port: i32,
    /// Its rack.
    pub rack: Option<String>,
}

/// A cluster at one moment, as far as it was asked for.
#[derive(Clone, Debug, Default)]
pub struct ClusterMetadata {
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// The node that brokers name as controller; -1 if none.
    pub controller_id: i32,
    /// The brokers, by id.
    pub brokers: BTreeMap<i32, Node>,
    /// The topics, by name.
    pub topics: BTreeMap<String, TopicMetadata>,
}

/// A topic.
#[derive(Clone, Debug)]
pub struct TopicMetadata {
    /// Its name.
    pub name: String,
    /// Its identity; zero from brokers that tell none.
    pub topic_id: TopicId,
    /// Whether it belongs to the brokers themselves.
    pub is_internal: bool,
    /// What is wrong with the topic as a whole.
    pub error: Option<ErrorCode>,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionMetadata>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// Its index.
    pub index: i32,
    /// Its leader, if it has one.
    pub leader: Option<i32>,
    /// Counts its leaders; -1 if unknown.
    pub leader_epoch: i32,
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those in sync.
    pub isr: Vec<i32>,
    /// Those that are down.
    pub offline_replicas: Vec<i32>,
}

impl ClusterMetadata {
    /// From a broker's answer.
    pub fn new(response: &MetadataResponse) -> ClusterMetadata {
        let brokers = response.brokers.iter().map(|broker| {
            let rack = broker.rack.as_ref().map(|rack| rack.as_str().to_owned());
            let node =
                Node { id: broker.node_id, host: broker.host.as_str().to_owned(), port: broker.port, rack };
            (node.id, node)
        });
        let topics = response.topics.iter().filter_map(|topic| {
            let name = topic.name.as_ref()?.as_str().to_owned();
            Some((name.clone(), TopicMetadata::new(name, topic)))
        });
        ClusterMetadata {
            cluster_id: response.cluster_id.as_ref().map(|id| id.as_str().to_owned()),
            controller_id: response.controller_id,
            brokers: brokers.collect(),
            topics: topics.collect(),
        }
    }

    /// A topic that is known and whole.
    pub fn topic(&self, name: &str) -> Result<&TopicMetadata, Error> {
        let unknown = || Error::UnknownTopic { topic: name.to_owned() };
        let topic = self.topics.get(name).ok_or_else(unknown)?;
        match topic.error {
            None => Ok(topic),
            Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId) => Err(unknown()),
            Some(code) => {
                Err(Error::refused(format!("topic {name}"), crate::BrokerError { code, message: None }))
            }
        }
    }

    /// A partition of a topic that is known.
    pub fn partition(&self, topic: &str, index: i32) -> Result<&PartitionMetadata, Error> {
        let topic = self.topic(topic)?;
        topic.partitions.iter().find(|partition| partition.index == index).ok_or_else(|| {
            Error::UnknownPartition {
                topic: topic.name.clone(),
                partition: index,
                count: topic.partitions.len(),
            }
        })
    }

    /// The leader of a partition.
    pub fn leader(&self, topic: &str, index: i32) -> Result<&Node, Error> {
        let partition = self.partition(topic, index)?;
        let node = partition.leader.and_then(|id| self.brokers.get(&id));
        node.ok_or_else(|| Error::NoLeader { topic: topic.to_owned(), partition: index })
    }
}

impl TopicMetadata {
    fn new(name: String, topic: &MetadataResponseTopic) -> TopicMetadata {
        let mut partitions: Vec<_> = topic.partitions.iter().map(PartitionMetadata::new).collect();
        partitions.sort_by_key(|partition| partition.index);
        let error = crate::BrokerError::check(topic.error_code, None).err();
        TopicMetadata {
            name,
            topic_id: TopicId(topic.topic_id),
            is_internal: topic.is_internal,
            error: error.map(|error| error.code),
            partitions,
        }
    }
}

impl PartitionMetadata {
    fn new(partition: &MetadataResponsePartition) -> PartitionMetadata {
        PartitionMetadata {
            index: partition.partition_index,
            leader: Some(partition.leader_id).filter(|&id| id >= 0),
            leader_epoch: partition.leader_epoch,
            replicas: partition.replica_nodes.clone(),
            isr: partition.isr_nodes.clone(),
            offline_replicas: partition.offline_replicas.clone(),
        }
    }
}
