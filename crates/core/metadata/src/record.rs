//! One change of the cluster's metadata, as the log of the quorum carries it. The names are those of Kafka's records.

use types::{BrokerEpoch, BrokerId, PartitionId, ProducerId, TopicId, Uuid};

use crate::{BrokerImage, ConfigResource, PartitionImage};

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
        /// What it is.
        state: PartitionImage,
    },
    /// A partition changes.
    PartitionChange {
        /// Its topic.
        topic: TopicId,
        /// Its index.
        partition: PartitionId,
        /// How.
        change: PartitionChange,
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
    /// A broker registers; another registration of its id ends.
    RegisterBroker(BrokerImage),
    /// A registered broker changes; what is `None` stays.
    BrokerChange {
        /// Which.
        broker: BrokerId,
        /// Its registration: of another one the record changes nothing.
        epoch: BrokerEpoch,
        /// Whether it may neither lead nor be in sync.
        is_fenced: Option<bool>,
        /// Whether it is handing its partitions over, to stop.
        is_in_controlled_shutdown: Option<bool>,
        /// The directories that take no new replica.
        cordoned: Option<Vec<Uuid>>,
    },
    /// A broker is forgotten.
    UnregisterBroker {
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

/// What becomes different about a partition; what is `None` stays. Any of it raises the partition epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionChange {
    /// The replicas.
    pub replicas: Option<Vec<BrokerId>>,
    /// The replicas in sync.
    pub isr: Option<Vec<BrokerId>>,
    /// The leader; the inner `None` is none. Raises the leader epoch, also where it names the leader that there is.
    pub leader: Option<Option<BrokerId>>,
    /// The replicas that a reassignment adds.
    pub adding: Option<Vec<BrokerId>>,
    /// The replicas that a reassignment removes.
    pub removing: Option<Vec<BrokerId>>,
    /// The eligible leader replicas.
    pub elr: Option<Vec<BrokerId>>,
    /// The last known eligible leader replicas.
    pub last_known_elr: Option<Vec<BrokerId>>,
    /// Whether the leader recovers from an unclean election.
    pub is_recovering: Option<bool>,
}

impl PartitionChange {
    /// Whether nothing becomes different.
    pub fn is_empty(&self) -> bool {
        *self == PartitionChange::default()
    }
}
