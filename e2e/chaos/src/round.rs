//! One round: a cluster is founded, clients work, faults come and go, everything heals, and what clients were told is compared
//! with what is there.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chance::Random;

use crate::cluster::Cluster;
use crate::coverage::Coverage;
use crate::ledger::{FinalLog, Ledger, Part};
use crate::replicas;
use crate::sandbox::{Sandbox, run};
use crate::schedule::{Fault, Schedule, Step};
use crate::workload::{Client, FLUSHED, JAVA, LIBRDKAFKA, PARTITIONS, PLAIN, java, librdkafka};

const PRODUCERS: u32 = 2;
/// The Java producer's number among producers.
const JAVA_PRODUCER: u32 = 100;
const CONSUMERS: usize = 2;
/// How long a healed cluster may take until all replicas are the same and all groups have read everything.
const END_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a reader is given to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a round follows from.
#[derive(Clone, Debug)]
pub struct Round {
    /// All of its chance.
    pub seed: u64,
    /// Processes.
    pub nodes: usize,
    /// How long faults come.
    pub lasts: Duration,
    /// What there is to break.
    pub sandbox: Sandbox,
    /// Whether Kafka's own tools are there.
    pub has_java: bool,
    /// Where the nodes' folders and the producers' logs are left if something was violated.
    pub keep: Option<PathBuf>,
}

impl Round {
    /// Runs it; fails only if the machine does not do what is asked of it.
    pub fn run(&self) -> Result<Coverage> {
        let folder = tempfile::tempdir().context("a folder")?;
        let mut random = Random::new(self.seed);
        let mut cluster = Cluster::found(folder.path(), self.nodes, self.sandbox)?;
        let ledger = Ledger::default();
        librdkafka::create_topics(&cluster.bootstrap())?;
        let clients = self.start_clients(&cluster.bootstrap(), folder.path(), &mut random, &ledger)?;
        let kinds: &[Fault] = match self.sandbox {
            Sandbox::Isolated => &Fault::ISOLATED,
            Sandbox::Bare => Fault::OF_PROCESSES,
        };
        let mut coverage = Coverage { seeds: vec![self.seed], ..Coverage::default() };
        let begin = Instant::now();
        for step in Schedule::new(random.fork(), self.nodes, kinds) {
            if begin.elapsed() >= self.lasts || !ledger.lock().violations.is_empty() {
                break;
            }
            self.carry_out(&step, &mut cluster, &ledger, &mut coverage)?;
        }
        end(&mut cluster, clients, self.has_java, &ledger)?;
        let told = ledger.lock();
        coverage.acknowledged = told.acknowledged;
        coverage.read = told.read;
        coverage.commits = told.commits;
        coverage.leader_changes = told.leader_changes;
        coverage.violations.clone_from(&told.violations);
        if !coverage.violations.is_empty() {
            println!("{}", cluster.report());
            self.keep(folder.path())?;
        }
        Ok(coverage)
    }

    fn carry_out(
        &self,
        step: &Step,
        cluster: &mut Cluster,
        ledger: &Ledger,
        coverage: &mut Coverage,
    ) -> Result<()> {
        std::thread::sleep(step.after);
        println!("    {:?} of {} for {} ms", step.fault, step.node, step.lasts.as_millis());
        if cluster.cause(step)? {
            *coverage.faults.entry(step.fault).or_default() += 1;
            std::thread::sleep(step.lasts);
        }
        cluster.heal()?;
        if step.waits && !cluster.recovers() {
            ledger.lock().violation(format!("recovery: a node does not serve after {:?}", step.fault));
        }
        Ok(())
    }

    /// Copies everything to where it outlasts the round.
    fn keep(&self, folder: &Path) -> Result<()> {
        let Some(keep) = &self.keep else { return Ok(()) };
        std::fs::create_dir_all(keep)?;
        let kept = keep.join(format!("seed-{}", self.seed));
        run("cp", &["-a", &folder.display().to_string(), &kept.display().to_string()])?;
        println!("everything of this round is in {}", kept.display());
        Ok(())
    }

    fn start_clients(
        &self,
        bootstrap: &str,
        folder: &Path,
        random: &mut Random,
        ledger: &Ledger,
    ) -> Result<Clients> {
        let given = || (bootstrap.to_owned(), ledger.clone());
        let mut clients = Clients::default();
        for number in 1..=PRODUCERS {
            let ((bootstrap, ledger), random) = (given(), random.fork());
            let log = folder.join(format!("librdkafka-{number}.log"));
            let log = self.keep.is_some().then(|| File::create(log)).transpose()?;
            let run = move |stop: &_| librdkafka::produce(&bootstrap, number, random, &ledger, log, stop);
            clients.producers.push(Client::start(run));
        }
        for _ in 0..CONSUMERS {
            let (bootstrap, ledger) = given();
            clients.readers.push(Client::start(move |stop| librdkafka::consume(&bootstrap, &ledger, stop)));
        }
        let (watched, ledger_of_watch) = given();
        let watch = move |stop: &_| librdkafka::watch_leaders(&watched, &ledger_of_watch, stop);
        clients.readers.push(Client::start(watch));
        if self.has_java {
            clients.java_producer = Some(java::produce(bootstrap, JAVA_PRODUCER, folder, ledger)?);
            clients.java_consumer = Some(java::consume(bootstrap, folder, ledger)?);
        }
        Ok(clients)
    }
}

/// All that talks to the cluster.
#[derive(Debug, Default)]
struct Clients {
    producers: Vec<Client>,
    readers: Vec<Client>,
    java_producer: Option<java::Tool>,
    java_consumer: Option<java::Tool>,
}

/// Heals everything, lets clients finish, and compares.
fn end(cluster: &mut Cluster, clients: Clients, has_java: bool, ledger: &Ledger) -> Result<()> {
    cluster.heal()?;
    if !cluster.recovers() {
        ledger.lock().violation("recovery: a node does not serve in the end".to_owned());
    }
    clients.producers.iter().for_each(Client::stop);
    clients.producers.into_iter().for_each(Client::join);
    clients.java_producer.into_iter().for_each(java::Tool::finish);
    let logs = final_logs(cluster, ledger);
    let groups: &[&str] = if has_java { &[LIBRDKAFKA, JAVA] } else { &[LIBRDKAFKA] };
    let begin = Instant::now();
    while let Some(text) = unread(&logs, groups, ledger) {
        if begin.elapsed() > END_TIMEOUT {
            ledger.lock().violation(text);
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    clients.readers.iter().for_each(Client::stop);
    clients.readers.into_iter().for_each(|reader| reader.leave(CLOSE_TIMEOUT));
    clients.java_consumer.into_iter().for_each(java::Tool::finish);
    for group in [LIBRDKAFKA, JAVA].into_iter().filter(|group| groups.contains(group)) {
        librdkafka::check_committed(&cluster.bootstrap(), group, ledger)?;
    }
    let mut told = ledger.lock();
    told.check(&logs);
    cluster.panics().into_iter().for_each(|panic| told.violation(panic));
    Ok(())
}

/// What all replicas hold, as soon as they agree.
fn final_logs(cluster: &Cluster, ledger: &Ledger) -> BTreeMap<Part, FinalLog> {
    let folders = cluster.data_dirs();
    let folders: Vec<&Path> = folders.iter().map(|path| path.as_path()).collect();
    let mut logs = BTreeMap::new();
    let begin = Instant::now();
    for part in parts() {
        loop {
            match replicas::compare(&part, &folders, 3) {
                Ok(log) => drop(logs.insert(part.clone(), log)),
                Err(_) if begin.elapsed() < END_TIMEOUT => {
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                }
                Err(error) => ledger.lock().violation(error),
            }
            break;
        }
    }
    logs
}

/// What a group has not read yet.
fn unread(logs: &BTreeMap<Part, FinalLog>, groups: &[&'static str], ledger: &Ledger) -> Option<String> {
    let told = ledger.lock();
    for group in groups {
        for (part, log) in logs.iter().filter(|(part, _)| *group == LIBRDKAFKA || part.0 == PLAIN) {
            let (last, read) =
                (log.last_key_value().map(|(offset, _)| *offset), told.read_up_to(group, part));
            if read < last {
                return Some(format!(
                    "consumers: {group} is at {read:?} of {part:?}, which ends with {last:?}"
                ));
            }
        }
    }
    None
}

fn parts() -> impl Iterator<Item = Part> {
    [PLAIN, FLUSHED]
        .into_iter()
        .flat_map(|topic| (0..PARTITIONS).map(move |partition| (topic.to_owned(), partition)))
}
