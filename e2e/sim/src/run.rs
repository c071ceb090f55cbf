//! One seed: a cluster, a workload and faults for a while, then peace, then the verdict.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::{Client, ClientConfig};
use metadata::{Image, PartitionImage};
use types::BrokerId;

use crate::faults::{self, Fault, Faults};
use crate::history::{History, OFFSETS, OFFSETS_PARTITIONS, PLAIN, Part, TRIMMED};
use crate::properties::metadata_equal::MetadataEqual;
use crate::properties::one_leader::OneLeader;
use crate::properties::{acknowledged, compacted, no_panic, replicas_equal, trimmed};
use crate::workload::{self, fleeting, keyed, parts, trim};
use crate::world::{World, WorldConfig};
use chance::Random;

/// How long faults come.
const TROUBLE: Duration = Duration::from_secs(60);
/// How long a healed cluster may take until all replicas are equal.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at the nodes.
const OBSERVATION: u128 = 5;
/// Clients of each kind.
const PRODUCERS: u64 = 4;
const WRITERS: u64 = 2;

/// What a seed must have seen to count.
const ACKNOWLEDGED_MIN: usize = 1_000;
const LEADER_CHANGES_MIN: u64 = 3;
const FAULT_KINDS_MIN: usize = 2;

/// What is simulated.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// All chance.
    pub seed: u64,
    /// Which kinds of fault there may be.
    pub faults: Vec<Fault>,
    /// Whether topics allow what loses records: a replica that was not in sync may lead.
    pub has_unclean_elections: bool,
    /// Whether there are, beside producers, a consumer and a committer, clients that compact, delete records, and delete
    /// topics and create them again.
    pub has_all_clients: bool,
}

/// What came of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What must not be.
    pub violations: Vec<String>,
    /// Simulated time.
    pub simulated: Duration,
    /// How many nodes there were.
    pub nodes: usize,
    /// Records that were acknowledged.
    pub acknowledged: usize,
    /// Those of them that no loss of power may take.
    pub acknowledged_flushed: usize,
    /// Records that were read.
    pub read: u64,
    /// Commits of a group's offset that were acknowledged.
    pub commits: u64,
    /// How often a coordinator that was none any more showed an older offset.
    pub stale_commits: u64,
    /// How often the compacted topic was read from its beginning to its end.
    pub keyed_reads: u64,
    /// Keys of which something was acknowledged.
    pub keys: usize,
    /// How often a topic was created, written, read and deleted.
    pub lives: u64,
    /// How often records were deleted.
    pub trims: u64,
    /// Records that producers gave up.
    pub given_up: u64,
    /// Records that went with the power of all their replicas.
    pub lost_with_power: u64,
    /// How often a partition got another leader.
    pub leader_changes: u64,
    /// How often each fault came.
    pub faults: BTreeMap<Fault, u64>,
    /// Depends on every byte that was sent, and when.
    pub fingerprint: u64,
}

impl RunConfig {
    /// Faults of machines, links and clocks, and clients that write and read: what CI runs.
    pub fn new(seed: u64) -> RunConfig {
        let faults = faults::BASIC.to_vec();
        RunConfig { seed, faults, has_unclean_elections: false, has_all_clients: false }
    }

    /// All faults and all clients.
    pub fn wide(seed: u64) -> RunConfig {
        RunConfig { faults: faults::ALL.to_vec(), has_all_clients: true, ..RunConfig::new(seed) }
    }
}

impl Outcome {
    /// Whether enough happened for the seed to say something.
    pub fn counts(&self) -> bool {
        self.simulated >= TROUBLE
            && self.acknowledged >= ACKNOWLEDGED_MIN
            && self.leader_changes >= LEADER_CHANGES_MIN
            && self.faults.len() >= FAULT_KINDS_MIN
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> =
            self.faults.iter().map(|(fault, count)| format!("{fault:?} {count}")).collect();
        write!(
            f,
            "seed {}: {} nodes, {} s, {} acknowledged, {} read, {} commits, {} stale, {} readings of {} keys, {} deletions, {} lives of a topic, {} given up, {} lost with power, {} leader changes; {}{}; trace {:016x}",
            self.seed,
            self.nodes,
            self.simulated.as_secs(),
            self.acknowledged,
            self.read,
            self.commits,
            self.stale_commits,
            self.keyed_reads,
            self.keys,
            self.trims,
            self.lives,
            self.given_up,
            self.lost_with_power,
            self.leader_changes,
            faults.join(", "),
            if self.counts() { "" } else { " (too little to count)" },
            self.fingerprint
        )?;
        self.violations.iter().take(10).try_for_each(|violation| write!(f, "\n  VIOLATION {violation}"))
    }
}

/// What is watched while a seed runs.
#[derive(Debug, Default)]
struct Watch {
    history: History,
    one_leader: OneLeader,
    metadata_equal: MetadataEqual,
    states: BTreeMap<Part, PartitionImage>,
    leaders: BTreeMap<Part, BrokerId>,
    leader_changes: u64,
    violations: Vec<String>,
}

/// Runs a seed to its end, or to its first violation.
pub fn run(config: &RunConfig) -> Outcome {
    // Mostly the smallest cluster that replicates; now and then brokers that only follow the quorum.
    let nodes = *Random::new(config.seed).pick(&[3, 3, 3, 4, 5]);
    // One group needs no fifty partitions of offsets.
    let broker_configs = vec![("offsets.topic.num.partitions", "2"), ("log.cleaner.backoff.ms", "500")];
    let world = WorldConfig { seed: config.seed, nodes, controllers: 3, broker_configs };
    no_panic::watch();
    let mut world = World::new(&world);
    let mut watch = Watch::default();
    let mut faults = Faults::new(world.random.fork(), watch.history.clone(), &config.faults);
    world.found();
    let stop = Arc::new(AtomicBool::new(false));
    let clients = start_clients(&mut world, config, &watch.history, &stop);
    let began = world.now();
    while world.now() < began + TROUBLE && watch.violations.is_empty() {
        let ended = world.step();
        faults.step(&mut world, &ended);
        watch.look(&world);
    }
    faults.heal(&mut world);
    stop.store(true, Ordering::Relaxed);
    let healed = world.now();
    let is_quiet = |world: &World| {
        clients.iter().all(|done| done.load(Ordering::Relaxed)) && replicas_equal::have_caught_up(world)
    };
    let mut is_over = false;
    while !is_over && watch.violations.is_empty() {
        let ended = world.step();
        faults.step(&mut world, &ended);
        watch.look(&world);
        is_over = world.now().as_millis().is_multiple_of(100) && faults.are_done() && is_quiet(&world);
        if world.now() > healed + PATIENCE {
            watch.violations.push(format!("peace: {}", unrest(&world, &clients)));
        }
    }
    let mut lost_with_power = 0;
    if watch.violations.is_empty() {
        let logs = replicas_equal::check(&world, &mut watch.violations);
        let told = watch.history.lock();
        lost_with_power = acknowledged::check(&told, &logs, &mut watch.violations);
        trimmed::check(&world, &told, &mut watch.violations);
        compacted::check(&world, &told.keyed, &mut watch.violations);
    }
    let told = watch.history.lock();
    Outcome {
        seed: config.seed,
        violations: watch.violations.clone(),
        simulated: world.now(),
        nodes: world.hosts.len(),
        acknowledged: told.acknowledged.len(),
        acknowledged_flushed: told.acknowledged.values().filter(|(part, _)| part.0 != PLAIN).count(),
        read: told.read_count,
        commits: told.commits,
        stale_commits: told.stale_commits,
        keyed_reads: told.keyed_reads,
        keys: told.keyed.keys(),
        lives: told.lives,
        trims: told.trim_of((TRIMMED, 0)).times,
        given_up: told.given_up,
        lost_with_power: lost_with_power + told.lost_with_power,
        leader_changes: watch.leader_changes,
        faults: faults.counts.clone(),
        fingerprint: world.net.fingerprint(),
    }
}

fn start_clients(
    world: &mut World,
    config: &RunConfig,
    history: &History,
    stop: &Arc<AtomicBool>,
) -> Vec<Arc<AtomicBool>> {
    let creating = workload::create_topics(world.new_client("creator"), config.has_unclean_elections);
    let created = world.client(creating);
    assert!(
        world.run_until(Duration::from_secs(30), |_| created.load(Ordering::Relaxed)),
        "the topics were created before the faults began"
    );
    let mut clients = Vec::new();
    for number in 1..=PRODUCERS {
        let client = world.new_client("producer");
        let random = world.random.fork();
        clients.push(world.client(workload::produce(
            client,
            number,
            random,
            history.clone(),
            Arc::clone(stop),
        )));
    }
    let once = ClientConfig { operation_timeout: Duration::ZERO, ..world.client_config("committer") };
    let client = Client::new(once).expect("the addresses are ours");
    clients.push(world.client(workload::commit(client, history.clone(), Arc::clone(stop))));
    let client = world.new_client("consumer");
    clients.push(world.client(workload::consume(client, history.clone(), Arc::clone(stop))));
    if config.has_all_clients {
        clients.extend(start_other_clients(world, history, stop));
    }
    clients
}

fn start_other_clients(world: &mut World, history: &History, stop: &Arc<AtomicBool>) -> Vec<Arc<AtomicBool>> {
    let mut clients = Vec::new();
    for writer in 1..=WRITERS {
        let (client, random) = (world.new_client("writer"), world.random.fork());
        clients.push(world.client(keyed::write(client, writer, random, history.clone(), Arc::clone(stop))));
    }
    let (client, random) = (world.new_client("creator"), world.random.fork());
    clients.push(world.client(fleeting::live(client, random, history.clone(), Arc::clone(stop))));
    let (client, random) = (world.new_client("trimmer"), world.random.fork());
    clients.push(world.client(trim::trim(client, random, history.clone(), Arc::clone(stop))));
    let client = world.new_client("reader");
    clients.push(world.client(keyed::read(client, history.clone(), Arc::clone(stop))));
    clients
}

impl Watch {
    fn look(&mut self, world: &World) {
        let mut told = self.history.lock();
        told.now = world.now();
        self.violations.append(&mut told.violations);
        drop(told);
        no_panic::check(&mut self.violations);
        if !world.now().as_millis().is_multiple_of(OBSERVATION) {
            return;
        }
        self.one_leader.check(world, &mut self.violations);
        if let Some(image) = self.metadata_equal.check(world, &mut self.violations) {
            trimmed::check_leader(world, &image, &self.history.lock(), &mut self.violations);
            self.follow(&image);
        }
    }

    fn follow(&mut self, image: &Image) {
        let offsets = (0..OFFSETS_PARTITIONS).map(|partition| (OFFSETS, partition));
        for part in parts().chain(offsets) {
            let Some(topic) = image.topic_named(part.0) else { continue };
            let Some(state) = topic.partitions.get(usize::try_from(part.1).unwrap_or(usize::MAX)) else {
                continue;
            };
            if self.states.get(&part) == Some(state) {
                continue;
            }
            self.states.insert(part, state.clone());
            let mut told = self.history.lock();
            let (topic, partition) = part;
            tracing::info!(
                at = ?told.now, topic, partition, leader = ?state.leader, epoch = %state.leader_epoch,
                isr = ?state.isr, elr = ?state.elr, "partition changed"
            );
            let keepers = state.isr.iter().chain(&state.elr).map(|broker| broker.0).collect();
            told.kept_by(part, keepers);
            if let Some(leader) = state.leader
                && self.leaders.insert(part, leader).is_some_and(|former| former != leader)
            {
                self.leader_changes += 1;
            }
        }
    }
}

/// Why a healed cluster is not at rest.
fn unrest(world: &World, clients: &[Arc<AtomicBool>]) -> String {
    let busy = clients.iter().filter(|done| !done.load(Ordering::Relaxed)).count();
    let mut text = format!("{busy} clients are busy");
    for (id, host) in world.hosts.iter().enumerate() {
        let Some(node) = host.node() else {
            text += &format!("; node {id} has no directory (up: {})", host.is_up());
            continue;
        };
        text += &format!("; node {id} ready {} metadata {}", node.is_ready(), node.metadata().0);
        for replica in node.replicas() {
            text += &format!(
                " {}{} e{} {}..{}..{}",
                replica.partition,
                if replica.is_leading { "*" } else { "" },
                replica.leader_epoch,
                replica.log_start,
                replica.high_watermark,
                replica.log_end
            );
        }
    }
    text
}
