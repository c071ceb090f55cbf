//! A machine: a disk that outlives its processes, a clock that may be wrong, and at most one node.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use broker::EmbeddedNode;
use broker::seams::{Blocking, Seams, Wall};
use config::node::NodeConfig;
use storage::fake::{Crash, FakeDisk};
use types::Timestamp;

use crate::net::{HostId, HostTransport, Net};
use crate::process::Process;
use chance::Random;

/// One machine.
#[derive(Debug)]
pub struct Host {
    id: HostId,
    config: NodeConfig,
    net: Net,
    disk: FakeDisk,
    random: Random,
    running: Option<Running>,
    /// How far its wall clock is off.
    pub clock_offset_ms: i64,
}

/// What a node's process has brought about.
#[derive(Clone, Debug, Default)]
struct Slot(Arc<Mutex<Life>>);

#[derive(Debug, Default)]
struct Life {
    node: Option<EmbeddedNode>,
    /// Why it ended by itself.
    ended: Option<String>,
}

#[derive(Debug)]
struct Running {
    process: Process,
    slot: Slot,
}

impl Slot {
    fn with<T>(&self, look: impl FnOnce(&mut Life) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Host {
    /// A machine with an empty disk.
    pub fn new(id: HostId, config: NodeConfig, net: Net, mut random: Random) -> Host {
        let disk = FakeDisk::new(random.number());
        Host { id, config, net, disk, random, running: None, clock_offset_ms: 0 }
    }

    /// The disk, for faults.
    pub fn disk(&self) -> &FakeDisk {
        &self.disk
    }

    /// Starts the node. Its wall clock shows `wall`, give or take its offset.
    pub fn start(&mut self, wall: Timestamp) {
        assert!(self.running.is_none(), "a machine has one node");
        self.net.power_back(self.id);
        let process = Process::new(&mut self.random);
        let slot = Slot::default();
        let life = life(
            self.config.clone(),
            self.disk.clone(),
            self.net.transport(self.id),
            Timestamp(wall.0 + self.clock_offset_ms),
            slot.clone(),
        );
        process.spawn(life);
        self.running = Some(Running { process, slot });
    }

    /// A millisecond passes. Says why the node ended, if it did.
    pub fn step(&mut self) -> Option<String> {
        let running = self.running.as_mut()?;
        running.process.step();
        running.slot.with(|life| life.ended.take())
    }

    /// Whether a process runs.
    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// The node, once it has opened its directory.
    pub fn node(&self) -> Option<EmbeddedNode> {
        self.running.as_ref()?.slot.with(|life| life.node.clone())
    }

    /// The process dies, or the machine with it.
    pub fn crash(&mut self, crash: Crash) {
        match crash {
            Crash::Process => self.net.process_died(self.id),
            Crash::Power => self.net.power_lost(self.id),
        }
        let running = self.running.take();
        // What the dying process still tries to write while it is taken apart is not written.
        self.disk.crash_after(0);
        drop(running);
        self.disk.restart(crash);
    }

    /// The machine gets a new, empty disk, and is off.
    pub fn wipe(&mut self) {
        self.crash(Crash::Power);
        self.disk = FakeDisk::new(self.random.number());
    }

    /// Asks the node to stop; its process ends once it has.
    pub fn stop(&mut self) {
        let Some(running) = &self.running else { return };
        let (slot, node) = (running.slot.clone(), self.node());
        running.process.spawn(async move {
            if let Some(node) = node {
                node.stop().await;
            }
            slot.with(|life| life.ended = Some("stopped".to_owned()));
        });
    }

    /// Runs a task in the node's process.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.running.as_ref().expect("the process runs").process.spawn(task);
    }
}

async fn life(config: NodeConfig, disk: FakeDisk, transport: HostTransport, wall: Timestamp, slot: Slot) {
    let seams = Seams {
        disk: Arc::new(disk),
        transport: Arc::new(transport),
        blocking: Blocking::inline(),
        wall: Wall::simulated(wall),
    };
    let ended = match EmbeddedNode::start(config, seams).await {
        Err(error) => error.to_string(),
        Ok(node) => {
            slot.with(|life| life.node = Some(node.clone()));
            match node.serve().await {
                // It was asked to stop; whoever asked says when that is done.
                Ok(()) => return,
                Err(error) => error.to_string(),
            }
        }
    };
    slot.with(|life| life.ended = Some(ended));
}

/// The configuration of one of `count` nodes, of which the first `controllers` are controllers, and all of them brokers.
pub fn config_of(
    node: usize,
    count: usize,
    controllers: usize,
    broker_configs: &[(&str, &str)],
) -> NodeConfig {
    let peers: String = (0..count.min(controllers))
        .filter(|peer| *peer != node)
        .map(|peer| format!("  - {{id: {peer}, host: n{peer}, controllerPort: 9093, adminPort: 9600}}\n"))
        .collect();
    let peers = if peers.is_empty() { "peers: []\n".to_owned() } else { format!("peers:\n{peers}") };
    let configs: String = broker_configs.iter().map(|(key, value)| format!("  {key}: '{value}'\n")).collect();
    let configs = if configs.is_empty() { String::new() } else { format!("config:\n{configs}") };
    let (roles, controller) = match node < controllers {
        true => ("[broker, controller]", "controller: {bind: '0.0.0.0:9093'}\n"),
        false => ("[broker]", ""),
    };
    let yaml = format!(
        "nodeId: {node}\nroles: {roles}\ndataDirs: [{}]\n\
         listeners: [{{name: plain, bind: '0.0.0.0:9092', advertised: {{host: n{node}, port: 9092}}}}]\n\
         {controller}admin: {{bind: '127.0.0.1:0'}}\n{peers}{configs}",
        Path::new("/data").display(),
    );
    serde_yaml::from_str(&yaml).expect("it is written above")
}
