//! The truth about the cluster: which topics, partitions, configurations and brokers there are, and the controller that
//! decides on changes of it. Replicated by records; knows neither raft nor the wire.

mod controller;
mod delta;
mod election;
mod image;
mod record;
mod rules;

pub use controller::{
    AlterPartition, AlteredPartition, BrokerHeartbeat, BrokerRegistration, Command, ConfigChange,
    ConfigOperation, ConfigTarget, Controller, ControllerDefaults, CreatedTopic, DrainGrant, ElectedLeader,
    ElectionType, Failure, HeartbeatReply, NewPartitions, NewTopic, PartitionAlteration, ProducerIdBlock,
    ProposedReplica, Reassignment, RebalanceProgress, Rejection, Response, RestartCheck, TopicRef,
};
pub use delta::Delta;
pub use election::ElectionKind;
pub use image::{BrokerImage, ConfigResource, Endpoint, Image, PartitionImage, TopicImage};
pub use record::{MetadataRecord, PartitionChange};
pub use rules::PartitionHealth;
