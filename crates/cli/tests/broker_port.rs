//! The Kafka port of a real process, seen from outside: what strangers send costs it little, and it goes on serving.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{CLUSTER, Place, is_running};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

const MEBIBYTE: u64 = 1 << 20;
/// ApiVersions, version 0, correlation id 7, without a client id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];

fn connect(place: &Place) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", place.port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("is a socket");
    stream
}

/// Sends a whole request and reads the whole answer.
fn ask(stream: &mut TcpStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).expect("is read");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("is answered");
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).expect("is whole");
    answer
}

/// What the process has in memory.
fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("is there");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("is a number") * 1024
}

/// This process has a thousand sockets too, and a shell's limit is often that.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to the maximum");
}

#[test]
fn a_thousand_idle_connections_take_less_than_64_mib() {
    allow_many_files();
    let place = Place::new(CLUSTER);
    let mut dev = place.start();
    ask(&mut connect(&place), &API_VERSIONS);
    let before = resident_bytes(place.pid());
    let mut idle: Vec<_> = (0..1000).map(|_| connect(&place)).collect();
    // Each has been served once, so that whatever a connection keeps is there.
    for stream in &mut idle {
        assert_eq!(ask(stream, &API_VERSIONS)[..6], [0, 0, 0, 7, 0, 0]);
    }
    let grown = resident_bytes(place.pid()).saturating_sub(before);
    assert!(grown < 64 * MEBIBYTE, "{grown} bytes for a thousand connections");
    place.ok(&["produce", "orders"], "1\n");
    assert_eq!(place.ok(&["consume", "orders", "--exit"], ""), "1\n");
    drop(idle);
    assert!(dev.stop(Signal::INT), "{}", dev.output());
}

#[test]
fn lengths_that_are_announced_and_never_come_take_no_memory() {
    let place = Place::new(CLUSTER);
    let mut dev = place.start();
    ask(&mut connect(&place), &API_VERSIONS);
    let before = resident_bytes(place.pid());
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut stream = connect(&place);
        stream.write_all(&(100_u32 << 20).to_be_bytes()).expect("is read");
        stream.write_all(&[0; 4000]).expect("is read");
        waiting.push(stream);
    }
    for length in [u32::MAX, i32::MAX as u32, (100 << 20) + 1, 0] {
        let mut stream = connect(&place);
        stream.write_all(&length.to_be_bytes()).expect("is read");
        assert_eq!(stream.read(&mut [0; 1]).ok(), Some(0), "{length} ends the connection");
    }
    std::thread::sleep(Duration::from_millis(200));
    let grown = resident_bytes(place.pid()).saturating_sub(before);
    assert!(grown < 64 * MEBIBYTE, "{grown} bytes");
    place.ok(&["produce", "orders"], "1\n");
    drop(waiting);
    assert!(dev.stop(Signal::INT), "{}", dev.output());
}

#[test]
fn other_protocols_are_turned_away_at_once_and_hurt_nobody() {
    let place = Place::new(CLUSTER);
    let mut dev = place.start();
    place.ok(&["produce", "orders"], "1\n");
    let pid = place.pid();
    // What scanners, browsers and misconfigured clients send; as a length each is out of bounds.
    for greeting in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let mut stream = connect(&place);
        stream.write_all(greeting).expect("is read");
        let started = Instant::now();
        assert!(matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)), "{greeting:?} is not answered");
        assert!(started.elapsed() < Duration::from_secs(5), "{greeting:?} is not waited for");
    }
    assert!(is_running(pid) && place.pid() == pid);
    assert_eq!(place.ok(&["consume", "orders", "--exit"], ""), "1\n");
    assert!(dev.stop(Signal::INT), "{}", dev.output());
}
