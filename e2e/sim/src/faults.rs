//! What goes wrong, when, and for how long: all from the seed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use storage::Disk;
use storage::fake::Crash;

use crate::history::History;
use crate::net::{HostId, Link};
use crate::random::Random;
use crate::world::World;

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
}

/// All kinds.
pub const ALL: [Fault; 12] = [
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
];

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
        self.give_room(world, world.now());
        if self.links_heal_at.is_some_and(|at| at <= world.now()) {
            self.heal_links(world);
        }
        if self.next_at <= world.now() {
            self.next_at = world.now() + self.millis(300, 6_000);
            let kind = *self.random.pick(&self.kinds);
            if self.cause(world, kind) {
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
        for at in self.restarts.values_mut() {
            *at = world.now();
        }
        self.start_what_is_due(world);
    }

    fn give_room(&mut self, world: &World, now: Duration) {
        self.disks_heal_at.retain(|node, at| {
            let is_due = *at <= now;
            if is_due {
                world.hosts[*node].disk().set_capacity(DISK_BYTES);
            }
            !is_due
        });
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
            Fault::Isolation | Fault::OneWay | Fault::SlowLinks | Fault::LossyLinks => {
                self.heal_links(world);
                self.worsen_links(world, kind, node);
                self.links_heal_at = Some(world.now() + self.millis(200, 12_000));
                true
            }
        }
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
