//! The broker processes of `dev`: which there are, how they become a cluster, how they stop. Knows no topic.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use client::node::{Founding, NodeState, Voter};
use config::node::{Address, Listener, Logging, Peer, Role};
use futures::future::{join_all, try_join_all};
use resources::{KafkaClusterSpec, NodePlace, node_config, voters};

use super::node::Node;
use super::ports::Ports;

/// Where everybody listens.
pub(super) const HOST: &str = "127.0.0.1";
const FOLDER_PREFIX: &str = "node-";

/// All brokers of the cluster.
#[derive(Debug)]
pub(super) struct Brokers {
    data: PathBuf,
    first_port: u16,
    nodes: BTreeMap<i32, Node>,
}

/// Whether a cluster is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Founded {
    Now,
    Before,
}

impl Brokers {
    /// No broker yet. `data` gets a folder for each.
    pub(super) fn new(data: &Path, first_port: u16) -> Brokers {
        Brokers { data: data.to_owned(), first_port, nodes: BTreeMap::new() }
    }

    /// The ids of a cluster of this size, and of those that have data here from a time when it was larger: what they hold
    /// has to be moved before they may go.
    pub(super) fn ids(&self, replicas: i32) -> anyhow::Result<Vec<i32>> {
        let mut ids: Vec<i32> = (0..replicas).collect();
        let shown = || format!("cannot read {}", self.data.display());
        for entry in fs::read_dir(&self.data).with_context(shown)? {
            let name = entry.with_context(shown)?.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix(FOLDER_PREFIX)?.parse::<i32>().ok());
            ids.extend(id.filter(|id| *id >= replicas));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// The ports of a broker.
    pub(super) fn ports(&self, id: i32) -> anyhow::Result<Ports> {
        let index = u16::try_from(id).context("a node's id is not negative")?;
        Ports::of_node(self.first_port, index)
    }

    /// Fails for the first port that somebody else has, before any broker has started.
    pub(super) fn check_ports(&self, ids: &[i32]) -> anyhow::Result<()> {
        ids.iter().try_for_each(|id| self.ports(*id)?.check_free())
    }

    /// Writes what a broker needs and starts it.
    pub(super) fn start(&mut self, cluster: &KafkaClusterSpec, id: i32) -> anyhow::Result<()> {
        let folder = self.data.join(format!("{FOLDER_PREFIX}{id}"));
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        // Absolute, so that the process can be started again from anywhere.
        let folder = folder.canonicalize()?;
        let token_file = folder.join("admin-token");
        if !token_file.exists() {
            write_token(&token_file).with_context(|| format!("cannot write {}", token_file.display()))?;
        }
        let voter = |id: i32| {
            let ports = self.ports(id)?;
            let (host, controller_port, admin_port) = (HOST.to_owned(), ports.controller, ports.admin);
            anyhow::Ok(Peer { id, host, controller_port, admin_port })
        };
        let ports = self.ports(id)?;
        let place = NodePlace {
            node_id: id,
            roles: vec![Role::Broker, Role::Controller],
            bind_host: HOST.to_owned(),
            host: HOST.to_owned(),
            listeners: vec![Listener {
                name: "PLAINTEXT".to_owned(),
                bind: format!("{HOST}:{}", ports.broker),
                advertised: Some(Address { host: HOST.to_owned(), port: ports.broker }),
            }],
            advertised_file: None,
            rack_file: None,
            inter_broker_port: None,
            controller_port: ports.controller,
            admin_port: ports.admin,
            token_file,
            data_dir: folder.join("data"),
            log: Logging::default(),
            voters: (0..voters(cluster.brokers.replicas)).map(voter).collect::<anyhow::Result<_>>()?,
        };
        let mut config = node_config(cluster, &place);
        // The distance between a laptop's first consumer and its first record.
        config.config.entry("group.initial.rebalance.delay.ms".to_owned()).or_insert_with(|| "0".to_owned());
        self.nodes.insert(id, Node::start(&folder, &config)?);
        Ok(())
    }

    /// Founds the cluster if none of its voters belongs to one.
    pub(super) async fn found(&mut self, voters: i32) -> anyhow::Result<Founded> {
        let voters = self.nodes.range_mut(..voters).map(|(_, node)| state(node));
        let states = try_join_all(voters).await?;
        let known: std::collections::BTreeSet<_> =
            states.iter().filter_map(|state| state.cluster_id.as_ref()).collect();
        if known.len() > 1 {
            let known: Vec<_> = known.iter().map(|id| id.as_str()).collect();
            bail!("the folders of {} clusters are mixed here: {}", known.len(), known.join(", "));
        }
        if !known.is_empty() {
            return Ok(Founded::Before);
        }
        let voter = |state: &NodeState| Voter { id: state.node_id, directory_id: state.directory_id.clone() };
        let founding = Founding {
            cluster_id: client::node::new_cluster_id()?,
            voters: states.iter().map(voter).collect(),
        };
        let (_, lowest) = self.nodes.first_key_value().context("a cluster has a broker")?;
        client::node::found(lowest.admin(), &lowest.token()?, &founding)
            .await
            .with_context(|| format!("{} did not found the cluster", lowest.name()))?;
        Ok(Founded::Now)
    }

    /// Waits until brokers serve.
    pub(super) async fn wait_ready(&mut self) -> anyhow::Result<()> {
        try_join_all(self.nodes.values_mut().map(|node| node.wait_for("/readyz"))).await.map(drop)
    }

    /// Where clients find the cluster.
    pub(super) fn bootstrap_servers(&self) -> anyhow::Result<String> {
        let ports = self.nodes.keys().map(|id| Ok(format!("{HOST}:{}", self.ports(*id)?.broker)));
        Ok(ports.collect::<anyhow::Result<Vec<_>>>()?.join(","))
    }

    /// The brokers, in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i32, &Node)> {
        self.nodes.iter().map(|(id, node)| (*id, node))
    }

    /// The same, to look after them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (i32, &mut Node)> {
        self.nodes.iter_mut().map(|(id, node)| (*id, node))
    }

    /// Stops a broker that has nothing any more, and deletes its folder.
    pub(super) async fn remove(&mut self, id: i32) -> anyhow::Result<()> {
        let Some(mut node) = self.nodes.remove(&id) else { return Ok(()) };
        node.stop().await?;
        let folder = self.data.join(format!("{FOLDER_PREFIX}{id}"));
        fs::remove_dir_all(&folder).with_context(|| format!("cannot delete {}", folder.display()))
    }

    /// Stops all at once; each hands over what it leads as long as there is somebody to take it.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        join_all(self.nodes.values_mut().map(Node::stop)).await.into_iter().collect()
    }

    /// Kills all that still run.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        join_all(self.nodes.values_mut().map(Node::kill)).await.into_iter().collect()
    }
}

async fn state(node: &mut Node) -> anyhow::Result<NodeState> {
    let answer = node.wait_for("/v1/state").await?;
    serde_json::from_str(&answer.body).with_context(|| format!("{} does not tell its state", node.name()))
}

fn write_token(path: &Path) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let token = client::node::new_token()?;
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    Ok(writeln!(file, "{token}")?)
}
