//! Where clients reach a cluster: `spec.listeners`, and the rules of it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SpecError;

/// What stands for a broker's id in an advertised host.
const NODE_ID: &str = "$(nodeId)";
/// Of the controllers, of brokers among themselves, and of administration.
const RESERVED_PORTS: [u16; 3] = [9090, 9091, 9600];
/// What the ports above are called.
const RESERVED_NAMES: [&str; 3] = ["controller", "internal", "admin"];

/// A port for clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!(self.port in [9090, 9091, 9600])",
        "message": "port: 9090, 9091 and 9600 are the brokers' own: write another one",
    },
    {
        "rule": "!(self.name in ['controller', 'internal', 'admin'])",
        "message": "name: controller, internal and admin are the brokers' own ports: write another one",
    },
]))]
pub struct KafkaListener {
    /// Its name: small letters and digits.
    #[schemars(length(min = 1, max = 12), regex(pattern = "^[a-z][a-z0-9]*$"))]
    pub name: String,
    /// The port that brokers listen on, and that Services have.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Who reaches it.
    #[serde(default, rename = "type")]
    pub kind: ListenerType,
    /// What clients are told, where that differs from what the operator finds out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertised: Option<Advertised>,
}

/// Who reaches a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListenerType {
    /// Pods of the same Kubernetes cluster.
    #[default]
    Internal,
    /// Whoever reaches its nodes: a port of each node leads to a broker.
    NodePort,
    /// Whoever reaches its load balancers: one for each broker, and one to begin with.
    LoadBalancer,
}

/// What clients are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Advertised {
    /// The host of every broker; `$(nodeId)` in it becomes the broker's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub host: Option<String>,
    /// What differs from that for single brokers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub per_broker: Vec<AdvertisedBroker>,
}

/// What clients are told of one broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdvertisedBroker {
    /// The broker.
    #[schemars(range(min = 0, max = 999))]
    pub id: i32,
    /// Its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub host: Option<String>,
    /// Its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// The port that its Service gets on every node, for listeners of type `nodeport`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub node_port: Option<u16>,
}

/// What a cluster has that says nothing of listeners.
pub(crate) fn default_listeners() -> Vec<KafkaListener> {
    let plain = KafkaListener {
        name: "plain".to_owned(),
        port: 9092,
        kind: ListenerType::Internal,
        advertised: None,
    };
    vec![plain]
}

impl KafkaListener {
    /// The host that the spec wants a broker to be known by.
    pub fn host(&self, broker: i32) -> Option<String> {
        let own = self.broker(broker).and_then(|one| one.host.as_ref());
        let host = own.or_else(|| self.advertised.as_ref()?.host.as_ref())?;
        Some(host.replace(NODE_ID, &broker.to_string()))
    }

    /// What the spec says of a single broker.
    pub fn broker(&self, id: i32) -> Option<&AdvertisedBroker> {
        self.advertised.as_ref()?.per_broker.iter().find(|one| one.id == id)
    }
}

/// The rules that can be checked without the cluster.
pub(crate) fn validate_listeners(listeners: &[KafkaListener]) -> Result<(), SpecError> {
    let at = |field: &str, problem: String| Err(SpecError::new(&["spec", "listeners", field], problem));
    if listeners.is_empty() {
        let problem = "has none: write [{name: plain, port: 9092}], or leave the field out";
        return Err(SpecError::new(&["spec", "listeners"], problem));
    }
    let (mut names, mut ports, mut node_ports) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for listener in listeners {
        let name = &listener.name;
        let is_legal = (1..=12).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !is_legal {
            return at("name", format!("{name}: write at most 12 small letters and digits, a letter first"));
        }
        if RESERVED_NAMES.contains(&name.as_str()) {
            return at("name", format!("{name} is one of the brokers' own ports: write another one"));
        }
        if !names.insert(name) {
            return at("name", format!("{name} is there twice: write another one"));
        }
        if listener.port == 0 || RESERVED_PORTS.contains(&listener.port) {
            let problem = format!("{} is one of the brokers' own: write another one", listener.port);
            return at("port", problem);
        }
        if !ports.insert(listener.port) {
            return at("port", format!("{} is there twice: write another one", listener.port));
        }
        for one in listener.advertised.iter().flat_map(|advertised| &advertised.per_broker) {
            let Some(node_port) = one.node_port else { continue };
            if listener.kind != ListenerType::NodePort {
                let problem =
                    format!("nodePort of broker {}: {name} is not of type nodeport: leave it out", one.id);
                return at("advertised", problem);
            }
            if !node_ports.insert(node_port) {
                return at("advertised", format!("nodePort {node_port} is there twice: write another one"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{KafkaListener, validate_listeners};

    fn listeners(value: Value) -> Vec<KafkaListener> {
        serde_json::from_value(value).expect("listeners")
    }

    #[test]
    fn hosts_have_the_brokers_id_in_the_place_of_node_id() {
        let read = listeners(json!([{ "name": "ext", "port": 9094, "type": "nodeport", "advertised": {
            "host": "b-$(nodeId).example.com", "perBroker": [{ "id": 1, "host": "one.example.com" }, { "id": 2, "port": 1 }],
        } }]));
        let hosts: Vec<_> = (0..3).filter_map(|id| read[0].host(id)).collect();
        assert_eq!(hosts, ["b-0.example.com", "one.example.com", "b-2.example.com"]);
        assert_eq!(listeners(json!([{ "name": "plain", "port": 9092 }]))[0].host(0), None);
    }

    #[test]
    fn wrong_listeners_are_refused_with_what_to_write() {
        for (wrong, says) in [
            (json!([]), "write [{name: plain, port: 9092}]"),
            (json!([{ "name": "Plain", "port": 9092 }]), "small letters and digits"),
            (json!([{ "name": "admin", "port": 9092 }]), "brokers' own ports"),
            (json!([{ "name": "a", "port": 9091 }]), "9091 is one of the brokers' own"),
            (json!([{ "name": "a", "port": 9092 }, { "name": "a", "port": 9093 }]), "a is there twice"),
            (json!([{ "name": "a", "port": 9092 }, { "name": "b", "port": 9092 }]), "9092 is there twice"),
            (
                json!([{ "name": "a", "port": 9092, "advertised": { "perBroker": [{ "id": 0, "nodePort": 31000 }] } }]),
                "not of type nodeport",
            ),
            (
                json!([{ "name": "a", "port": 9092, "type": "nodeport", "advertised": { "perBroker": [
                    { "id": 0, "nodePort": 31000 }, { "id": 1, "nodePort": 31000 }] } }]),
                "nodePort 31000 is there twice",
            ),
        ] {
            let error = validate_listeners(&listeners(wrong)).expect_err(says).to_string();
            assert!(error.contains(says) && error.starts_with("spec.listeners"), "{error}");
        }
    }
}
