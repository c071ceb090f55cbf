//! The shape of `broker.yaml`: `resources` renders it, the broker reads it. Every field is checked before the node
//! starts, so that a mistake is one clear sentence and not a failure later.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::{BrokerConfig, ConfigError, Overrides, validate_static_broker};

/// The name of the listener that `interBroker` makes.
pub const INTER_BROKER_LISTENER: &str = "INTERNAL";

/// One node: `broker.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeConfig {
    /// Kafka's `node.id`.
    pub node_id: i32,
    /// Kafka's `process.roles`.
    pub roles: Vec<Role>,
    /// The cluster that the node must belong to; without it the node takes the one it is bootstrapped with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Kafka's `log.dirs`; the first also holds the metadata log.
    pub data_dirs: Vec<PathBuf>,
    /// Where clients connect.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// A JSON file with addresses by the names of listeners, `{"PLAINTEXT": {"host": "kafka", "port": 9092}}`. They are told
    /// instead of `advertised`, and it is read again whenever it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertised_file: Option<PathBuf>,
    /// Where other brokers connect; without it they take the first listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inter_broker: Option<Endpoint>,
    /// Where controllers and brokers reach this node's controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<Bind>,
    /// Metrics, health and the administration endpoints.
    pub admin: Admin,
    /// The nodes that may be there from the start, this one or not: one list can serve all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Peer>,
    /// Kafka's `broker.rack`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<String>,
    /// A file with the rack. The broker waits for its text before it registers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack_file: Option<PathBuf>,
    /// Kafka's broker configurations by their own names.
    #[serde(default, deserialize_with = "scalars")]
    pub config: Overrides,
    /// What the node writes to its standard error.
    #[serde(default)]
    pub log: Logging,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Holds partitions and serves clients.
    Broker,
    /// Votes in the metadata quorum.
    Controller,
}

/// A name, an address to listen on and the address that others are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    /// Kafka's listener name, for example `PLAINTEXT`.
    pub name: String,
    /// `host:port` to listen on; port 0 takes a free one.
    pub bind: String,
    /// What clients are told. Only with `advertisedFile` may it be absent: nobody is sent to this listener until the file
    /// has an address for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertised: Option<Address>,
}

/// An address to listen on and the address that others are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// `host:port` to listen on.
    pub bind: String,
    /// What others are told.
    pub advertised: Address,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bind {
    /// `host:port` to listen on.
    pub bind: String,
}

/// The administration endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Admin {
    /// `host:port` to listen on.
    pub bind: String,
    /// A file with the token that POSTs must carry; without it they are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Address {
    /// A name or an IP address.
    pub host: String,
    /// A TCP port; 0, for a listener that binds port 0, is the port it got.
    pub port: u16,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peer {
    /// Its `node.id`.
    pub id: i32,
    /// Its host.
    pub host: String,
    /// The port of its controller listener.
    pub controller_port: u16,
    /// The port of its administration endpoint.
    pub admin_port: u16,
}

/// What the node writes to its standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Logging {
    /// `error`, `warn`, `info`, `debug`, `trace` or a filter by module.
    #[serde(default = "default_level")]
    pub level: String,
    /// For people or for machines.
    #[serde(default)]
    pub format: LogFormat,
}

/// For people or for machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LogFormat {
    /// A line of text.
    #[default]
    Text,
    /// A JSON object.
    Json,
}

/// What is wrong with a `broker.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeConfigError {
    /// A field has a value that cannot be.
    #[error("{field}: {problem}")]
    Field {
        /// The path of the field.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A broker configuration is refused.
    #[error("config: {0}")]
    Config(#[from] ConfigError),
}

impl Default for Logging {
    fn default() -> Logging {
        Logging { level: default_level(), format: LogFormat::Text }
    }
}

impl NodeConfig {
    /// Checks everything that can be checked without touching the machine.
    pub fn validate(&self) -> Result<(), NodeConfigError> {
        self.validate_identity()?;
        self.validate_listeners()?;
        self.validate_peers()?;
        if let Some(controller) = &self.controller {
            check_bind("controller.bind", &controller.bind)?;
        }
        if let Some(inter_broker) = &self.inter_broker {
            check_bind("interBroker.bind", &inter_broker.bind)?;
            check_advertised("interBroker.advertised", &inter_broker.bind, &inter_broker.advertised)?;
        }
        check_bind("admin.bind", &self.admin.bind)?;
        require(!self.log.level.trim().is_empty(), "log.level", "is empty")?;
        Ok(validate_static_broker(&self.config)?)
    }

    /// Whether the node has this role.
    pub fn has_role(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The broker's typed configuration.
    pub fn broker_config(&self) -> BrokerConfig {
        BrokerConfig::resolve(&self.config)
    }

    /// The static layer that DescribeConfigs shows: `config`, and under Kafka's names what has a field of its own.
    pub fn static_config(&self) -> Overrides {
        let join = |values: &mut dyn Iterator<Item = String>| values.collect::<Vec<_>>().join(",");
        let role = |role: &Role| match role {
            Role::Broker => "broker".to_owned(),
            Role::Controller => "controller".to_owned(),
        };
        let advertised = |listener: &Listener| {
            let Address { host, port } = listener.advertised.as_ref()?;
            Some(format!("{}://{host}:{port}", listener.name))
        };
        let bound = |listener: &Listener| format!("{}://{}", listener.name, listener.bind);
        let mut all = self.config.clone();
        all.insert("node.id".to_owned(), self.node_id.to_string());
        all.insert("broker.id".to_owned(), self.node_id.to_string());
        all.insert("process.roles".to_owned(), join(&mut self.roles.iter().map(role)));
        all.insert("listeners".to_owned(), join(&mut self.listeners.iter().map(bound)));
        all.insert(
            "advertised.listeners".to_owned(),
            join(&mut self.listeners.iter().filter_map(advertised)),
        );
        all.insert(
            "log.dirs".to_owned(),
            join(&mut self.data_dirs.iter().map(|directory| directory.display().to_string())),
        );
        all.extend(self.rack.clone().map(|rack| ("broker.rack".to_owned(), rack)));
        all
    }

    fn validate_identity(&self) -> Result<(), NodeConfigError> {
        require(self.node_id >= 0, "nodeId", format!("{} is negative", self.node_id))?;
        require(!self.roles.is_empty(), "roles", "is empty: give broker, controller or both")?;
        require(all_differ(self.roles.iter()), "roles", "names one role twice")?;
        require(!self.data_dirs.is_empty(), "dataDirs", "is empty: give at least one directory")?;
        require(all_differ(self.data_dirs.iter()), "dataDirs", "names one directory twice")?;
        if let Some(cluster) = &self.cluster_id {
            let is_legal = (1..=64).contains(&cluster.len())
                && cluster.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
            require(
                is_legal,
                "clusterId",
                format!("{cluster:?} is not 1 to 64 letters, digits, '.', '_' or '-'"),
            )?;
        }
        require(self.rack.as_deref() != Some(""), "rack", "is empty: leave it out")
    }

    fn validate_listeners(&self) -> Result<(), NodeConfigError> {
        if self.has_role(Role::Broker) {
            require(!self.listeners.is_empty(), "listeners", "is empty: a broker needs at least one")?;
        }
        for (i, listener) in self.listeners.iter().enumerate() {
            let field = |name: &str| format!("listeners[{i}].{name}");
            let is_legal = !listener.name.is_empty()
                && listener.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
            require(is_legal, field("name"), format!("{:?} is not a listener name", listener.name))?;
            check_bind(&field("bind"), &listener.bind)?;
            match &listener.advertised {
                Some(advertised) => check_advertised(&field("advertised"), &listener.bind, advertised)?,
                None => require(self.advertised_file.is_some(), field("advertised"), "is missing: add it")?,
            }
        }
        let names = self.listeners.iter().map(|listener| listener.name.as_str());
        require(
            all_differ(names.chain(self.inter_broker.iter().map(|_| INTER_BROKER_LISTENER))),
            "listeners",
            format!("two have the same name; {INTER_BROKER_LISTENER} is the one of interBroker"),
        )
    }

    fn validate_peers(&self) -> Result<(), NodeConfigError> {
        require(all_differ(self.peers.iter().map(|peer| peer.id)), "peers", "two have the same id")?;
        for (i, peer) in self.peers.iter().enumerate() {
            require(peer.id >= 0, format!("peers[{i}].id"), format!("{} is negative", peer.id))?;
            require(!peer.host.is_empty(), format!("peers[{i}].host"), "is empty")?;
        }
        Ok(())
    }
}

fn default_level() -> String {
    "info".to_owned()
}

fn require(holds: bool, field: impl Into<String>, problem: impl Into<String>) -> Result<(), NodeConfigError> {
    match holds {
        true => Ok(()),
        false => Err(NodeConfigError::Field { field: field.into(), problem: problem.into() }),
    }
}

fn all_differ<T: Ord>(values: impl Iterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    values.into_iter().all(|value| seen.insert(value))
}

fn bind_port(bind: &str) -> Option<u16> {
    let (host, port) = bind.rsplit_once(':')?;
    let is_host = !host.is_empty() && (!host.contains(':') || host.starts_with('[') && host.ends_with(']'));
    port.parse().ok().filter(|_| is_host)
}

fn check_bind(field: &str, bind: &str) -> Result<(), NodeConfigError> {
    require(bind_port(bind).is_some(), field, format!("{bind:?} is not host:port, for example 0.0.0.0:9092"))
}

fn check_advertised(field: &str, bind: &str, advertised: &Address) -> Result<(), NodeConfigError> {
    let host = advertised.host.as_str();
    require(!host.is_empty(), format!("{field}.host"), "is empty")?;
    let is_wildcard = matches!(host, "0.0.0.0" | "::" | "[::]");
    require(
        !is_wildcard,
        format!("{field}.host"),
        format!("{host} is not an address that clients can reach"),
    )?;
    let port_is_known = advertised.port != 0 || bind_port(bind) == Some(0);
    require(port_is_known, format!("{field}.port"), "is 0")
}

/// Numbers and booleans are written bare in YAML; all are text here, as everywhere in Kafka.
fn scalars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Overrides, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scalar {
        Bool(bool),
        Int(i64),
        Float(f64),
        Text(String),
    }
    struct Scalars;
    impl<'de> Visitor<'de> for Scalars {
        type Value = Overrides;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a map from configuration names to values")
        }
        fn visit_unit<E>(self) -> Result<Overrides, E> {
            Ok(BTreeMap::new())
        }
        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Overrides, M::Error> {
            let mut all = BTreeMap::new();
            while let Some((key, value)) = map.next_entry::<String, Scalar>()? {
                let text = match value {
                    Scalar::Bool(value) => value.to_string(),
                    Scalar::Int(value) => value.to_string(),
                    Scalar::Float(value) => value.to_string(),
                    Scalar::Text(value) => value,
                };
                if all.insert(key.clone(), text).is_some() {
                    return Err(serde::de::Error::custom(format!("config: {key} is set twice")));
                }
            }
            Ok(all)
        }
    }
    deserializer.deserialize_any(Scalars)
}

#[cfg(test)]
mod tests;
