//! Hosts, links, listeners, and what is on its way between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

use chance::Random;

/// What one direction of a connection holds before its writer has to wait.
const WINDOW_BYTES: usize = 1 << 20;
/// After this a lost segment is sent again.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// A host, by its place in the list of names.
pub type HostId = usize;

/// How one direction between two hosts behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The shortest time on the way, in milliseconds.
    pub latency_min_ms: u64,
    /// What may be added to it.
    pub jitter_ms: u64,
    /// One segment of so many is lost and sent again; 0 is none.
    pub loss_one_in: u64,
    /// Nothing passes.
    pub is_cut: bool,
}

/// One end of a connection: the connection's number and the side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) connection: u64,
    pub(super) side: usize,
}

#[derive(Debug)]
pub(super) struct State {
    now: Duration,
    random: Random,
    names: Vec<String>,
    is_powered: Vec<bool>,
    /// From each host to each.
    links: Vec<Vec<Link>>,
    listeners: BTreeMap<(HostId, u16), Listening>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    /// Connections that are being made or have something on its way: most have not, and are not looked at.
    busy: BTreeSet<u64>,
    fingerprint: u64,
}

#[derive(Debug, Default)]
struct Listening {
    arrived: VecDeque<(End, HostId)>,
    waker: Option<Waker>,
}

/// Two hosts and what is on its way from each: `ways[side]` is what that side writes.
#[derive(Debug)]
struct Connection {
    hosts: [HostId; 2],
    /// A side that nobody holds any more.
    is_gone: [bool; 2],
    ways: [Way; 2],
    /// While the connection is being made.
    opening: Option<Opening>,
}

#[derive(Debug)]
struct Opening {
    port: u16,
    due: Duration,
    waker: Option<Waker>,
    outcome: Option<Result<(), io::ErrorKind>>,
}

#[derive(Debug, Default)]
struct Way {
    under_way: VecDeque<(Duration, Segment)>,
    last_due: Duration,
    arrived: VecDeque<Bytes>,
    /// Sent and not yet read.
    held_bytes: usize,
    has_ended: bool,
    is_reset: bool,
    is_shut: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug)]
enum Segment {
    Data(Bytes),
    End,
    Reset,
}

impl Default for Link {
    fn default() -> Link {
        Link { latency_min_ms: 1, jitter_ms: 1, loss_one_in: 0, is_cut: false }
    }
}

impl State {
    pub(super) fn new(names: &[&str], random: Random) -> State {
        State {
            now: Duration::ZERO,
            random,
            names: names.iter().map(|&name| name.to_owned()).collect(),
            is_powered: vec![true; names.len()],
            links: vec![vec![Link::default(); names.len()]; names.len()],
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_connection: 0,
            busy: BTreeSet::new(),
            fingerprint: 0xcbf2_9ce4_8422_2325,
        }
    }

    pub(super) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(super) fn host(&self, name: &str) -> Option<HostId> {
        self.names.iter().position(|known| known == name)
    }

    pub(super) fn set_link(&mut self, from: HostId, to: HostId, link: Link) {
        self.links[from][to] = link;
    }

    fn link(&self, from: HostId, to: HostId) -> Link {
        self.links[from][to]
    }

    /// When something sent now arrives, if the link is not cut then.
    fn due(&mut self, from: HostId, to: HostId) -> Duration {
        let link = self.link(from, to);
        let mut latency =
            Duration::from_millis(link.latency_min_ms + self.random.between(0, link.jitter_ms + 1));
        if link.loss_one_in > 0 && self.random.one_in(link.loss_one_in) {
            latency += RETRANSMISSION;
        }
        self.now + latency
    }

    fn note(&mut self, connection: u64, side: usize, bytes: &[u8]) {
        let head = [connection, side as u64, u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX)];
        let head = head.iter().flat_map(|number| number.to_le_bytes());
        for byte in head.chain(bytes.iter().copied()) {
            self.fingerprint = (self.fingerprint ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// Listening and connecting.
impl State {
    pub(super) fn listen(&mut self, host: HostId, port: u16) -> io::Result<()> {
        if self.listeners.contains_key(&(host, port)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.listeners.insert((host, port), Listening::default());
        Ok(())
    }

    pub(super) fn unlisten(&mut self, host: HostId, port: u16) {
        let Some(listening) = self.listeners.remove(&(host, port)) else { return };
        for (end, _) in listening.arrived {
            self.reset_by(end);
        }
    }

    pub(super) fn accept(&mut self, host: HostId, port: u16, waker: &Waker) -> Option<(End, HostId)> {
        let listening = self.listeners.get_mut(&(host, port))?;
        let accepted = listening.arrived.pop_front();
        if accepted.is_none() {
            listening.waker = Some(waker.clone());
        }
        accepted
    }

    pub(super) fn connect(&mut self, from: HostId, to: HostId, port: u16) -> End {
        let due = self.due(from, to);
        let connection = self.next_connection;
        self.next_connection += 1;
        let made = Connection {
            hosts: [from, to],
            is_gone: [false; 2],
            ways: [Way::default(), Way::default()],
            opening: Some(Opening { port, due, waker: None, outcome: None }),
        };
        self.connections.insert(connection, made);
        self.busy.insert(connection);
        End { connection, side: 0 }
    }

    pub(super) fn connected(&mut self, end: End, waker: &Waker) -> Option<io::Result<()>> {
        let Some(connection) = self.connections.get_mut(&end.connection) else {
            return Some(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let Some(opening) = &mut connection.opening else { return Some(Ok(())) };
        opening.waker = Some(waker.clone());
        opening.outcome.map(|outcome| {
            connection.opening = None;
            outcome.map_err(io::Error::from)
        })
    }
}

/// Data.
impl State {
    pub(super) fn read(&mut self, end: End, room: usize, waker: &Waker) -> Option<io::Result<Bytes>> {
        let Some(connection) = self.connections.get_mut(&end.connection) else {
            return Some(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let way = &mut connection.ways[1 - end.side];
        if let Some(first) = way.arrived.front_mut() {
            let taken = first.split_to(room.min(first.len()));
            if first.is_empty() {
                way.arrived.pop_front();
            }
            way.held_bytes -= taken.len();
            wake(&mut way.writer);
            return Some(Ok(taken));
        }
        if way.is_reset {
            return Some(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if way.has_ended {
            return Some(Ok(Bytes::new()));
        }
        way.reader = Some(waker.clone());
        None
    }

    pub(super) fn write(&mut self, end: End, bytes: &[u8], waker: &Waker) -> Option<io::Result<usize>> {
        let Some(connection) = self.connections.get_mut(&end.connection) else {
            return Some(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if connection.ways[1 - end.side].is_reset || connection.ways[end.side].is_shut {
            return Some(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let way = &mut connection.ways[end.side];
        let room = WINDOW_BYTES.saturating_sub(way.held_bytes);
        if room == 0 {
            way.writer = Some(waker.clone());
            return None;
        }
        let sent = bytes.len().min(room);
        way.held_bytes += sent;
        self.send(end, Segment::Data(Bytes::copy_from_slice(&bytes[..sent])));
        self.note(end.connection, end.side, &bytes[..sent]);
        Some(Ok(sent))
    }

    pub(super) fn shut(&mut self, end: End) {
        let Some(connection) = self.connections.get_mut(&end.connection) else { return };
        if !connection.is_gone[end.side] && !std::mem::replace(&mut connection.ways[end.side].is_shut, true) {
            self.send(end, Segment::End);
        }
    }

    /// The socket was dropped.
    pub(super) fn close(&mut self, end: End) {
        self.shut(end);
        if let Some(connection) = self.connections.get_mut(&end.connection) {
            connection.is_gone[end.side] = true;
            if connection.is_gone == [true; 2] || connection.opening.is_some() {
                self.connections.remove(&end.connection);
            }
        }
    }

    fn send(&mut self, end: End, segment: Segment) {
        let Some(hosts) = self.connections.get(&end.connection).map(|connection| connection.hosts) else {
            return;
        };
        let due = self.due(hosts[end.side], hosts[1 - end.side]);
        let connection = self.connections.get_mut(&end.connection).expect("it was found above");
        let way = &mut connection.ways[end.side];
        way.last_due = way.last_due.max(due);
        let due = way.last_due;
        way.under_way.push_back((due, segment));
        self.busy.insert(end.connection);
    }

    fn reset_by(&mut self, end: End) {
        self.send(end, Segment::Reset);
        if let Some(connection) = self.connections.get_mut(&end.connection) {
            connection.is_gone[end.side] = true;
            self.busy.insert(end.connection);
        }
    }
}

/// Time and faults.
impl State {
    pub(super) fn deliver(&mut self, now: Duration) {
        self.now = now;
        let busy: Vec<u64> = self.busy.iter().copied().collect();
        for connection in busy {
            self.open(connection);
            self.arrive(End { connection, side: 0 });
            self.arrive(End { connection, side: 1 });
            self.settle(connection);
        }
    }

    /// Forgets a connection that is over, and does not look again at one that is at rest.
    fn settle(&mut self, number: u64) {
        let Some(connection) = self.connections.get(&number) else {
            self.busy.remove(&number);
            return;
        };
        let is_opening = connection.opening.as_ref().is_some_and(|opening| opening.outcome.is_none());
        if is_opening || connection.ways.iter().any(|way| !way.under_way.is_empty()) {
            return;
        }
        self.busy.remove(&number);
        if connection.is_gone == [true; 2] {
            self.connections.remove(&number);
        }
    }

    /// A connection that is being made reaches its listener, or nobody.
    fn open(&mut self, number: u64) {
        let Some(connection) = self.connections.get(&number) else { return };
        let [from, to] = connection.hosts;
        let Some(opening) = connection.opening.as_ref().filter(|opening| opening.outcome.is_none()) else {
            return;
        };
        let is_blocked = self.link(from, to).is_cut || self.link(to, from).is_cut || !self.is_powered[to];
        if opening.due > self.now || is_blocked {
            return;
        }
        let outcome = match self.listeners.get_mut(&(to, opening.port)) {
            Some(listening) => {
                listening.arrived.push_back((End { connection: number, side: 1 }, from));
                wake(&mut listening.waker);
                Ok(())
            }
            None => Err(io::ErrorKind::ConnectionRefused),
        };
        let connection = self.connections.get_mut(&number).expect("it was found above");
        let opening = connection.opening.as_mut().expect("it was found above");
        opening.outcome = Some(outcome);
        wake(&mut opening.waker);
    }

    /// What `end` sent and what is due by now.
    fn arrive(&mut self, end: End) {
        let receiver = End { connection: end.connection, side: 1 - end.side };
        loop {
            let Some(connection) = self.connections.get(&end.connection) else { return };
            let (from, to) = (connection.hosts[end.side], connection.hosts[receiver.side]);
            let is_due = connection.ways[end.side].under_way.front().is_some_and(|(due, _)| *due <= self.now);
            if !is_due || self.link(from, to).is_cut || !self.is_powered[to] {
                return;
            }
            let connection = self.connections.get_mut(&end.connection).expect("it was found above");
            let Some((_, segment)) = connection.ways[end.side].under_way.pop_front() else { return };
            if connection.is_gone[receiver.side] {
                // Nobody holds this connection any more: whoever sends data learns it.
                if matches!(segment, Segment::Data(_)) {
                    self.send(receiver, Segment::Reset);
                }
                continue;
            }
            match segment {
                Segment::Data(bytes) => connection.ways[end.side].arrived.push_back(bytes),
                Segment::End => connection.ways[end.side].has_ended = true,
                Segment::Reset => {
                    connection.ways[end.side].is_reset = true;
                    wake(&mut connection.ways[receiver.side].writer);
                }
            }
            wake(&mut connection.ways[end.side].reader);
        }
    }

    pub(super) fn process_died(&mut self, host: HostId) {
        self.listeners.retain(|(listening, _), _| *listening != host);
        for end in self.ends_of(host) {
            self.reset_by(end);
        }
    }

    pub(super) fn power_lost(&mut self, host: HostId) {
        self.is_powered[host] = false;
        self.listeners.retain(|(listening, _), _| *listening != host);
        for end in self.ends_of(host) {
            let connection = self.connections.get_mut(&end.connection).expect("it was just found");
            connection.is_gone[end.side] = true;
            connection.ways[end.side].under_way.clear();
            self.busy.insert(end.connection);
        }
    }

    pub(super) fn power_back(&mut self, host: HostId) {
        self.is_powered[host] = true;
    }

    /// The ends of connections that live on a host; a connection that has not arrived there is none.
    fn ends_of(&self, host: HostId) -> Vec<End> {
        let mut ends = Vec::new();
        for (&connection, made) in &self.connections {
            let has_arrived = made.opening.as_ref().is_none_or(|opening| opening.outcome.is_some());
            let lives = |side: &usize| made.hosts[*side] == host && !made.is_gone[*side];
            let here = [0, 1].into_iter().filter(lives).filter(|side| *side == 0 || has_arrived);
            ends.extend(here.map(|side| End { connection, side }));
        }
        ends
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
