//! What the controller is asked, and what it answers.

use config::Overrides;
use types::{BrokerEpoch, BrokerId, ErrorCode, PartitionId, ProducerId, TopicId, Uuid};

use super::{
    AlterPartition, AlteredPartition, BrokerHeartbeat, BrokerRegistration, ConfigOperation, ConfigTarget,
    ElectedLeader, ElectionType, HeartbeatReply, Reassignment, RestartCheck,
};

/// What somebody asks of the controller.
#[derive(Clone, Debug)]
pub enum Command {
    /// Create topics, each for itself.
    CreateTopics {
        /// Which.
        topics: Vec<NewTopic>,
        /// Only say whether it would work.
        validate_only: bool,
    },
    /// Delete topics, each for itself.
    DeleteTopics {
        /// Which.
        topics: Vec<TopicRef>,
    },
    /// Give topics more partitions, each for itself.
    CreatePartitions {
        /// Which, and how many.
        topics: Vec<NewPartitions>,
        /// Only say whether it would work.
        validate_only: bool,
    },
    /// Change configurations, each resource for itself.
    AlterConfigs {
        /// Which, and how.
        changes: Vec<ConfigChange>,
        /// Only say whether it would work.
        validate_only: bool,
    },
    /// A broker says that it is there.
    RegisterBroker(BrokerRegistration),
    /// A broker says that it still is, and what it wants.
    BrokerHeartbeat(BrokerHeartbeat),
    /// A broker is gone: its process ended, or cannot be reached.
    FenceBroker {
        /// Which.
        broker: BrokerId,
        /// Its registration.
        epoch: BrokerEpoch,
    },
    /// A broker will not come back.
    UnregisterBroker {
        /// Which.
        broker: BrokerId,
    },
    /// Time has passed: whoever was silent for too long is fenced, and leaders go back to where they belong.
    Tick,
    /// A leader changes the in-sync replicas of its partitions.
    AlterPartition(AlterPartition),
    /// Elect leaders, each partition for itself.
    ElectLeaders {
        /// How.
        election: ElectionType,
        /// Which; `None` is all.
        partitions: Option<Vec<(String, PartitionId)>>,
    },
    /// Give partitions other replicas, each for itself.
    AlterReassignments {
        /// Which, and how.
        reassignments: Vec<Reassignment>,
        /// Whether they may get more or fewer replicas than they have.
        allows_factor_change: bool,
    },
    /// These brokers, and no others, are to get no new replica and no leadership.
    Cordon {
        /// Which.
        brokers: Vec<BrokerId>,
    },
    /// Replicas are to leave cordoned brokers, and to be spread evenly over the others.
    Rebalance {
        /// How fast, at most.
        bytes_per_second: Option<i64>,
    },
    /// May these brokers be restarted now, each by itself?
    CheckRestarts {
        /// Which.
        brokers: Vec<BrokerId>,
    },
    /// This broker is about to be restarted: others are to lead what it leads, until it is back or the time is over.
    Drain {
        /// Which.
        broker: BrokerId,
        /// For how long, in milliseconds.
        ttl_ms: i64,
    },
    /// A broker has taken its registration in and may lead.
    UnfenceBroker {
        /// Which.
        broker: BrokerId,
        /// Its registration.
        epoch: BrokerEpoch,
    },
    /// A broker wants producer ids to give out.
    AllocateProducerIds {
        /// Which.
        broker: BrokerId,
        /// Its registration.
        epoch: BrokerEpoch,
    },
}

/// A topic to create.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Its identity, random; this crate has no randomness.
    pub id: TopicId,
    /// How many partitions; -1 takes the default.
    pub partitions: i32,
    /// How many replicas each; -1 takes the default.
    pub replication_factor: i16,
    /// The replicas of each partition, if the asker places them; by index.
    pub assignments: Vec<(PartitionId, Vec<BrokerId>)>,
    /// Its configuration; `None` values are refused.
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic to change or delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicRef {
    /// By name.
    Name(String),
    /// By identity.
    Id(TopicId),
}

/// More partitions for a topic.
#[derive(Clone, Debug)]
pub struct NewPartitions {
    /// The topic's name.
    pub topic: String,
    /// How many there are to be in all.
    pub count: i32,
    /// The replicas of each new one, if the asker places them.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// A change of one resource's configuration.
#[derive(Clone, Debug)]
pub struct ConfigChange {
    /// Whose.
    pub resource: ConfigTarget,
    /// How.
    pub operations: Vec<(String, ConfigOperation)>,
    /// Whether what is not named goes back to its default, as AlterConfigs does.
    pub replaces: bool,
}

/// Why one topic or resource of a command was refused; the others go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The error as Kafka puts it on the wire.
    pub code: ErrorCode,
    /// What to do about it.
    pub message: String,
}

/// A topic that was created, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its identity.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas each.
    pub replication_factor: i16,
    /// Its own configuration.
    pub configs: Overrides,
}

/// Producer ids that one broker may give out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first.
    pub first: ProducerId,
    /// How many.
    pub len: i32,
}

/// The answer to a command, in the order of what it asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// To `CreateTopics`.
    CreatedTopics(Vec<Result<CreatedTopic, Failure>>),
    /// To `DeleteTopics`: what was deleted.
    DeletedTopics(Vec<Result<(TopicId, String), Failure>>),
    /// To `CreatePartitions`.
    CreatedPartitions(Vec<Result<(), Failure>>),
    /// To `AlterConfigs`.
    AlteredConfigs(Vec<Result<(), Failure>>),
    /// To `RegisterBroker`.
    Registered(BrokerEpoch),
    /// To `BrokerHeartbeat`.
    Heartbeat(HeartbeatReply),
    /// To `FenceBroker`.
    Fenced,
    /// To `UnregisterBroker`.
    Unregistered,
    /// To `Tick`.
    Ticked,
    /// To `AlterPartition`.
    AlteredPartitions(Vec<AlteredPartition>),
    /// To `ElectLeaders`.
    ElectedLeaders(Vec<ElectedLeader>),
    /// To `AlterReassignments`.
    AlteredReassignments(Vec<Result<(), Failure>>),
    /// To `Cordon`.
    Cordoned,
    /// To `Rebalance`: it goes on by itself from now on.
    Rebalancing,
    /// To `CheckRestarts`, in its order.
    RestartsChecked(Vec<RestartCheck>),
    /// To `Drain`.
    Drained,
    /// To `UnfenceBroker`.
    Unfenced,
    /// To `AllocateProducerIds`.
    ProducerIds(ProducerIdBlock),
}

/// Why a whole command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The broker has registered again since, or never.
    #[error("broker {broker} is not registered with epoch {epoch}")]
    StaleBrokerEpoch {
        /// The broker.
        broker: BrokerId,
        /// What it said.
        epoch: BrokerEpoch,
    },
    /// There is no such broker.
    #[error("broker {broker} is not registered")]
    BrokerIdNotRegistered {
        /// The id.
        broker: BrokerId,
    },
    /// Two processes have one id.
    #[error("another process lives as broker {broker}: give each node an id of its own")]
    DuplicateBrokerRegistration {
        /// The id.
        broker: BrokerId,
    },
    /// Partitions have more replicas than there would be brokers to hold them.
    #[error(
        "a partition has {needed} replicas, and {left} brokers would be left to hold them: lower its replication factor \
         or add brokers first"
    )]
    TooFewBrokers {
        /// The most replicas that any partition has.
        needed: i32,
        /// Brokers that could hold replicas.
        left: i32,
    },
    /// One broker is restarted at a time.
    #[error("broker {broker} is being restarted: wait until it is back, or until its grant lapses")]
    AnotherIsDrained {
        /// Which.
        broker: BrokerId,
    },
    /// A restart would cost availability, or acknowledged records if another broker failed.
    #[error(
        "{partitions} partitions have no in-sync replica to spare without broker {broker}: wait until their replicas have \
         caught up"
    )]
    RestartRefused {
        /// Which.
        broker: BrokerId,
        /// How many.
        partitions: i32,
    },
    /// A directory is that of another broker.
    #[error("log directory {directory} is registered by broker {owner}: is this a copy of its disk?")]
    DirectoryTaken {
        /// The directory's identity.
        directory: Uuid,
        /// Whose it is.
        owner: BrokerId,
    },
}

impl Rejection {
    /// The error as Kafka puts it on the wire.
    pub fn code(self) -> ErrorCode {
        match self {
            Rejection::StaleBrokerEpoch { .. } => ErrorCode::StaleBrokerEpoch,
            Rejection::BrokerIdNotRegistered { .. } => ErrorCode::BrokerIdNotRegistered,
            Rejection::DuplicateBrokerRegistration { .. } => ErrorCode::DuplicateBrokerRegistration,
            Rejection::AnotherIsDrained { .. } | Rejection::RestartRefused { .. } => {
                ErrorCode::PolicyViolation
            }
            Rejection::TooFewBrokers { .. } => ErrorCode::InvalidReplicationFactor,
            Rejection::DirectoryTaken { .. } => ErrorCode::InvalidRegistration,
        }
    }
}
