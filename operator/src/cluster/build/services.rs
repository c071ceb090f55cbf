//! The Services: one for nodes among themselves, one for clients.

use serde_json::{Value, json};

use super::{Kind, Resource};
use crate::cluster::validate::ValidCluster;
use crate::names;

/// Names every Pod, ready or not: a node must find its peers before it can become ready.
pub(super) fn nodes(cluster: &ValidCluster) -> Resource {
    let content = json!({ "spec": {
        "clusterIP": "None",
        "publishNotReadyAddresses": true,
        "selector": names::broker_labels(&cluster.name),
        "ports": [
            port("controller", names::CONTROLLER_PORT),
            port("internal", names::INTER_BROKER_PORT),
            port("kafka", names::CLIENT_PORT),
            port("admin", names::ADMIN_PORT),
        ],
    } });
    Resource::new(cluster, Kind::Service, names::nodes_service(&cluster.name), content)
}

/// Leads clients to brokers that are ready.
pub(super) fn bootstrap(cluster: &ValidCluster) -> Resource {
    let content = json!({ "spec": {
        "type": "ClusterIP",
        "selector": names::broker_labels(&cluster.name),
        "ports": [port("kafka", names::CLIENT_PORT)],
    } });
    Resource::new(cluster, Kind::Service, names::bootstrap_service(&cluster.name), content)
}

fn port(name: &str, port: u16) -> Value {
    json!({ "name": name, "port": port, "targetPort": port, "protocol": "TCP" })
}
