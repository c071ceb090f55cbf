//! Where clients reach each broker: pure, from the spec and from what Kubernetes gave Pods and Services. What is not known yet
//! is not told, so that no client is sent to an address that leads nowhere.

use std::collections::{BTreeMap, BTreeSet};

use config::node::Address;
use kube::ResourceExt;
use resources::{KafkaListener, ListenerStatus, ListenerType};
use serde_json::Value;

use super::build::Kind;
use super::observe::{Broker, Observed};
use super::validate::ValidCluster;
use crate::names;

/// The most nodes that `status.listeners` names: clients need one that is up.
const NODES_MAX: usize = 3;

/// What clients are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// For each broker the addresses that differ from those of `broker.yaml`, by Kafka's names of the listeners.
    pub(crate) brokers: BTreeMap<i32, BTreeMap<String, Address>>,
    /// What is not known yet, in sentences.
    pub(crate) pending: Vec<String>,
}

/// What clients of so many brokers are told.
pub(crate) fn told(cluster: &ValidCluster, observed: &Observed, replicas: i32) -> Told {
    let mut told = Told::default();
    let before = before(cluster, observed);
    for id in 0..replicas {
        let mut addresses = BTreeMap::new();
        for listener in &cluster.spec.listeners {
            let name = names::listener(listener);
            match address(cluster, observed, listener, id) {
                Ok(None) => {}
                Ok(Some(address)) => {
                    addresses.insert(name, address);
                }
                Err(pending) => {
                    // A Pod that is made again most likely comes back to its node; the port leads to it from any other.
                    let last = before.get(&id).and_then(|addresses| addresses.get(&name));
                    match last.filter(|_| listener.kind == ListenerType::NodePort) {
                        Some(last) => drop(addresses.insert(name, last.clone())),
                        None => told.pending.push(format!("listener {}: {pending}", listener.name)),
                    }
                }
            }
        }
        if !addresses.is_empty() {
            told.brokers.insert(id, addresses);
        }
    }
    told
}

/// Where clients begin, of the listeners of which that is known.
pub(crate) fn bootstrap(cluster: &ValidCluster, observed: &Observed) -> Vec<ListenerStatus> {
    let status = |listener: &KafkaListener| {
        let service = names::listener_bootstrap(&cluster.name, &listener.name);
        let service = observed.child(Kind::Service, &service);
        let bootstrap_servers = match listener.kind {
            ListenerType::Internal => {
                names::bootstrap_servers(&cluster.namespace, &cluster.name, listener.port)
            }
            ListenerType::NodePort => {
                let port = node_port(service?)?;
                let nodes: BTreeSet<_> = observed.brokers.iter().filter_map(node).collect();
                let servers: Vec<_> =
                    nodes.into_iter().take(NODES_MAX).map(|node| authority(node, port)).collect();
                (!servers.is_empty()).then(|| servers.join(","))?
            }
            ListenerType::LoadBalancer => authority(&ingress(service?)?, listener.port),
        };
        Some(ListenerStatus { name: listener.name.clone(), bootstrap_servers })
    };
    cluster.spec.listeners.iter().filter_map(status).collect()
}

/// What a broker's file says.
pub(crate) fn file(addresses: &BTreeMap<String, Address>) -> String {
    serde_json::to_string(addresses).expect("names and addresses are JSON")
}

/// The address of a broker, where it is another one than that of `broker.yaml`; or what it waits for.
fn address(
    cluster: &ValidCluster,
    observed: &Observed,
    listener: &KafkaListener,
    id: i32,
) -> Result<Option<Address>, String> {
    let own_host = listener.host(id);
    let own_port = listener.broker(id).and_then(|broker| broker.port);
    let service_name = names::listener_service(&cluster.name, &listener.name, id);
    let service = || {
        let found = observed.child(Kind::Service, &service_name);
        found.ok_or_else(|| format!("Service {service_name} is not there yet"))
    };
    let (host, port) = match listener.kind {
        ListenerType::Internal if own_host.is_none() && own_port.is_none() => return Ok(None),
        ListenerType::Internal => {
            let host = own_host.unwrap_or_else(|| names::node_host(&cluster.namespace, &cluster.name, id));
            (host, own_port.unwrap_or(listener.port))
        }
        ListenerType::NodePort => {
            let broker = observed.brokers.iter().find(|broker| broker.id == id);
            let node = || broker.and_then(node).map(str::to_owned);
            let host = own_host.or_else(node).ok_or_else(|| format!("broker {id} is on no node yet"))?;
            let port = match own_port {
                Some(port) => port,
                None => node_port(service()?)
                    .ok_or_else(|| format!("Service {service_name} has no port on the nodes yet"))?,
            };
            (host, port)
        }
        ListenerType::LoadBalancer => {
            let host = match own_host {
                Some(host) => host,
                None => {
                    ingress(service()?).ok_or_else(|| format!("Service {service_name} has no address yet"))?
                }
            };
            (host, own_port.unwrap_or(listener.port))
        }
    };
    Ok(Some(Address { host, port }))
}

/// What brokers were told last.
fn before(cluster: &ValidCluster, observed: &Observed) -> BTreeMap<i32, BTreeMap<String, Address>> {
    let map = observed.child(Kind::ConfigMap, &names::advertised(&cluster.name));
    let files = map.and_then(|map| map["data"].as_object());
    let parsed = files.into_iter().flatten().filter_map(|(name, text)| {
        let id = name.strip_suffix(".json")?.parse().ok()?;
        Some((id, serde_json::from_str(text.as_str()?).ok()?))
    });
    parsed.collect()
}

/// The address of the node that a broker is on; a Pod that stops says nothing of the next one.
fn node(broker: &Broker) -> Option<&str> {
    let pod = broker.pod.as_ref().filter(|pod| pod.metadata.deletion_timestamp.is_none())?;
    pod.status.as_ref()?.host_ip.as_deref()
}

fn node_port(service: &Value) -> Option<u16> {
    u16::try_from(service.pointer("/spec/ports/0/nodePort")?.as_u64()?).ok()
}

fn ingress(service: &Value) -> Option<String> {
    let first = service.pointer("/status/loadBalancer/ingress/0")?;
    ["hostname", "ip"].into_iter().find_map(|key| first[key].as_str()).map(str::to_owned)
}

/// An IPv6 address needs brackets before a port.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The Pods that have not been shown what they are told now. Kubernetes renews a mounted file within a minute or so, and at
/// once where an annotation of its Pod changes.
pub(crate) fn unannounced(told: &Told, observed: &Observed) -> Vec<(String, String)> {
    let pods = observed.brokers.iter().filter_map(|broker| {
        let addresses = told.brokers.get(&broker.id);
        let pod = broker.pod.as_ref().filter(|pod| pod.metadata.deletion_timestamp.is_none())?;
        let shown = pod.annotations().get(names::ADVERTISED);
        let hash = names::hash(&addresses.map_or_else(String::new, file));
        let is_new = match shown {
            Some(shown) => *shown != hash,
            None => addresses.is_some(),
        };
        is_new.then(|| (pod.name_any(), hash))
    });
    pods.collect()
}
