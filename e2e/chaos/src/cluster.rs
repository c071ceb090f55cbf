//! The processes under test, with what is done to them.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use compat::node::{Node, Place};

use crate::network::{self, Cut, Network};
use crate::sandbox::{Sandbox, run};
use crate::schedule::{Fault, Step};
use crate::workload::PLAIN;
use crate::workload::librdkafka;

/// Room for what a node of a round writes, and little enough to be filled in a moment.
const TMPFS: &str = "size=512m";
/// Below so much free space a node takes no records.
const LOW_WATER: &str = "16777216";
const CONFIGS: [(&str, &str); 6] = [
    ("default.replication.factor", "3"),
    ("min.insync.replicas", "2"),
    ("offsets.topic.num.partitions", "4"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("log.dir.low.water.bytes", LOW_WATER),
    ("log.retention.check.interval.ms", "500"),
];
/// How long a node that was told to stop is given before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a healed cluster may take until every node serves.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// Nodes that all vote and all hold records.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    /// Those that are stopped now.
    paused: Vec<usize>,
    network: Option<Network>,
    disks: Vec<PathBuf>,
}

impl Cluster {
    /// Founds one in a folder. Every second node has a small disk of its own, the others share the machine's.
    pub fn found(folder: &Path, count: usize, sandbox: Sandbox) -> Result<Cluster> {
        let (mut network, mut disks) = (None, Vec::new());
        if sandbox == Sandbox::Isolated {
            network = Some(Network::new(count)?);
            for node in (1..count).step_by(2) {
                let disk = folder.join(node.to_string()).join("data");
                std::fs::create_dir_all(&disk)?;
                run("mount", &["-t", "tmpfs", "-o", TMPFS, "tmpfs", &disk.display().to_string()])?;
                disks.push(disk);
            }
        }
        let place = |node| network.as_ref().map_or_else(Place::on_loopback, |network| network.place(node));
        let nodes = Node::found_at(folder, (0..count).map(place).collect(), count, &CONFIGS);
        Ok(Cluster { nodes, paused: Vec::new(), network, disks })
    }

    /// For clients.
    pub fn bootstrap(&self) -> String {
        self.nodes.iter().map(Node::bootstrap).collect::<Vec<_>>().join(",")
    }

    /// Where each node's replicas are.
    pub fn data_dirs(&self) -> Vec<PathBuf> {
        self.nodes.iter().map(Node::data_dir).collect()
    }

    /// Brings a fault about. False if there was nothing to do it to.
    pub fn cause(&mut self, step: &Step) -> Result<bool> {
        match step.fault {
            Fault::KillOne => self.kill(&[step.node]),
            Fault::KillLeader => match librdkafka::leader(&self.bootstrap(), PLAIN, 0) {
                Some(leader) => self.kill(&[leader]),
                None => return Ok(false),
            },
            Fault::KillController => match self.controller() {
                Some(controller) => self.kill(&[controller]),
                None => return Ok(false),
            },
            Fault::KillTwo => self.kill(&[step.node, step.other]),
            Fault::KillAll => self.kill(&(0..self.nodes.len()).collect::<Vec<_>>()),
            Fault::Restart => self.stop(step.node),
            Fault::Pause => {
                self.nodes[step.node].signal("STOP");
                self.paused.push(step.node);
            }
            Fault::FillDisk => return self.fill(step),
            Fault::Isolate | Fault::Halves | Fault::OneWay | Fault::Lossy | Fault::Slow => {
                return self.worsen_network(step);
            }
        }
        Ok(true)
    }

    /// Undoes everything: each node runs, every disk has room, everything passes.
    pub fn heal(&mut self) -> Result<()> {
        for node in self.paused.drain(..) {
            self.nodes[node].signal("CONT");
        }
        for disk in &self.disks {
            let _ = std::fs::remove_file(ballast(disk));
        }
        if let Some(network) = &self.network {
            network.heal()?;
        }
        for node in &mut self.nodes {
            if !node.is_running() {
                node.start();
            }
        }
        Ok(())
    }

    /// Whether every node serves in time.
    pub fn recovers(&mut self) -> bool {
        let begin = Instant::now();
        let is_ready = |node: &Node| node.http("GET", "/readyz", "").is_ok_and(|(status, _)| status == 200);
        while begin.elapsed() < RECOVERY_TIMEOUT {
            if self.nodes.iter().all(is_ready) {
                return true;
            }
            // A node may have ended by itself, for good reasons such as a full disk at its start.
            self.nodes.iter_mut().filter_map(dead).for_each(Node::start);
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// The ends of all logs, and what each node says of itself.
    pub fn report(&mut self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            let state = node.http("GET", "/readyz", "");
            let log = node.log();
            let lines: Vec<&str> = log.lines().rev().take(30).collect();
            let last: Vec<&str> = lines.into_iter().rev().collect();
            text += &format!("node {} {state:?}:\n{}\n", node.id(), last.join("\n"));
        }
        text
    }

    /// Lines of the nodes' logs in which a node says that it panicked.
    pub fn panics(&self) -> Vec<String> {
        let mut found = Vec::new();
        for node in &self.nodes {
            let log = node.log();
            let lines = log.lines().filter(|line| line.contains("panicked"));
            found.extend(lines.map(|line| format!("no panic: node {}: {line}", node.id())));
        }
        found
    }

    fn controller(&mut self) -> Option<usize> {
        let states = self.nodes.iter().filter_map(|node| node.http("GET", "/v1/state", "").ok());
        let states = states.filter_map(|(_, body)| serde_json::from_str::<serde_json::Value>(&body).ok());
        let mut controllers = states.filter_map(|state| state["cluster"]["controller"].as_u64());
        usize::try_from(controllers.next()?).ok()
    }

    fn kill(&mut self, nodes: &[usize]) {
        for &node in nodes {
            self.nodes[node].kill();
        }
    }

    fn stop(&mut self, node: usize) {
        self.nodes[node].signal("TERM");
        let begin = Instant::now();
        while self.nodes[node].is_running() && begin.elapsed() < STOP_TIMEOUT {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.nodes[node].kill();
    }

    fn fill(&self, step: &Step) -> Result<bool> {
        if self.disks.is_empty() {
            return Ok(false);
        }
        let path = ballast(&self.disks[step.node % self.disks.len()]);
        let mut file = File::create(&path)?;
        while file.write_all(&[0; 1 << 16]).is_ok() {}
        if step.is_wide {
            // Almost full: not enough for records, enough for what has to be written all the same.
            let len = file.metadata()?.len();
            file.set_len(len.saturating_sub(4 << 20))?;
        }
        Ok(true)
    }

    fn worsen_network(&self, step: &Step) -> Result<bool> {
        let Some(network) = &self.network else { return Ok(false) };
        let count = self.nodes.len();
        let hosts = |nodes: &[usize]| nodes.iter().map(|node| network::host(*node)).collect::<Vec<_>>();
        let minority: Vec<usize> = match step.fault {
            Fault::Halves => (0..count / 2).map(|offset| (step.node + offset) % count).collect(),
            _ => vec![step.node],
        };
        let others: Vec<usize> = (0..count).filter(|node| !minority.contains(node)).collect();
        match step.fault {
            Fault::OneWay => {
                network.cut(step.other, &Cut { from: hosts(&[step.node]), ..Cut::default() })?;
            }
            Fault::Lossy => {
                let loss_percent = if step.is_wide { 20 } else { 5 };
                for node in 0..count {
                    network.cut(node, &Cut { loss_percent, ..Cut::default() })?;
                }
            }
            Fault::Slow => network.slow(step.node, if step.is_wide { 500 } else { 4_000 })?,
            _ => {
                let mut far = hosts(&others);
                // A cut-off node that clients still reach is the more dangerous one.
                far.extend(step.is_wide.then(network::clients));
                for node in minority {
                    network.cut(node, &Cut { from: far.clone(), to: far.clone(), loss_percent: 0 })?;
                }
            }
        }
        Ok(true)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.clear();
        for disk in &self.disks {
            let _ = run("umount", &["-l", &disk.display().to_string()]);
        }
    }
}

fn dead(node: &mut Node) -> Option<&mut Node> {
    (!node.is_running()).then_some(node)
}

fn ballast(disk: &Path) -> PathBuf {
    disk.join("ballast")
}
