//! The simulated world: machines, the network between them, clients, and the time that passes for all of them alike.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::EmbeddedNode;
use broker::seams::seed_this_thread;
use client::{Client, ClientConfig};
use storage::fake::Crash;
use types::Timestamp;

use crate::host::{Host, config_of};
use crate::net::{HostId, Net};
use crate::process::{Process, STEP};
use chance::Random;

/// What the wall clocks show when the simulation begins.
pub const EPOCH_MS: i64 = 1_800_000_000_000;
/// The founded cluster.
const CLUSTER_ID: &str = "simulated";

/// How a world begins.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// All that is left to chance follows from it.
    pub seed: u64,
    /// How many nodes, each of them a broker.
    pub nodes: usize,
    /// How many of them, from the first on, are controllers.
    pub controllers: usize,
    /// The brokers' static configuration.
    pub broker_configs: Vec<(&'static str, &'static str)>,
}

/// The world.
#[derive(Debug)]
pub struct World {
    now: Duration,
    /// The machines with nodes, by their ids.
    pub hosts: Vec<Host>,
    /// The network; the clients' host comes after the nodes'.
    pub net: Net,
    clients: Process,
    /// The nodes before this one are controllers.
    pub controllers: usize,
    /// For faults and workload.
    pub random: Random,
}

impl World {
    /// Machines that are switched off.
    pub fn new(config: &WorldConfig) -> World {
        let mut random = Random::new(config.seed);
        seed_this_thread(Some(random.number()));
        let names: Vec<String> =
            (0..config.nodes).map(|node| format!("n{node}")).chain(["clients".to_owned()]).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let net = Net::new(&names, random.fork());
        let host = |node: usize| config_of(node, config.nodes, config.controllers, &config.broker_configs);
        let hosts =
            (0..config.nodes).map(|node| Host::new(node, host(node), net.clone(), random.fork())).collect();
        let clients = Process::new(&mut random);
        World { now: Duration::ZERO, hosts, net, clients, controllers: config.controllers, random }
    }

    /// Since the simulation began.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// What a clock shows that is right.
    pub fn wall(&self) -> Timestamp {
        Timestamp(EPOCH_MS + i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX))
    }

    /// The network's name for the clients' machine.
    pub fn client_host(&self) -> HostId {
        self.hosts.len()
    }

    /// A millisecond passes everywhere. What nodes ended by themselves, and why.
    pub fn step(&mut self) -> Vec<(HostId, String)> {
        self.now += STEP;
        self.net.deliver(self.now);
        let mut ended = Vec::new();
        for (id, host) in self.hosts.iter_mut().enumerate() {
            if let Some(reason) = host.step() {
                host.crash(Crash::Process);
                ended.push((id, reason));
            }
        }
        self.clients.step();
        ended
    }

    /// Time passes.
    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.now < until {
            self.step();
        }
    }

    /// Time passes until something holds, at most `patience`. Whether it holds.
    pub fn run_until(&mut self, patience: Duration, mut holds: impl FnMut(&World) -> bool) -> bool {
        let until = self.now + patience;
        while !holds(self) {
            if self.now >= until {
                return false;
            }
            self.step();
        }
        true
    }

    /// Starts a node.
    pub fn start(&mut self, node: HostId) {
        let wall = self.wall();
        self.hosts[node].start(wall);
    }

    /// A task on the clients' machine, and whether it has ended.
    pub fn client(&self, task: impl Future<Output = ()> + Send + 'static) -> Arc<AtomicBool> {
        let done = Arc::new(AtomicBool::new(false));
        let sets = Arc::clone(&done);
        self.clients.spawn(async move {
            task.await;
            sets.store(true, Ordering::Relaxed);
        });
        done
    }

    /// How a client reaches the cluster.
    pub fn client_config(&self, name: &str) -> ClientConfig {
        let servers: Vec<String> = (0..self.hosts.len()).map(|node| format!("n{node}:9092")).collect();
        ClientConfig {
            client_id: name.to_owned(),
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(2),
            connector: Arc::new(self.net.transport(self.client_host())),
            ..ClientConfig::new(&servers.join(","))
        }
    }

    /// A client of the cluster.
    pub fn new_client(&self, name: &str) -> Client {
        Client::new(self.client_config(name)).expect("the addresses are ours")
    }

    /// Switches all nodes on, founds the cluster and waits until all of them serve.
    pub fn found(&mut self) {
        (0..self.hosts.len()).for_each(|node| self.start(node));
        let opened =
            self.run_until(Duration::from_secs(5), |world| world.nodes().count() == world.hosts.len());
        assert!(opened, "the nodes opened their directories");
        let voters: Vec<_> = self
            .nodes()
            .take(self.controllers)
            .enumerate()
            .map(|(node, found)| (i32::try_from(node).expect("there are few"), found.directory_id()))
            .collect();
        let first = self.hosts[0].node().expect("it was just there");
        self.hosts[0].spawn(async move {
            while first.bootstrap(CLUSTER_ID, &voters).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let ready =
            self.run_until(Duration::from_secs(20), |world| world.nodes().all(|node| node.is_ready()));
        assert!(ready, "the cluster was founded");
    }

    /// The nodes that run.
    pub fn nodes(&self) -> impl Iterator<Item = EmbeddedNode> {
        self.hosts.iter().filter_map(Host::node)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Nothing of a world outlives it on this thread.
        self.hosts.iter_mut().for_each(|host| host.crash(Crash::Power));
        seed_this_thread(None);
    }
}
