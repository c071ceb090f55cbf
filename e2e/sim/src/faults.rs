//! What goes wrong, when, and for how long: all from the seed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metadata::{Image, PartitionImage};
use storage::Disk;
use storage::fake::Crash;
use types::Uuid;

use crate::history::{History, Part};
use crate::net::{HostId, Link};
use crate::workload::{all_parts, chores};
use crate::world::World;
use chance::Random;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A process dies; the page cache stays.
    Crash,
    /// All processes die at once.
    CrashAll,
    /// A process dies in the middle of a write.
    TornWrite,
    /// A machine loses power, and what it had not synced.
    PowerLoss,
    /// All machines lose power at once.
    PowerLossAll,
    /// A node is asked to stop, and started again.
    Restart,
    /// Nothing passes between one node and all others.
    Isolation,
    /// Nothing passes in one direction between two nodes.
    OneWay,
    /// A node's links are slow.
    SlowLinks,
    /// Segments are lost everywhere.
    LossyLinks,
    /// A machine's wall clock jumps at its next start.
    ClockOffset,
    /// There is no room left on a disk for a while.
    FullDisk,
    /// Nothing can be written to a disk or synced for a while; then the process is started again.
    BrokenDisk,
    /// A disk takes writes for a while, and fails when they are to be synced.
    FailedSync,
    /// A machine gets a new disk, as long as every partition has all its replicas in sync. If it was a voter its vote is
    /// given to the new directory.
    WipedDisk,
    /// A partition moves to other brokers; half of the moves are taken back.
    Reassignment,
    /// The preferred replicas are made to lead.
    Election,
}

/// All kinds, those of machines, links and clocks first.
pub const ALL: [Fault; 17] = [
    Fault::Crash,
    Fault::CrashAll,
    Fault::TornWrite,
    Fault::PowerLoss,
    Fault::PowerLossAll,
    Fault::Restart,
    Fault::Isolation,
    Fault::OneWay,
    Fault::SlowLinks,
    Fault::LossyLinks,
    Fault::ClockOffset,
    Fault::FullDisk,
    Fault::BrokenDisk,
    Fault::FailedSync,
    Fault::WipedDisk,
    Fault::Reassignment,
    Fault::Election,
];

/// Those of machines, links and clocks.
pub const BASIC: &[Fault] = ALL.split_at(12).0;

/// What a disk holds when it is not full.
const DISK_BYTES: u64 = 1 << 40;
/// The largest error of a wall clock.
const CLOCK_OFFSET_MS_MAX: u64 = 50 * 60 * 1000;

/// Brings faults about and heals them.
#[derive(Debug)]
pub struct Faults {
    random: Random,
    kinds: Vec<Fault>,
    next_at: Duration,
    /// When nodes that are down come back.
    restarts: BTreeMap<HostId, Duration>,
    /// When the links are as they were.
    links_heal_at: Option<Duration>,
    /// When disks have room again.
    disks_heal_at: BTreeMap<HostId, Duration>,
    /// When disks can be written again.
    broken_disks: BTreeMap<HostId, Duration>,
    /// Nodes with new disks that were voters with the directories of their old ones.
    wiped: BTreeMap<HostId, Uuid>,
    /// Whether a new disk lacks what the old one held.
    is_refilling: bool,
    /// Whether the last of them votes again.
    replacing: Option<Arc<AtomicBool>>,
    /// How often each kind came.
    pub counts: BTreeMap<Fault, u64>,
    history: History,
}

impl Faults {
    /// A mix of kinds of its own for each seed: a few that come often find more than all that come seldom.
    pub fn new(mut random: Random, history: History, allowed: &[Fault]) -> Faults {
        let wanted = usize::try_from(random.between(2, 6)).expect("it is small").min(allowed.len());
        let mut kinds: Vec<Fault> = Vec::new();
        while kinds.len() < wanted {
            let kind = *random.pick(allowed);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        Faults {
            random,
            kinds,
            next_at: Duration::ZERO,
            restarts: BTreeMap::new(),
            links_heal_at: None,
            disks_heal_at: BTreeMap::new(),
            broken_disks: BTreeMap::new(),
            wiped: BTreeMap::new(),
            is_refilling: false,
            replacing: None,
            counts: BTreeMap::new(),
            history,
        }
    }

    /// What is due. Nodes that ended by themselves are started again too.
    pub fn step(&mut self, world: &mut World, ended: &[(HostId, String)]) {
        for (node, reason) in ended {
            tracing::info!(at = ?world.now(), node, reason, "node ended");
            self.restart_later(world, *node, 2_000);
        }
        for node in 0..world.hosts.len() {
            if world.hosts[node].disk().is_down() {
                world.hosts[node].crash(Crash::Process);
                self.restart_later(world, node, 4_000);
            }
        }
        self.start_what_is_due(world);
        self.replace_voters(world);
        self.give_room(world, world.now());
        self.replace_disks(world, world.now());
        if self.links_heal_at.is_some_and(|at| at <= world.now()) {
            self.heal_links(world);
        }
        if self.next_at <= world.now() {
            self.next_at = world.now() + self.millis(300, 6_000);
            let kind = *self.random.pick(&self.kinds);
            self.look_at_new_disk(world);
            let is_too_much = self.is_refilling && matches!(kind, Fault::PowerLoss | Fault::PowerLossAll);
            if !is_too_much && self.cause(world, kind) {
                tracing::info!(at = ?world.now(), ?kind, "fault");
                *self.counts.entry(kind).or_default() += 1;
            }
        }
    }

    /// No more faults: everything works and everybody runs.
    pub fn heal(&mut self, world: &mut World) {
        self.next_at = Duration::MAX;
        self.heal_links(world);
        self.give_room(world, Duration::MAX);
        self.replace_disks(world, Duration::MAX);
        for at in self.restarts.values_mut() {
            *at = world.now();
        }
        self.start_what_is_due(world);
    }

    /// Whoever makes room starts a node again that says that a log failed for want of it.
    fn give_room(&mut self, world: &mut World, now: Duration) {
        let due: Vec<HostId> =
            self.disks_heal_at.iter().filter(|(_, at)| **at <= now).map(|(node, _)| *node).collect();
        for node in due {
            self.disks_heal_at.remove(&node);
            world.hosts[node].disk().set_capacity(DISK_BYTES);
            if world.hosts[node].node().is_some_and(|node| node.has_offline_replicas()) {
                self.crash(world, node, Crash::Process);
            }
        }
    }

    /// A disk that has failed is left alone until somebody starts the node again.
    fn replace_disks(&mut self, world: &mut World, now: Duration) {
        let due: Vec<HostId> =
            self.broken_disks.iter().filter(|(_, at)| **at <= now).map(|(node, _)| *node).collect();
        for node in due {
            self.broken_disks.remove(&node);
            let disk = world.hosts[node].disk();
            disk.set_broken(false);
            disk.set_unsyncable(false);
            self.crash(world, node, Crash::Process);
        }
    }

    fn start_what_is_due(&mut self, world: &mut World) {
        let due: Vec<HostId> =
            self.restarts.iter().filter(|(_, at)| **at <= world.now()).map(|(node, _)| *node).collect();
        for node in due {
            self.restarts.remove(&node);
            if !world.hosts[node].is_up() {
                world.start(node);
            }
        }
    }

    fn cause(&mut self, world: &mut World, kind: Fault) -> bool {
        let nodes = world.hosts.len();
        let node = usize::try_from(self.random.between(0, nodes as u64)).expect("it is an index");
        match kind {
            Fault::Crash => self.crash(world, node, Crash::Process),
            Fault::PowerLoss => self.crash(world, node, Crash::Power),
            Fault::CrashAll => self.crash_all(world, Crash::Process),
            Fault::PowerLossAll => self.crash_all(world, Crash::Power),
            Fault::TornWrite => {
                world.hosts[node].disk().crash_after(self.random.between(0, 200));
                true
            }
            Fault::Restart => {
                world.hosts[node].stop();
                world.hosts[node].is_up()
            }
            Fault::ClockOffset => {
                let offset = self.random.between(0, 2 * CLOCK_OFFSET_MS_MAX);
                let offset =
                    i64::try_from(offset).unwrap_or(0) - i64::try_from(CLOCK_OFFSET_MS_MAX).unwrap_or(0);
                world.hosts[node].clock_offset_ms = offset;
                self.crash(world, node, Crash::Process)
            }
            Fault::FullDisk => {
                let disk = world.hosts[node].disk();
                let space = disk.space(Path::new("/")).expect("it knows");
                disk.set_capacity(space.total_bytes - space.free_bytes + self.random.between(0, 10_000));
                let until = world.now() + self.millis(500, 10_000);
                self.disks_heal_at.insert(node, until);
                true
            }
            Fault::WipedDisk => self.wipe(world, node),
            Fault::BrokenDisk | Fault::FailedSync => {
                let disk = world.hosts[node].disk();
                match kind {
                    Fault::BrokenDisk => disk.set_broken(true),
                    _ => disk.set_unsyncable(true),
                }
                let until = world.now() + self.millis(500, 10_000);
                self.broken_disks.insert(node, until);
                true
            }
            Fault::Reassignment => self.reassign(world),
            Fault::Election => {
                let electing = chores::elect_preferred(world.new_client("elector"), all_parts().collect());
                world.client(electing);
                true
            }
            Fault::Isolation | Fault::OneWay | Fault::SlowLinks | Fault::LossyLinks => {
                self.heal_links(world);
                self.worsen_links(world, kind, node);
                self.links_heal_at = Some(world.now() + self.millis(200, 12_000));
                true
            }
        }
    }

    /// Whoever wipes a disk makes sure that nothing is on that one alone, and replaces one voter at a time.
    fn wipe(&mut self, world: &mut World, node: HostId) -> bool {
        let is_well = world.nodes().count() == world.hosts.len()
            && world.nodes().all(|node| node.is_ready())
            && self.are_done();
        let Some(newest) = world.nodes().max_by_key(|node| node.metadata().0).filter(|_| is_well) else {
            return false;
        };
        let is_whole =
            |state: &PartitionImage| state.isr.len() == state.replicas.len() && state.isr.len() > 1;
        let (_, image) = newest.metadata();
        if !image.topics().all(|topic| topic.partitions.iter().all(is_whole)) {
            return false;
        }
        let old = world.hosts[node].node().expect("all are up").directory_id();
        world.hosts[node].wipe();
        self.history.lock().power_lost(i32::try_from(node).expect("there are few"));
        self.restart_later(world, node, 4_000);
        self.is_refilling = true;
        if node < world.controllers {
            self.wiped.insert(node, old);
        }
        true
    }

    /// Until a new disk holds what the old one held, a loss of power is one failure too many: the broker with the empty disk
    /// may be the last that is known to have led.
    fn look_at_new_disk(&mut self, world: &World) {
        let newest = world.nodes().max_by_key(|node| node.metadata().0);
        let are_up = world.nodes().count() == world.hosts.len() && world.nodes().all(|node| node.is_ready());
        if self.is_refilling && are_up && newest.is_some_and(|node| is_whole(&node.metadata().1)) {
            self.is_refilling = false;
        }
    }

    /// Once a wiped voter's node is there again, its vote is given to its new directory.
    fn replace_voters(&mut self, world: &World) {
        let opened = |(&node, &old): (&HostId, &Uuid)| Some((node, old, world.hosts[node].node()?));
        let Some((node, old, opened)) = self.wiped.iter().find_map(opened) else { return };
        self.wiped.remove(&node);
        let id = i32::try_from(node).expect("there are few");
        let client = world.new_client("replacer");
        self.replacing = Some(world.client(chores::replace_voter(client, id, old, opened.directory_id())));
    }

    /// Whether what was begun has been done.
    pub fn are_done(&self) -> bool {
        self.wiped.is_empty() && self.replacing.as_ref().is_none_or(|done| done.load(Ordering::Relaxed))
    }

    /// Mostly three replicas, as there were before; now and then one fewer.
    fn reassign(&mut self, world: &World) -> bool {
        let all: Vec<Part> = all_parts().collect();
        let part = *self.random.pick(&all);
        let wanted = if self.random.one_in(4) { 2 } else { 3 };
        let mut replicas: Vec<i32> = Vec::new();
        while replicas.len() < wanted {
            let node = i32::try_from(self.random.between(0, world.hosts.len() as u64)).expect("it is small");
            if !replicas.contains(&node) {
                replicas.push(node);
            }
        }
        let cancelled_after = self.random.one_in(2).then(|| self.millis(0, 2_000));
        let client = world.new_client("reassigner");
        world.client(async move {
            chores::reassign(client.clone(), part, Some(replicas)).await;
            if let Some(after) = cancelled_after {
                tokio::time::sleep(after).await;
                chores::reassign(client, part, None).await;
            }
        });
        true
    }

    fn worsen_links(&mut self, world: &mut World, kind: Fault, node: HostId) {
        let (nodes, clients) = (world.hosts.len(), world.client_host());
        // A cut-off node that clients still reach is the more dangerous one.
        let others: Vec<HostId> = match self.random.one_in(2) {
            true => (0..nodes).filter(|other| *other != node).collect(),
            false => (0..=clients).filter(|other| *other != node).collect(),
        };
        let cut = Link { is_cut: true, ..Link::default() };
        match kind {
            Fault::OneWay => {
                let other = *self.random.pick(&others);
                world.net.set_link(node, other, cut);
            }
            Fault::SlowLinks => {
                let latency_min_ms = self.random.between(5, 120);
                let jitter_ms = self.random.between(0, 200);
                let slow = Link { latency_min_ms, jitter_ms, ..Link::default() };
                for other in others {
                    world.net.set_link(node, other, slow);
                    world.net.set_link(other, node, slow);
                }
            }
            Fault::LossyLinks => {
                let loss_one_in = self.random.between(2, 30);
                let lossy = Link { loss_one_in, ..Link::default() };
                for from in 0..=clients {
                    for to in 0..=clients {
                        world.net.set_link(from, to, lossy);
                    }
                }
            }
            _ => {
                for other in others {
                    world.net.set_link(node, other, cut);
                    world.net.set_link(other, node, cut);
                }
            }
        }
    }

    fn heal_links(&mut self, world: &mut World) {
        self.links_heal_at = None;
        for from in 0..=world.client_host() {
            for to in 0..=world.client_host() {
                world.net.set_link(from, to, Link::default());
            }
        }
    }

    fn crash(&mut self, world: &mut World, node: HostId, crash: Crash) -> bool {
        // A machine whose process is down can still lose power.
        if !world.hosts[node].is_up() && crash == Crash::Process {
            return false;
        }
        world.hosts[node].crash(crash);
        if crash == Crash::Power {
            self.history.lock().power_lost(i32::try_from(node).expect("there are few"));
        }
        self.restart_later(world, node, 6_000);
        true
    }

    fn crash_all(&mut self, world: &mut World, crash: Crash) -> bool {
        let mut has_crashed = false;
        for node in 0..world.hosts.len() {
            has_crashed |= self.crash(world, node, crash);
        }
        has_crashed
    }

    fn restart_later(&mut self, world: &World, node: HostId, millis_max: u64) {
        let at = world.now() + self.millis(50, millis_max);
        self.restarts.entry(node).or_insert(at);
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.random.between(from, to))
    }
}

/// Whether every partition has all its replicas in sync, and more than one.
fn is_whole(image: &Image) -> bool {
    let is_whole = |state: &PartitionImage| state.isr.len() == state.replicas.len() && state.isr.len() > 1;
    image.topics().all(|topic| topic.partitions.iter().all(is_whole))
}
