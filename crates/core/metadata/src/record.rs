//! One change of the cluster's metadata, as the log of the quorum carries it. The names are those of Kafka's records.

use types::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, PartitionId, ProducerId, TopicId, Uuid};

use crate::{ConfigResource, Endpoint};

/// A change. What it refers to is there: the controller that decided on it saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataRecord {
    /// A topic is created; its partitions follow.
    Topic {
        /// Its name.
        name: String,
        /// Its identity.
        id: TopicId,
    },
    /// A partition is created.
    Partition {
        /// Its topic.
        topic: TopicId,
        /// Its index.
        partition: PartitionId,
        /// The brokers that hold it, the preferred leader first.
        replicas: Vec<BrokerId>,
        /// Those of them that are in sync.
        isr: Vec<BrokerId>,
        /// The leader.
        leader: Option<BrokerId>,
        /// The leader's epoch.
        leader_epoch: LeaderEpoch,
        /// How often it has changed.
        partition_epoch: PartitionEpoch,
    },
    /// A partition's leader or in-sync replicas change; what is `None` stays.
    PartitionChange {
        /// Its topic.
        topic: TopicId,
        /// Its index.
        partition: PartitionId,
        /// The new in-sync replicas.
        isr: Option<Vec<BrokerId>>,
        /// The new leader; the inner `None` is none. Raises the leader epoch.
        leader: Option<Option<BrokerId>>,
    },
    /// A topic and all its partitions are deleted.
    RemoveTopic {
        /// Which.
        id: TopicId,
    },
    /// A configuration is set, or back at its default if there is no value.
    Config {
        /// Whose.
        resource: ConfigResource,
        /// The key.
        key: String,
        /// The value.
        value: Option<String>,
    },
    /// A broker registers, fenced.
    RegisterBroker {
        /// Its id.
        broker: BrokerId,
        /// The epoch of this registration.
        epoch: BrokerEpoch,
        /// Tells one life of its process from the next.
        incarnation: Uuid,
        /// Where it is reached.
        endpoints: Vec<Endpoint>,
        /// Where it stands.
        rack: Option<String>,
    },
    /// A broker may no longer lead.
    FenceBroker {
        /// Which.
        broker: BrokerId,
        /// Its registration.
        epoch: BrokerEpoch,
    },
    /// A broker may lead.
    UnfenceBroker {
        /// Which.
        broker: BrokerId,
        /// Its registration.
        epoch: BrokerEpoch,
    },
    /// A block of producer ids is given out.
    ProducerIds {
        /// To whom.
        broker: BrokerId,
        /// Its registration.
        epoch: BrokerEpoch,
        /// The first id of the next block.
        next: ProducerId,
    },
}
