//! From a KafkaCluster to the `broker.yaml` of one of its nodes. Pure, and the same for a laptop and a Pod: only the place
//! differs.

use std::path::PathBuf;

use config::node::{Address, Admin, Bind, Endpoint, Listener, Logging, NodeConfig, Peer, Role};

use crate::KafkaClusterSpec;

/// Where a node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlace {
    /// Its id.
    pub node_id: i32,
    /// What it is.
    pub roles: Vec<Role>,
    /// The address to listen on.
    pub bind_host: String,
    /// The address that others reach it at.
    pub host: String,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// The file with addresses that are told instead of those of the listeners.
    pub advertised_file: Option<PathBuf>,
    /// The file with the node's rack, if it is to wait for one.
    pub rack_file: Option<PathBuf>,
    /// The port for other brokers; without it they use the first one for clients.
    pub inter_broker_port: Option<u16>,
    /// The port of the controller.
    pub controller_port: u16,
    /// The port for metrics, health and administration.
    pub admin_port: u16,
    /// The file with the token that administration asks for.
    pub token_file: PathBuf,
    /// Where the data goes.
    pub data_dir: PathBuf,
    /// How it logs.
    pub log: Logging,
    /// Where the voters are, this node among them if it is one.
    pub voters: Vec<Peer>,
}

/// The `broker.yaml` of the node at `place`.
pub fn node_config(cluster: &KafkaClusterSpec, place: &NodePlace) -> NodeConfig {
    let bind = |port: u16| format!("{}:{port}", place.bind_host);
    let advertised = |port: u16| Address { host: place.host.clone(), port };
    NodeConfig {
        node_id: place.node_id,
        // Who votes is for the quorum to say, not for a node: it changes without a restart.
        roles: place.roles.clone(),
        cluster_id: None,
        data_dirs: vec![place.data_dir.clone()],
        listeners: place.listeners.clone(),
        advertised_file: place.advertised_file.clone(),
        inter_broker: place
            .inter_broker_port
            .map(|port| Endpoint { bind: bind(port), advertised: advertised(port) }),
        controller: Some(Bind { bind: bind(place.controller_port) }),
        admin: Admin { bind: bind(place.admin_port), token_file: Some(place.token_file.clone()) },
        peers: place.voters.iter().filter(|voter| voter.id != place.node_id).cloned().collect(),
        rack: None,
        rack_file: place.rack_file.clone(),
        config: cluster.config.0.clone(),
        log: place.log.clone(),
    }
}
