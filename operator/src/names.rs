//! The names, labels and ports of what the operator makes. They are API: people and dashboards rely on them.

use serde_json::{Value, json};

/// Where controllers reach each other.
pub(crate) const CONTROLLER_PORT: u16 = 9090;
/// Where brokers reach each other.
pub(crate) const INTER_BROKER_PORT: u16 = 9091;
/// Where clients connect.
pub(crate) const CLIENT_PORT: u16 = 9092;
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

/// The Pod of a broker.
pub(crate) fn broker_pod(cluster: &str, id: i32) -> String {
    format!("{cluster}-broker-{id}")
}

/// The broker whose Pod has this name.
pub(crate) fn broker_of(cluster: &str, pod: &str) -> Option<i32> {
    pod.strip_prefix(cluster)?.strip_prefix("-broker-")?.parse().ok()
}

/// The volume claim of a broker.
pub(crate) fn claim(cluster: &str, id: i32) -> String {
    format!("data-{}", broker_pod(cluster, id))
}

/// The headless Service, which gives every Pod its DNS name.
pub(crate) fn nodes_service(cluster: &str) -> String {
    format!("{cluster}-nodes")
}

pub(crate) fn bootstrap_service(cluster: &str) -> String {
    format!("{cluster}-bootstrap")
}

/// The Secret with the token for administration.
pub(crate) fn admin_secret(cluster: &str) -> String {
    format!("{cluster}-admin")
}

/// A broker's DNS name, which is there before the broker is ready.
pub(crate) fn broker_host(namespace: &str, cluster: &str, id: i32) -> String {
    format!("{}.{}.{namespace}.svc", broker_pod(cluster, id), nodes_service(cluster))
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
pub(crate) fn bootstrap_servers(namespace: &str, cluster: &str) -> String {
    format!("{}.{namespace}.svc:{CLIENT_PORT}", bootstrap_service(cluster))
}

/// What selects everything of a cluster.
pub(crate) fn selector(cluster: &str) -> String {
    format!("app.kubernetes.io/managed-by={MANAGER},{INSTANCE_LABEL}={cluster}")
}

/// What selects the broker Pods of a cluster, for the scale subresource.
pub(crate) fn broker_selector(cluster: &str) -> String {
    format!("app.kubernetes.io/name=taffrail,{INSTANCE_LABEL}={cluster},app.kubernetes.io/component=broker")
}

/// What selects the brokers; it never changes.
pub(crate) fn broker_labels(cluster: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "taffrail",
        INSTANCE_LABEL: cluster,
        "app.kubernetes.io/component": "broker",
    })
}

/// The labels of everything of a cluster.
pub(crate) fn labels(cluster: &str) -> Value {
    let mut labels = broker_labels(cluster);
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
