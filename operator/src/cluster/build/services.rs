//! The Services: one for nodes among themselves, one for clients inside, and for each listener that is reached from outside one
//! to begin with and one for each broker.

use resources::{KafkaListener, ListenerType};
use serde_json::{Value, json};

use super::{Kind, Moment, Resource};
use crate::cluster::validate::ValidCluster;
use crate::names;

/// Names every Pod, ready or not: a node must find its peers before it can become ready.
pub(super) fn nodes(cluster: &ValidCluster) -> Resource {
    let mut ports = vec![
        port("controller", names::CONTROLLER_PORT),
        port("internal", names::INTER_BROKER_PORT),
        port("admin", names::ADMIN_PORT),
    ];
    ports.extend(cluster.spec.listeners.iter().map(client_port));
    let content = json!({ "spec": {
        "clusterIP": "None",
        "publishNotReadyAddresses": true,
        "selector": names::node_labels(&cluster.name),
        "ports": ports,
    } });
    Resource::new(cluster, Kind::Service, names::nodes_service(&cluster.name), content)
}

/// Leads clients to brokers that are ready: inside by one Service with a port for each listener, from outside by one for each.
pub(super) fn bootstrap(cluster: &ValidCluster) -> Vec<Resource> {
    let is_internal = |listener: &&KafkaListener| listener.kind == ListenerType::Internal;
    let (internal, external): (Vec<_>, Vec<_>) = cluster.spec.listeners.iter().partition(is_internal);
    let service = |name: String, kind: &str, ports: Vec<Value>| {
        let selector = names::broker_labels(&cluster.name);
        let content = json!({ "spec": { "type": kind, "selector": selector, "ports": ports } });
        Resource::new(cluster, Kind::Service, name, content)
    };
    let inside = (!internal.is_empty()).then(|| {
        let ports = internal.into_iter().map(client_port).collect();
        service(names::bootstrap_service(&cluster.name), "ClusterIP", ports)
    });
    let outside = external.into_iter().map(|listener| {
        let name = names::listener_bootstrap(&cluster.name, &listener.name);
        service(name, service_type(listener.kind), vec![client_port(listener)])
    });
    inside.into_iter().chain(outside).collect()
}

/// Leads from outside to one broker, ready or not: whoever asks for this one can do nothing with another.
pub(super) fn brokers(cluster: &ValidCluster, moment: Moment) -> Vec<Resource> {
    let external = cluster.spec.listeners.iter().filter(|one| one.kind != ListenerType::Internal);
    let services = external.flat_map(|listener| {
        (0..moment.replicas).map(move |id| {
            let mut selector = names::broker_labels(&cluster.name);
            selector["apps.kubernetes.io/pod-index"] = json!(id.to_string());
            let mut port = client_port(listener);
            if let Some(node_port) = listener.broker(id).and_then(|broker| broker.node_port) {
                port["nodePort"] = json!(node_port);
            }
            let content = json!({ "spec": {
                "type": service_type(listener.kind),
                "publishNotReadyAddresses": true,
                "selector": selector,
                "ports": [port],
            } });
            let name = names::listener_service(&cluster.name, &listener.name, id);
            Resource::new(cluster, Kind::Service, name, content)
        })
    });
    services.collect()
}

fn service_type(kind: ListenerType) -> &'static str {
    match kind {
        ListenerType::Internal => "ClusterIP",
        ListenerType::NodePort => "NodePort",
        ListenerType::LoadBalancer => "LoadBalancer",
    }
}

fn client_port(listener: &KafkaListener) -> Value {
    port(&listener.name, listener.port)
}

fn port(name: &str, port: u16) -> Value {
    json!({ "name": name, "port": port, "targetPort": port, "protocol": "TCP" })
}
