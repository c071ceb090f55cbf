//! The names, labels and ports of what the operator makes. They are API: people and dashboards rely on them.

use resources::{CONTROLLERS_FROM, KafkaListener};
use serde_json::{Value, json};

/// Where controllers reach each other.
pub(crate) const CONTROLLER_PORT: u16 = 9090;
/// Where brokers reach each other.
pub(crate) const INTER_BROKER_PORT: u16 = 9091;
/// Metrics, health and administration, of nodes and of the operator.
pub(crate) const ADMIN_PORT: u16 = 9600;
/// Of what the rendered resource was when it was last applied.
pub(crate) const APPLIED_HASH: &str = "taffrail.dev/applied-hash";
/// Of what a Pod was made from; a Pod with another one is outdated.
pub(crate) const POD_HASH: &str = "taffrail.dev/pod-hash";
/// Over how many brokers replicas were last spread: on a StatefulSet, so that it outlives the operator.
pub(crate) const SPREAD: &str = "taffrail.dev/spread-over";
/// On a KafkaCluster: nothing is done about it while it is `true`.
pub(crate) const PAUSE: &str = "taffrail.dev/pause-reconciliation";
/// On a KafkaCluster: another text restarts every Pod, one after the other.
pub(crate) const RESTARTED_AT: &str = "taffrail.dev/restarted-at";
/// On a KafkaCluster whose restarts want approval: the revision that is approved.
pub(crate) const APPROVE: &str = "taffrail.dev/approve-rollout";
/// On a Pod: it is restarted when the cluster can bear it.
pub(crate) const RESTART: &str = "taffrail.dev/restart";
/// On a Pod: it is replaced by one with an empty volume.
pub(crate) const REPLACE: &str = "taffrail.dev/delete-pod-and-pvc";
/// On a Pod: of what its broker tells clients.
pub(crate) const ADVERTISED: &str = "taffrail.dev/advertised-hash";
/// On a Pod: where its broker stands.
pub(crate) const RACK: &str = "taffrail.dev/rack";
/// Keeps a KafkaTopic until its topic is gone.
pub(crate) const TOPIC_FINALIZER: &str = "taffrail.dev/topic";
/// The field manager of what is applied.
pub(crate) const MANAGER: &str = "taffrail-operator";
/// The field manager of status.
pub(crate) const STATUS_MANAGER: &str = "taffrail-operator-status";
/// The field manager of the owners of volumes.
pub(crate) const VOLUMES_MANAGER: &str = "taffrail-operator-volumes";
/// What selects everything that the operator made.
pub(crate) const MANAGED: &str = "app.kubernetes.io/managed-by=taffrail-operator";
/// Whose name a cluster's children carry.
pub(crate) const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

pub(crate) fn stateful_set(cluster: &str) -> String {
    format!("{cluster}-broker")
}

/// The StatefulSet of dedicated controllers.
pub(crate) fn controller_set(cluster: &str) -> String {
    format!("{cluster}-controller")
}

/// The Pod of a node: its id says whether it is a broker or a dedicated controller.
pub(crate) fn node_pod(cluster: &str, id: i32) -> String {
    match id < CONTROLLERS_FROM {
        true => format!("{}-{id}", stateful_set(cluster)),
        false => format!("{}-{id}", controller_set(cluster)),
    }
}

/// The node whose Pod has this name.
pub(crate) fn node_of(cluster: &str, pod: &str) -> Option<i32> {
    let (_, id) = pod.rsplit_once('-')?;
    id.parse().ok().filter(|id| node_pod(cluster, *id) == pod)
}

/// The volume claim of a node.
pub(crate) fn claim(cluster: &str, id: i32) -> String {
    format!("data-{}", node_pod(cluster, id))
}

/// The node whose volume claim has this name.
pub(crate) fn claimant(cluster: &str, claim: &str) -> Option<i32> {
    node_of(cluster, claim.strip_prefix("data-")?)
}

/// The headless Service, which gives every Pod its DNS name.
pub(crate) fn nodes_service(cluster: &str) -> String {
    format!("{cluster}-nodes")
}

pub(crate) fn bootstrap_service(cluster: &str) -> String {
    format!("{cluster}-bootstrap")
}

/// Kafka's name of a listener.
pub(crate) fn listener(listener: &KafkaListener) -> String {
    listener.name.to_ascii_uppercase()
}

/// Where clients from outside begin.
pub(crate) fn listener_bootstrap(cluster: &str, listener: &str) -> String {
    format!("{cluster}-{listener}-clients")
}

/// Where clients from outside reach one broker. A listener's name has no dash: no other cluster has a Service of this name.
pub(crate) fn listener_service(cluster: &str, listener: &str, id: i32) -> String {
    format!("{cluster}-{listener}-{id}")
}

/// The ConfigMap with what clients are told.
pub(crate) fn advertised(cluster: &str) -> String {
    format!("{cluster}-advertised")
}

/// The Secret with the token for administration.
pub(crate) fn admin_secret(cluster: &str) -> String {
    format!("{cluster}-admin")
}

/// A node's DNS name, which is there before the node is ready.
pub(crate) fn node_host(namespace: &str, cluster: &str, id: i32) -> String {
    format!("{}.{}.{namespace}.svc", node_pod(cluster, id), nodes_service(cluster))
}

/// The environment variable with a Pod's own name.
pub(crate) const POD_NAME: &str = "POD_NAME";
/// The environment variable with a Pod's index in its StatefulSet.
pub(crate) const POD_INDEX: &str = "POD_INDEX";

/// The DNS name of whichever broker reads it.
pub(crate) fn own_host(namespace: &str, cluster: &str) -> String {
    format!("${{env:{POD_NAME}}}.{}.{namespace}.svc", nodes_service(cluster))
}

/// What clients of a cluster begin with.
pub(crate) fn bootstrap_servers(namespace: &str, cluster: &str, port: u16) -> String {
    format!("{}.{namespace}.svc:{port}", bootstrap_service(cluster))
}

/// What the operator begins with, whatever listeners there are.
pub(crate) fn own_servers(namespace: &str, cluster: &str) -> String {
    format!("{}.{namespace}.svc:{INTER_BROKER_PORT}", nodes_service(cluster))
}

/// What selects everything of a cluster.
pub(crate) fn selector(cluster: &str) -> String {
    format!("app.kubernetes.io/managed-by={MANAGER},{INSTANCE_LABEL}={cluster}")
}

/// What selects the broker Pods of a cluster, for the scale subresource.
pub(crate) fn broker_selector(cluster: &str) -> String {
    format!("app.kubernetes.io/name=taffrail,{INSTANCE_LABEL}={cluster},app.kubernetes.io/component=broker")
}

/// What selects all nodes of a cluster; it never changes.
pub(crate) fn node_labels(cluster: &str) -> Value {
    json!({ "app.kubernetes.io/name": "taffrail", INSTANCE_LABEL: cluster })
}

/// What selects its nodes of one kind; it never changes.
pub(crate) fn component_labels(cluster: &str, component: &str) -> Value {
    let mut labels = node_labels(cluster);
    labels["app.kubernetes.io/component"] = json!(component);
    labels
}

/// What selects the brokers.
pub(crate) fn broker_labels(cluster: &str) -> Value {
    component_labels(cluster, "broker")
}

/// The labels of everything of a cluster.
pub(crate) fn labels(cluster: &str) -> Value {
    labels_of(cluster, "broker")
}

/// The labels of what belongs to its nodes of one kind.
pub(crate) fn labels_of(cluster: &str, component: &str) -> Value {
    let mut labels = component_labels(cluster, component);
    labels["app.kubernetes.io/part-of"] = json!("taffrail");
    labels["app.kubernetes.io/managed-by"] = json!(MANAGER);
    labels
}

/// FNV-1a, in hex: short, and the same in every version of the operator, as names and restarts hang on it.
pub(crate) fn hash(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
