//! `taffrail dev`: a cluster on this machine from the YAML that Kubernetes gets. Starts real broker processes, founds the
//! cluster once, keeps its topics as the file has them, and stops cleanly.

mod file;
mod folder;
mod node;
mod ports;
mod status;
mod topics;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use client::node::{Founding, NodeState, Voter};
use client::{Admin, Client, ClientConfig};
use config::node::Logging;
use resources::{KafkaClusterSpec, Manifests, NodePlace, node_config};
use tokio::time::{MissedTickBehavior, interval};

use crate::output::{counted, line};
use file::File;
use folder::Folder;
use node::Node;
pub(crate) use node::die_with_parent;
use ports::Ports;
use status::{Mood, Status};
use topics::Wanted;

/// How often the file and the processes are looked at.
const LOOK: Duration = Duration::from_millis(300);

/// Arguments of `taffrail dev`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The YAML: a KafkaCluster and its KafkaTopics
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// The folder that keeps everything
    #[arg(long, value_name = "DIR", default_value = "./taffrail-data")]
    data: PathBuf,
    /// The port of the first broker; its admin endpoint and controller follow at fixed distances
    #[arg(long, default_value_t = 9092)]
    port: u16,
}

/// The running cluster.
struct Dev<'a> {
    status: Status,
    file: File,
    cluster: KafkaClusterSpec,
    topics: Vec<Wanted>,
    node: &'a mut Node,
    admin: Admin,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let status = Status::new();
    let mut file = File::new(&args.file);
    let manifests = file.read()?;
    let ports = Ports::of_node(args.port, 0)?;
    ports.check_free()?;
    let name = manifests.cluster.metadata.name.clone().unwrap_or_default();
    let _folder = Folder::take(&args.data, &name)?;
    let brokers = counted(1, "broker");
    status.say(Mood::Working, &name, &format!("starting {brokers}, data in {}", args.data.display()))?;
    let mut node = start(&args, &manifests, ports)?;
    let outcome = tokio::select! {
        () = crate::signals::stop() => Ok(()),
        served = Box::pin(serve(status, file, manifests, ports, &mut node)) => served,
    };
    if outcome.is_err() {
        // What could not start must not stay behind; the first error is the one to read.
        let _ = node.stop().await;
        return outcome;
    }
    stop_node(status, &mut node).await
}

/// Makes the cluster what the file says, and keeps it so.
async fn serve(
    status: Status,
    file: File,
    manifests: Manifests,
    ports: Ports,
    node: &mut Node,
) -> anyhow::Result<()> {
    let founded = become_ready(node).await?;
    let what = if founded { "founded the cluster" } else { "found the cluster of the last time" };
    status.say(Mood::Good, &manifests.cluster.metadata.name.unwrap_or_default(), what)?;
    let ready = format!(
        "ready on localhost:{}, admin on localhost:{}, pid {}",
        ports.broker,
        ports.admin,
        node.pid()
    );
    status.say(Mood::Good, node.name(), &ready)?;
    let client = Client::new(ClientConfig {
        client_id: "taffrail-dev".to_owned(),
        operation_timeout: Duration::from_secs(20),
        ..ClientConfig::new(&format!("127.0.0.1:{}", ports.broker))
    })?;
    let cluster = manifests.cluster.spec;
    let mut dev = Dev { status, file, cluster, topics: Vec::new(), node, admin: Admin::new(client) };
    dev.apply_topics(file::wanted(&manifests.topics)).await?;
    dev.hint(ports.broker)?;
    dev.follow().await
}

/// Writes what the node needs and starts it.
fn start(args: &Args, manifests: &Manifests, ports: Ports) -> anyhow::Result<Node> {
    let folder = args.data.join("node-0");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // Absolute, so that the process can be started again from anywhere.
    let folder = folder.canonicalize()?;
    let token_file = folder.join("admin-token");
    if !token_file.exists() {
        write_token(&token_file).with_context(|| format!("cannot write {}", token_file.display()))?;
    }
    let place = NodePlace {
        node_id: 0,
        bind_host: "127.0.0.1".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: ports.broker,
        inter_broker_port: None,
        controller_port: ports.controller,
        admin_port: ports.admin,
        token_file,
        data_dir: folder.join("data"),
        log: Logging::default(),
    };
    let mut config = node_config(&manifests.cluster.spec, &place);
    // The distance between a laptop's first consumer and its first record.
    config.config.entry("group.initial.rebalance.delay.ms".to_owned()).or_insert_with(|| "0".to_owned());
    Node::start(&folder, &config)
}

fn write_token(path: &Path) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let token = client::node::new_token()?;
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    Ok(writeln!(file, "{token}")?)
}

/// Founds the cluster if this node belongs to none, and waits until it serves. True if it was founded.
async fn become_ready(node: &mut Node) -> anyhow::Result<bool> {
    let state: NodeState = serde_json::from_str(&node.wait_for("/v1/state").await?.body)
        .with_context(|| format!("{} does not tell its state", node.name()))?;
    let is_new = state.cluster_id.is_none();
    if is_new {
        let voter = Voter { id: state.node_id, directory_id: state.directory_id };
        let founding = Founding { cluster_id: client::node::new_cluster_id()?, voters: vec![voter] };
        let token = fs::read_to_string(node.token_file()).context("cannot read the admin token")?;
        client::node::found(node.admin(), token.trim(), &founding)
            .await
            .with_context(|| format!("{} did not found the cluster", node.name()))?;
    }
    node.wait_for("/readyz").await?;
    Ok(is_new)
}

/// Stops the broker cleanly, unless a second Ctrl-C says that there is no time for that.
async fn stop_node(status: Status, node: &mut Node) -> anyhow::Result<()> {
    if node.check_alive().is_err() {
        node.stop().await?;
        return status.say(
            Mood::Working,
            node.name(),
            "has ended before; its data is kept, its next start recovers",
        );
    }
    let again = crate::signals::stop();
    status.say(Mood::Working, node.name(), "stopping")?;
    tokio::select! {
        stopped = node.stop() => stopped?,
        () = again => {
            node.kill().await?;
            bail!("{} was killed before it had stopped; its next start recovers its logs", node.name());
        }
    }
    status.say(Mood::Good, node.name(), "stopped, and its data is kept")
}

/// What a person types to run this program: its name where the shell finds it, or the way to it from here.
fn program() -> String {
    const NAME: &str = "taffrail";
    let Ok(own) = std::env::current_exe() else { return NAME.to_owned() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_found = std::env::split_paths(&path)
        .map(|folder| folder.join(NAME))
        .find(|candidate| candidate.is_file())
        .and_then(|candidate| candidate.canonicalize().ok())
        .is_some_and(|found| own.canonicalize().is_ok_and(|own| own == found));
    if is_found {
        return NAME.to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    own.strip_prefix(&here).unwrap_or(&own).display().to_string()
}

impl Dev<'_> {
    /// Looks at the file and the broker until something goes wrong with this process itself.
    async fn follow(&mut self) -> anyhow::Result<()> {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_alive = true;
        loop {
            ticks.tick().await;
            if is_alive && let Err(error) = self.node.check_alive() {
                is_alive = false;
                self.status.say(Mood::Bad, self.node.name(), &format!("{error:#}"))?;
                line("  nothing restarts it by itself; to start it again, type")?;
                self.status.command(&format!("{} {}", program(), self.node.arguments()))?;
            }
            if self.file.has_changed() {
                self.follow_edit().await?;
            }
        }
    }

    async fn follow_edit(&mut self) -> anyhow::Result<()> {
        let manifests = match self.file.read() {
            Ok(manifests) => manifests,
            Err(error) => {
                let text = format!("{error:#}; nothing was changed");
                return self.status.say(Mood::Bad, "file", &text);
            }
        };
        if manifests.cluster.spec != self.cluster {
            self.cluster = manifests.cluster.spec.clone();
            let text = "the KafkaCluster was edited: stop with Ctrl-C and start again to apply that";
            self.status.say(Mood::Bad, "file", text)?;
        }
        let wanted = file::wanted(&manifests.topics);
        if let Err(error) = self.apply_topics(wanted).await {
            self.status.say(Mood::Bad, "file", &format!("{error:#}"))?;
        }
        Ok(())
    }

    /// Makes the cluster's topics those of the file. One that is refused does not keep the others.
    async fn apply_topics(&mut self, wanted: Vec<Wanted>) -> anyhow::Result<()> {
        let names = wanted.iter().chain(&self.topics).map(|topic| topic.name.as_str());
        let actual = topics::actual(&self.admin, names).await?;
        for step in topics::plan(&self.topics, &wanted, &actual) {
            match step.execute(&self.admin).await {
                Ok(done) => self.status.say(Mood::Good, step.topic(), &done)?,
                Err(error) => self.status.say(Mood::Bad, step.topic(), &format!("{error:#}"))?,
            }
        }
        self.topics = wanted;
        Ok(())
    }

    fn hint(&self, port: u16) -> anyhow::Result<()> {
        let program = program();
        let option = if port == 9092 { String::new() } else { format!(" -b localhost:{port}") };
        let topic = self.topics.first().map_or("NAME", |topic| topic.name.as_str());
        line(&format!("\nKafka is on localhost:{port}. In another terminal, type"))?;
        self.status.command(&format!("{program} topics list{option}"))?;
        self.status.command(&format!("echo hello | {program} produce {topic}{option}"))?;
        self.status.command(&format!("{program} consume {topic} --from-beginning{option}"))?;
        line("Edit the file, and the topics follow. Ctrl-C stops.\n")
    }
}
