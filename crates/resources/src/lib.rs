//! The custom resources KafkaCluster and KafkaTopic: their types, their rules, reading them from a file, and the pure
//! mapping from a KafkaCluster to the `broker.yaml` of one node, and the steps from one number of brokers to another, which
//! `taffrail dev` and the operator share. Knows no API server and no process.

mod cluster;
mod definitions;
mod listeners;
mod load;
mod locate;
mod node_config;
mod scale;
mod template;
mod topic;
mod topic_namespaces;
mod values;

pub use cluster::{
    Approval, Brokers, BrokersStatus, CONTROLLERS_FROM, CONTROLLERS_MAX, Controllers, ControllersStatus,
    Ephemeral, KafkaCluster, KafkaClusterSpec, KafkaClusterStatus, ListenerStatus, Persistent, Rack,
    Rebalance, RebalanceMode, RebalanceStatus, ResourceRequirements, Rollout, RolloutStatus, Storage,
    VOTERS_MAX, VolumePolicy, voters,
};
pub use definitions::definitions;
pub use listeners::{Advertised, AdvertisedBroker, KafkaListener, ListenerType};
pub use load::{LoadError, Manifests, load};
pub use node_config::{NodePlace, node_config};
pub use scale::{ControllersSight, Directory, ScaleBroker, ScaleSight, ScaleStep, scale};
pub use template::{PodMetadata, PodTemplate, Template};
pub use topic::{ClusterRef, DeletionPolicy, KafkaTopic, KafkaTopicSpec, KafkaTopicStatus};
pub use topic_namespaces::{Admission, TopicNamespaces, TopicSource};
pub use values::ConfigValues;

/// What is wrong with a resource: the field and a sentence that says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.join("."))]
pub struct SpecError {
    /// The field, from the top: `spec`, `brokers`, `replicas`.
    pub path: Vec<String>,
    /// What is wrong with it, and what to write instead.
    pub problem: String,
}

impl SpecError {
    pub(crate) fn new(path: &[&str], problem: impl Into<String>) -> SpecError {
        SpecError { path: path.iter().map(|&part| part.to_owned()).collect(), problem: problem.into() }
    }
}
