//! One cluster under test: how it is founded, reached, how its processes are stopped, killed and started again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{MemoryLimit, Setup};
use crate::{librdkafka, process};

const KAFKA_PORT: u16 = 19092;
const TAFFRAIL_PORT: u16 = 29092;
/// Each next broker's port is so far from the one before, on either side.
const KAFKA_PORT_STEP: u16 = 2;
const TAFFRAIL_PORT_STEP: u16 = 1;
/// What the peer program gives Kafka besides the heap, for nodes that are started without it.
const JAVA_OPTIONS: &str = "-XX:+UseG1GC -XX:MaxGCPauseMillis=20";
const START_TIMEOUT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Kafka,
    Taffrail,
}

/// A cluster whose nodes can be signalled and started one by one.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) name: Name,
    pub(crate) bootstrap: String,
    program: PathBuf,
    data: PathBuf,
    setup: Setup,
    /// The nodes that run; with the process that we started, where the node is not that process itself.
    running: BTreeMap<usize, Running>,
}

#[derive(Debug)]
struct Running {
    pid: u32,
    child: Option<Child>,
}

impl System {
    /// A new cluster, running.
    pub(super) fn found(name: Name, program: &Path, data: &Path, setup: Setup) -> Result<System> {
        fs::create_dir_all(data)?;
        let (first, step) = match name {
            Name::Kafka => (KAFKA_PORT, KAFKA_PORT_STEP),
            Name::Taffrail => (TAFFRAIL_PORT, TAFFRAIL_PORT_STEP),
        };
        let ports = (first..).step_by(step.into()).take(setup.nodes);
        let bootstrap: Vec<_> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
        let mut system = System {
            name,
            bootstrap: bootstrap.join(","),
            program: program.to_owned(),
            data: data.to_owned(),
            setup,
            running: BTreeMap::new(),
        };
        match name {
            Name::Kafka => system.found_kafka()?,
            Name::Taffrail => system.found_taffrail()?,
        }
        Ok(system)
    }

    /// The processes of all nodes that run.
    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> {
        self.running.values().map(|node| node.pid)
    }

    /// User and system CPU time of all nodes since they began, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        self.pids().map(process::cpu_seconds).sum()
    }

    /// Resident memory of all nodes in MB.
    pub(crate) fn resident_mb(&self) -> Result<f64> {
        self.pids().map(process::resident_mb).sum()
    }

    /// Stops all nodes cleanly, starts them over their data and times that from exec to the first answer.
    pub(crate) fn restart(&mut self) -> Result<Duration> {
        self.stop()?;
        let begun = Instant::now();
        self.start()?;
        librdkafka::wait_until_answers(&self.bootstrap, START_TIMEOUT)?;
        Ok(begun.elapsed())
    }

    /// Starts all nodes and waits for none.
    pub(crate) fn start(&mut self) -> Result<()> {
        (0..self.setup.nodes).try_for_each(|node| self.start_node(node))
    }

    /// Starts a node over its data and does not wait for it.
    pub(crate) fn start_node(&mut self, node: usize) -> Result<()> {
        let mut command = Command::new(&self.program);
        match self.name {
            Name::Kafka => {
                let heap = self.setup.kafka_heap;
                command.args(["tool", "kafka.Kafka"]).arg(self.data.join(format!("{node}.properties")));
                command.env("TOOL_HEAP", heap).env("JAVA_TOOL_OPTIONS", format!("-Xms{heap} {JAVA_OPTIONS}"));
            }
            Name::Taffrail => {
                let config = self.data.join(format!("node-{node}/broker.yaml"));
                command.arg("broker").arg("--config").arg(config);
            }
        }
        let child = self.spawn(command, &format!("{node}.log"))?;
        let pid = match self.name {
            Name::Kafka => process::java_child(child.id())?,
            Name::Taffrail => child.id(),
        };
        self.running.insert(node, Running { pid, child: Some(child) });
        Ok(())
    }

    /// Sends a signal to a node and leaves it to its fate.
    pub(crate) fn signal(&self, node: usize, signal: Signal) -> Result<()> {
        let running = self.running.get(&node).with_context(|| format!("node {node} does not run"))?;
        let pid = i32::try_from(running.pid).ok().and_then(Pid::from_raw).context("a pid is positive")?;
        kill_process(pid, signal).with_context(|| format!("{signal:?} to node {node}"))
    }

    /// Waits until a node that was told to end has ended.
    pub(crate) fn wait_gone(&mut self, node: usize) -> Result<()> {
        let Some(running) = self.running.remove(&node) else { return Ok(()) };
        if let Some(mut child) = running.child {
            child.wait()?;
        }
        wait_until_gone(running.pid)
    }

    /// Stops all nodes cleanly.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.end(Signal::TERM)
    }

    /// Kills all nodes at once.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.end(Signal::KILL)
    }

    /// Puts each node into a memory cgroup of its own; lifted when what this gives back is dropped.
    pub(crate) fn limit_memory(&self, bytes: u64) -> Result<Vec<MemoryLimit>> {
        self.pids().map(|pid| MemoryLimit::new(pid, bytes)).collect()
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        let nodes: Vec<usize> = self.running.keys().copied().collect();
        nodes.iter().try_for_each(|node| self.signal(*node, signal))?;
        nodes.into_iter().try_for_each(|node| self.wait_gone(node))
    }

    /// The peer program formats the folders and starts the nodes, as many as there are.
    fn found_kafka(&mut self) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("start").arg(self.setup.nodes.to_string()).arg(&self.data);
        command.env("HEAP", self.setup.kafka_heap);
        let status = self.spawn(command, "peer.log")?.wait()?;
        if !status.success() {
            bail!("{} did not start Kafka", self.program.display());
        }
        for node in 0..self.setup.nodes {
            let pid = fs::read_to_string(self.data.join(format!("{node}.pid")))?.trim().parse()?;
            self.running.insert(node, Running { pid, child: None });
        }
        self.wait_until_answers()
    }

    /// `dev` founds the cluster as a user would; then its nodes are run without it, so that one of them may die.
    fn found_taffrail(&mut self) -> Result<()> {
        let manifest = self.data.join("cluster.yaml");
        fs::write(&manifest, cluster(self.setup.nodes))?;
        let mut command = Command::new(&self.program);
        command.arg("dev").arg("-f").arg(&manifest).arg("--data").arg(&self.data);
        command.arg("--port").arg(TAFFRAIL_PORT.to_string());
        let mut dev = self.spawn(command, "dev.log")?;
        self.wait_until_answers()?;
        kill_process(Pid::from_child(&dev), Signal::TERM)?;
        dev.wait()?;
        self.start()?;
        self.wait_until_answers()
    }

    fn wait_until_answers(&self) -> Result<()> {
        librdkafka::wait_until_brokers(&self.bootstrap, self.setup.nodes, START_TIMEOUT).with_context(|| {
            format!("{:?} on {} with data in {}", self.name, self.bootstrap, self.data.display())
        })
    }

    fn spawn(&self, mut command: Command, log: &str) -> Result<Child> {
        let log = fs::File::options().create(true).append(true).open(self.data.join(log))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command.spawn()?)
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("killing {:?}: {error:#}", self.name);
        }
        if let Err(error) = fs::remove_dir_all(&self.data) {
            eprintln!("deleting {}: {error}", self.data.display());
        }
    }
}

fn cluster(nodes: usize) -> String {
    let replication = nodes.min(3);
    let in_sync = if replication > 1 { 2 } else { 1 };
    format!(
        "apiVersion: taffrail.dev/v1alpha1
kind: KafkaCluster
metadata: {{name: bench}}
spec:
  brokers:
    replicas: {nodes}
    storage: {{persistent: {{size: 100Gi}}}}
  config: {{default.replication.factor: {replication}, min.insync.replicas: {in_sync}}}
"
    )
}

fn wait_until_gone(pid: u32) -> Result<()> {
    let begun = Instant::now();
    while Path::new(&format!("/proc/{pid}")).exists() {
        if begun.elapsed() > START_TIMEOUT {
            bail!("process {pid} does not stop");
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}
