//! `taffrail dev`: a cluster on this machine from the YAML that Kubernetes gets. Starts real broker processes, founds the
//! cluster once, keeps its topics as the file has them, and stops cleanly.

mod brokers;
mod file;
mod folder;
mod node;
mod ports;
mod scale;
mod status;
mod topics;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use client::{Admin, Client, ClientConfig};
use resources::{KafkaClusterSpec, Manifests, voters};
use tokio::time::{MissedTickBehavior, interval};

use crate::output::{counted, line};
use brokers::{Brokers, Founded};
use file::File;
use folder::Folder;
pub(crate) use node::die_with_parent;
use scale::Scale;
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
    name: String,
    cluster: KafkaClusterSpec,
    topics: Vec<Wanted>,
    brokers: &'a mut Brokers,
    /// Whose end was told.
    ended: BTreeSet<i32>,
    admin: Admin,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let status = Status::new();
    let mut file = File::new(&args.file);
    let manifests = file.read()?;
    let name = manifests.cluster.metadata.name.clone().unwrap_or_default();
    let cluster = &manifests.cluster.spec;
    let mut brokers = Brokers::new(&args.data, args.port);
    // Before the folder is made: with a port that is taken there is nothing to keep data for.
    brokers.check_ports(&(0..cluster.brokers.replicas).collect::<Vec<_>>())?;
    let _folder = Folder::take(&args.data, &name)?;
    let ids = brokers.ids(cluster.brokers.replicas)?;
    let count = counted(ids.len(), "broker");
    status.say(Mood::Working, &name, &format!("starting {count}, data in {}", args.data.display()))?;
    let started = ids.iter().try_for_each(|id| brokers.start(cluster, *id));
    let outcome = match started {
        Err(error) => Err(error),
        Ok(()) => tokio::select! {
            () = crate::signals::stop() => Ok(()),
            served = Box::pin(serve(status, file, manifests, &mut brokers)) => served,
        },
    };
    if outcome.is_err() {
        // What could not start must not stay behind; the first error is the one to read.
        let _ = brokers.stop().await;
        return outcome;
    }
    stop(status, &mut brokers).await
}

/// Makes the cluster what the file says, and keeps it so.
async fn serve(
    status: Status,
    file: File,
    manifests: Manifests,
    brokers: &mut Brokers,
) -> anyhow::Result<()> {
    let name = manifests.cluster.metadata.name.unwrap_or_default();
    let cluster = manifests.cluster.spec;
    let what = match brokers.found(voters(cluster.brokers.replicas)).await? {
        Founded::Now => "founded the cluster",
        Founded::Before => "found the cluster of the last time",
    };
    status.say(Mood::Good, &name, what)?;
    brokers.wait_ready().await?;
    let client = Client::new(ClientConfig {
        client_id: "taffrail-dev".to_owned(),
        operation_timeout: Duration::from_secs(20),
        ..ClientConfig::new(&brokers.bootstrap_servers()?)
    })?;
    let (topics, ended, admin) = (Vec::new(), BTreeSet::new(), Admin::new(client));
    let mut dev = Dev { status, file, name, cluster, topics, brokers, ended, admin };
    for id in dev.brokers.iter().map(|(id, _)| id).collect::<Vec<_>>() {
        dev.say_ready(id)?;
    }
    let replicas = dev.cluster.brokers.replicas;
    dev.scale().follow(replicas, false).await?;
    dev.apply_topics(file::wanted(&manifests.topics)).await?;
    dev.hint()?;
    dev.follow().await
}

/// Stops the brokers cleanly, unless a second Ctrl-C says that there is no time for that.
async fn stop(status: Status, brokers: &mut Brokers) -> anyhow::Result<()> {
    for (_, node) in brokers.iter_mut() {
        match node.check_alive() {
            Ok(()) => status.say(Mood::Working, node.name(), "stopping")?,
            Err(_) => status.say(
                Mood::Working,
                node.name(),
                "has ended before; its data is kept, its next start recovers",
            )?,
        }
    }
    let running: Vec<_> = brokers
        .iter_mut()
        .filter_map(|(_, node)| node.check_alive().is_ok().then(|| node.name().to_owned()))
        .collect();
    let again = crate::signals::stop();
    tokio::select! {
        stopped = brokers.stop() => stopped?,
        () = again => {
            brokers.kill().await?;
            bail!("{} killed before the end of a clean stop; the next start recovers their logs", running.join(", "));
        }
    }
    running.iter().try_for_each(|name| status.say(Mood::Good, name, "stopped, and its data is kept"))
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
    /// Looks at the file and the brokers until something goes wrong with this process itself.
    async fn follow(&mut self) -> anyhow::Result<()> {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look_after_brokers()?;
            if self.file.has_changed() {
                self.follow_edit().await?;
            }
        }
    }

    fn scale(&mut self) -> Scale<'_> {
        Scale { status: self.status, cluster: &self.name, admin: &self.admin, brokers: self.brokers }
    }

    fn look_after_brokers(&mut self) -> anyhow::Result<()> {
        for (id, node) in self.brokers.iter_mut() {
            let Err(error) = node.check_alive() else { continue };
            if self.ended.insert(id) {
                self.status.say(Mood::Bad, node.name(), &format!("{error:#}"))?;
                line("  nothing restarts it by itself; to start it again, type")?;
                self.status.command(&format!("{} {}", program(), node.arguments()))?;
            }
        }
        Ok(())
    }

    fn say_ready(&self, id: i32) -> anyhow::Result<()> {
        let ports = self.brokers.ports(id)?;
        let Some((_, node)) = self.brokers.iter().find(|(other, _)| *other == id) else { return Ok(()) };
        let (broker, admin, pid) = (ports.broker, ports.admin, node.pid());
        let ready = format!("ready on localhost:{broker}, admin on localhost:{admin}, pid {pid}");
        self.status.say(Mood::Good, node.name(), &ready)
    }

    async fn follow_edit(&mut self) -> anyhow::Result<()> {
        let manifests = match self.file.read() {
            Ok(manifests) => manifests,
            Err(error) => {
                let text = format!("{error:#}; nothing was changed");
                return self.status.say(Mood::Bad, "file", &text);
            }
        };
        if let Err(error) = self.follow_cluster(manifests.cluster.spec).await {
            self.status.say(Mood::Bad, &self.name, &format!("{error:#}"))?;
        }
        let wanted = file::wanted(&manifests.topics);
        if let Err(error) = self.apply_topics(wanted).await {
            self.status.say(Mood::Bad, "file", &format!("{error:#}"))?;
        }
        Ok(())
    }

    /// Follows the number of brokers; all else of a cluster is read when its brokers start.
    async fn follow_cluster(&mut self, wanted: KafkaClusterSpec) -> anyhow::Result<()> {
        if wanted == self.cluster {
            return Ok(());
        }
        let (before, replicas) = (self.cluster.brokers.replicas, wanted.brokers.replicas);
        self.cluster.brokers.replicas = replicas;
        if wanted != self.cluster {
            self.cluster = wanted;
            let text = "the KafkaCluster was edited: stop with Ctrl-C and start again to apply that";
            self.status.say(Mood::Bad, "file", text)?;
        }
        if replicas == before {
            return Ok(());
        }
        self.status.say(Mood::Working, &self.name, &format!("{before} brokers become {replicas}"))?;
        // One that was to go, and is not gone yet, stays.
        let running: BTreeSet<i32> = self.brokers.iter().map(|(id, _)| id).collect();
        let new: Vec<i32> = (0..replicas).filter(|id| !running.contains(id)).collect();
        self.brokers.check_ports(&new)?;
        new.iter().try_for_each(|id| self.brokers.start(&self.cluster, *id))?;
        self.brokers.wait_ready().await?;
        new.iter().try_for_each(|id| self.say_ready(*id))?;
        let is_larger = running.range(replicas..).next().is_none();
        self.scale().follow(replicas, is_larger).await
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

    fn hint(&self) -> anyhow::Result<()> {
        let port = self.brokers.ports(0)?.broker;
        let program = program();
        let option = if port == 9092 { String::new() } else { format!(" -b localhost:{port}") };
        let topic = self.topics.first().map_or("NAME", |topic| topic.name.as_str());
        line(&format!("\nKafka is on localhost:{port}. In another terminal, type"))?;
        self.status.command(&format!("{program} topics list{option}"))?;
        self.status.command(&format!("echo hello | {program} produce {topic}{option}"))?;
        self.status.command(&format!("{program} consume {topic} --from-beginning{option}"))?;
        line("Edit the file, and topics and brokers follow. Ctrl-C stops.\n")
    }
}
