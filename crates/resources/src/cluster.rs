//! KafkaCluster, with the fields that are honoured today and no others.

use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::listeners::{KafkaListener, default_listeners, validate_listeners};
use crate::template::Template;
use crate::topic_namespaces::TopicNamespaces;
use crate::{ConfigValues, SpecError};

/// The most brokers that vote.
pub const VOTERS_MAX: i32 = 3;
/// The most brokers of a cluster: the ids of dedicated controllers begin there.
pub(crate) const BROKERS_MAX: i32 = 1000;
/// The id of the first dedicated controller.
pub const CONTROLLERS_FROM: i32 = BROKERS_MAX;
/// The most dedicated controllers.
pub const CONTROLLERS_MAX: i32 = 5;

/// What a Pod requests and is limited to, as Kubernetes has it.
pub type ResourceRequirements = v1::ResourceRequirements;

/// A Kafka cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "taffrail.dev",
    version = "v1alpha1",
    kind = "KafkaCluster",
    plural = "kafkaclusters",
    shortname = "tkc",
    category = "all",
    category = "taffrail",
    namespaced,
    status = "KafkaClusterStatus",
    doc = "A Kafka cluster: brokers, the nodes that vote in its metadata quorum, and where clients reach them. The operator turns it into StatefulSets and Services, and restarts, scales and heals them without losing acknowledged records.",
    scale = r#"{"specReplicasPath":".spec.brokers.replicas","statusReplicasPath":".status.replicas","labelSelectorPath":".status.selector"}"#,
    derive = "PartialEq",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Brokers","type":"string","jsonPath":".status.brokers.summary"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".status.version"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Controllers","type":"string","jsonPath":".status.controllers.voters","priority":1}"#,
    printcolumn = r#"{"name":"Cluster Id","type":"string","jsonPath":".status.clusterId","priority":1}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.controllers) == has(oldSelf.controllers)",
    "message": "controllers cannot be added or removed later: make another cluster",
}]))]
pub struct KafkaClusterSpec {
    /// The image of the nodes. Without it: the operator's own when the cluster was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The brokers.
    pub brokers: Brokers,
    /// Nodes that do nothing but vote in the metadata quorum; without them the first brokers do. They cannot be added or
    /// removed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controllers: Option<Controllers>,
    /// The ports for clients; without it one, `{name: plain, port: 9092, type: internal}`.
    #[serde(default = "default_listeners")]
    #[schemars(length(min = 1, max = 16), extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["name"],
        "x-kubernetes-validations" = [{
            "rule": "self.all(one, self.exists_one(other, other.port == one.port))",
            "message": "each listener has a port of its own",
        }],
    ))]
    pub listeners: Vec<KafkaListener>,
    /// Broker configurations by Kafka's names: text, numbers or booleans. One that no broker knows is refused, as are those that
    /// follow from other fields.
    #[serde(default, skip_serializing_if = "ConfigValues::is_empty")]
    pub config: ConfigValues,
    /// How changes reach Pods that run.
    #[serde(default)]
    pub rollout: Rollout,
    /// The namespaces whose KafkaTopics may be of this cluster.
    #[serde(default)]
    pub topic_namespaces: TopicNamespaces,
}

/// How changes reach Pods that run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Whether restarts wait for the annotation `taffrail.dev/approve-rollout`, which has to be `status.rollout.revision`.
    #[serde(default)]
    pub approval: Approval,
}

/// Whether restarts wait for somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Approval {
    /// They do not.
    #[default]
    Auto,
    /// They do, apart from those of Pods that are down.
    Manual,
}

/// The brokers of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Brokers {
    /// How many brokers there are; 3 survive the loss of one. Brokers that are added get their share of the replicas, and those
    /// that are removed are emptied first. `kubectl scale` changes it.
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: i32,
    /// Where they keep their data.
    pub storage: Storage,
    /// What each of them requests and is limited to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// What is added to their Pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// Where each of them stands, so that the replicas of a partition stand apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<Rack>,
    /// What becomes of replicas when brokers are added.
    #[serde(default)]
    pub rebalance: Rebalance,
}

/// Where brokers stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rack {
    /// The label of Kubernetes' nodes that says it, for example `topology.kubernetes.io/zone`.
    #[schemars(length(min = 1, max = 317))]
    pub topology_key: String,
}

/// Nodes that do nothing but vote in the metadata quorum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.replicas in [1, 3, 5]",
    "message": "replicas: write 1, 3 or 5: of an even number one more must be up, for nothing",
}]))]
pub struct Controllers {
    /// How many: 1, 3 or 5.
    #[schemars(range(min = 1, max = 5))]
    pub replicas: i32,
    /// Where they keep the metadata.
    pub storage: Storage,
    /// What each of them requests and is limited to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// What is added to their Pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
}

/// How replicas are spread over the brokers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rebalance {
    /// Whether brokers that are added get their share of the replicas.
    #[serde(default)]
    pub mode: RebalanceMode,
    /// The most that a broker copies in a second; without it as much as it can. Holds for brokers that are removed, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024))]
    pub bytes_per_second: Option<i64>,
}

/// Whether brokers that are added get their share of the replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RebalanceMode {
    /// They do.
    #[default]
    Auto,
    /// They get replicas of new topics only.
    Off,
}

/// Where a node keeps its data: exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.persistent) != has(self.ephemeral)",
        "message": "write persistent: {size: 10Gi}, or ephemeral: {} for data that may be lost: one of the two",
    },
    {
        "rule": "has(self.persistent) == has(oldSelf.persistent)",
        "message": "persistent and ephemeral storage cannot be exchanged: make another cluster",
    },
    {
        "rule": "!has(self.persistent) || !has(oldSelf.persistent) || \
                 (has(self.persistent.storageClass) == has(oldSelf.persistent.storageClass) && \
                 (!has(self.persistent.storageClass) || \
                 self.persistent.storageClass == oldSelf.persistent.storageClass))",
        "message": "storageClass cannot be changed: make another cluster",
    },
    {
        "rule": "!has(self.persistent) || isQuantity(self.persistent.size)",
        "message": "persistent.size is not a quantity: write, for example, 10Gi",
    },
    {
        "rule": "!has(self.persistent) || !has(oldSelf.persistent) || !isQuantity(self.persistent.size) || \
                 !isQuantity(oldSelf.persistent.size) || \
                 quantity(self.persistent.size).compareTo(quantity(oldSelf.persistent.size)) >= 0",
        "message": "persistent.size can only grow: volumes do not shrink",
    },
]))]
pub struct Storage {
    /// On a volume of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent: Option<Persistent>,
    /// In its Pod: gone when the Pod is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<Ephemeral>,
}

/// A volume for each node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Persistent {
    /// Its size, as Kubernetes writes quantities. It can grow, where its class allows that.
    #[schemars(length(min = 1, max = 32))]
    pub size: String,
    /// Its class; without it the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class: Option<String>,
    /// What becomes of it when the cluster is deleted.
    #[serde(default)]
    pub when_deleted: VolumePolicy,
    /// What becomes of it when its broker is removed.
    #[serde(default)]
    pub when_scaled: VolumePolicy,
}

/// What becomes of volumes that nobody uses any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VolumePolicy {
    /// They stay.
    #[default]
    Retain,
    /// They go.
    Delete,
}

/// Space in the Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ephemeral {
    /// At most so much of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_limit: Option<String>,
}

/// What the operator knows of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaClusterStatus {
    /// Ready, Available, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The generation that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The cluster's id, from before its foundation on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// The image of the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The version that the brokers run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How many broker Pods there are.
    #[serde(default)]
    pub replicas: i32,
    /// What selects them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The brokers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brokers: Option<BrokersStatus>,
    /// The metadata quorum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controllers: Option<ControllersStatus>,
    /// The Pods that have to be restarted, while there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// How far the spreading of replicas is, while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<RebalanceStatus>,
    /// Where clients connect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub listeners: Vec<ListenerStatus>,
}

/// What the operator knows of the brokers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrokersStatus {
    /// How many there are to be.
    pub desired: i32,
    /// How many are ready.
    pub ready: i32,
    /// Both in one: `1/1`.
    pub summary: String,
    /// Their ids.
    #[serde(default)]
    pub node_ids: Vec<i32>,
}

/// What the operator knows of the metadata quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ControllersStatus {
    /// The nodes that vote.
    pub voters: Vec<i32>,
    /// The active controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<i32>,
}

/// The Pods that have to be restarted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// What they are to become.
    pub revision: String,
    /// Their names.
    pub pending: Vec<String>,
    /// What the next of them waits for.
    pub reason: String,
}

/// How far the spreading of replicas is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceStatus {
    /// Partitions that are on their way or have to move yet.
    pub partitions_left: i64,
    /// Bytes that have to be copied yet: of what is on its way, and of all that has to leave brokers that are removed. Absent
    /// while the brokers do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_left: Option<i64>,
}

/// Where clients connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// The listener.
    pub name: String,
    /// `host:port`, comma-separated.
    pub bootstrap_servers: String,
}

impl KafkaClusterSpec {
    /// Every rule that can be checked without the cluster.
    pub fn validate(&self) -> Result<(), SpecError> {
        if !(1..=BROKERS_MAX).contains(&self.brokers.replicas) {
            let problem =
                format!("is not 1 to {BROKERS_MAX}: write 3 for a cluster that survives the loss of one");
            return Err(SpecError::new(&["spec", "brokers", "replicas"], problem));
        }
        self.brokers.storage.validate("brokers")?;
        self.brokers.template.iter().try_for_each(|template| template.validate("brokers"))?;
        if let Some(controllers) = &self.controllers {
            if ![1, 3, 5].contains(&controllers.replicas) {
                return Err(SpecError::new(&["spec", "controllers", "replicas"], "write 1, 3 or 5"));
            }
            controllers.storage.validate("controllers")?;
            controllers.template.iter().try_for_each(|template| template.validate("controllers"))?;
        }
        validate_listeners(&self.listeners)?;
        self.topic_namespaces.validate()?;
        if self.config.0.len() > 64 {
            return Err(SpecError::new(&["spec", "config"], "has more than 64 keys"));
        }
        let path = ["spec", "config"];
        config::validate_static_broker(&self.config.0)
            .map_err(|error| config_error(&path, &self.config, &error))?;
        for key in ["default.replication.factor", "min.insync.replicas"] {
            within_replicas(&path, &self.config, key, self.brokers.replicas)?;
        }
        Ok(())
    }
}

impl Storage {
    /// It is one of the two; `of` is the field that has it.
    fn validate(&self, of: &str) -> Result<(), SpecError> {
        let problem = match (&self.persistent, &self.ephemeral) {
            (Some(_), None) | (None, Some(_)) => return Ok(()),
            (None, None) => "write persistent: {size: 10Gi}, or ephemeral: {} for data that may be lost",
            (Some(_), Some(_)) => "is persistent or ephemeral, not both: leave one out",
        };
        Err(SpecError::new(&["spec", of, "storage"], problem))
    }
}

/// How many of a cluster's brokers vote in the metadata quorum, the ones with the lowest ids. Of two, losing either would
/// stop both, so that one alone is safer.
pub fn voters(brokers: i32) -> i32 {
    if brokers < VOTERS_MAX { 1 } else { VOTERS_MAX }
}

/// A number of replicas that no partition can have: creating, or producing with acks=all, would fail for ever.
pub(crate) fn within_replicas(
    path: &[&str],
    values: &ConfigValues,
    key: &str,
    replicas: i32,
) -> Result<(), SpecError> {
    let wanted = values.0.get(key).and_then(|value| value.trim().parse::<i32>().ok());
    if wanted.is_none_or(|wanted| wanted <= replicas) {
        return Ok(());
    }
    let path: Vec<&str> = path.iter().copied().chain([key]).collect();
    Err(SpecError::new(&path, format!("is more than there are replicas: write {replicas}, or leave it out")))
}

/// Points at the key that the error is about, if it names one.
pub(crate) fn config_error(path: &[&str], values: &ConfigValues, error: &config::ConfigError) -> SpecError {
    let text = match error {
        // The node's own file has a field for it, which the operator and `taffrail dev` fill.
        config::ConfigError::OwnField { key, .. } => format!("{key} follows from the cluster: leave it out"),
        _ => error.to_string(),
    };
    let mut named: Vec<&String> = values.0.keys().filter(|key| text.contains(key.as_str())).collect();
    // A key may be the beginning of another one.
    named.sort_by_key(|key| std::cmp::Reverse(key.len()));
    let path: Vec<&str> = path.iter().copied().chain(named.first().map(|key| key.as_str())).collect();
    SpecError::new(&path, text)
}
