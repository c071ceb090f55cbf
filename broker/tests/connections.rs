//! What comes over a connection may be anything: it costs the broker neither memory nor order, and hurts nobody else.

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{Broker, Connection, produce};
use protocol::messages::{
    ApiVersionsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest, fetch_request,
};
use protocol::{ApiKey, Request, frame};
use types::ErrorCode;

/// A folder and a broker in it.
fn broker(more: &str) -> (tempfile::TempDir, Broker) {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = Broker::start(folder.path(), more);
    (folder, broker)
}

/// Any client is served as if nothing had happened.
fn assert_serves(broker: &Broker) {
    let response = broker.connect().ask(&versions(), 3);
    assert_eq!(response.error_code, 0);
}

fn versions() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..Default::default()
    }
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("is Linux");
    let pages: u64 = pages.split(' ').nth(1).expect("is there").parse().expect("is a number");
    pages * rustix::param::page_size() as u64
}

#[test]
fn random_bytes_close_the_connection_and_nothing_else() {
    let (_folder, broker) = broker("");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..300 {
        let mut connection = broker.connect();
        let mut noise = Vec::new();
        for _ in 0..(round % 40) + 1 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.extend_from_slice(&state.to_be_bytes());
        }
        if round % 2 == 0 {
            // With a true length and an API that exists, so that bodies are decoded too.
            let key = SERVED_KEYS[round % SERVED_KEYS.len()];
            let length = u32::try_from(noise.len() + 4).expect("is short");
            connection.write(&length.to_be_bytes());
            connection.write(&key.to_be_bytes());
            connection.write(&(state as u16 % 12).to_be_bytes());
        }
        connection.write(&noise);
        connection.stream.shutdown(std::net::Shutdown::Write).ok();
        // Noise can be a request, by chance; then there are answers before the end.
        while connection.read().is_some() {}
    }
    assert_serves(&broker);
    broker.stop();
}

const SERVED_KEYS: [u16; 14] = [0, 1, 2, 3, 8, 9, 10, 11, 14, 18, 19, 20, 32, 60];

#[test]
fn announced_lengths_take_no_memory() {
    let (_folder, broker) = broker("");
    assert_serves(&broker);
    let before = resident_bytes();
    let mut waiting = Vec::new();
    for _ in 0..100 {
        // 100 MiB is allowed, and never comes: 10 GiB if it were believed.
        let mut connection = broker.connect();
        connection.write(&(100_u32 << 20).to_be_bytes());
        connection.write(&[0; 1000]);
        waiting.push(connection);
    }
    for length in [i32::MAX, -1, i32::MIN, (100 << 20) + 1] {
        let mut connection = broker.connect();
        connection.write(&length.to_be_bytes());
        assert!(connection.read().is_none(), "{length} is refused");
    }
    assert_serves(&broker);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
    broker.stop();
}

#[test]
fn half_frames_end_without_a_trace() {
    let (_folder, broker) = broker("");
    broker.create_topic("orders");
    let whole = frame::encode_request(&produce("orders", b"value", -1), 9, 1, None).expect("is valid").bytes;
    for cut in 1..whole.len() {
        broker.connect().write(&whole[..cut]);
    }
    // The last one comes in two halves, and counts.
    let mut connection = broker.connect();
    connection.write(&whole[..20]);
    std::thread::sleep(Duration::from_millis(50));
    connection.write(&whole[20..]);
    let (_, response) = connection.receive::<ProduceRequest>(9);
    let partition = &response.responses[0].partition_responses[0];
    assert_eq!((partition.error_code, partition.base_offset), (0, 0));
    broker.stop();
}

#[test]
fn versions_that_do_not_exist_are_told_to_api_versions_alone() {
    let (_folder, broker) = broker("");
    // The header of a version of the future is the newest that we know.
    let mut future = broker.connect();
    let mut bytes = frame::encode_request(&versions(), 5, 77, None).expect("is valid").bytes;
    bytes[6..8].copy_from_slice(&99_i16.to_be_bytes());
    future.write(&bytes);
    let (correlation_id, response) = future.receive::<ApiVersionsRequest>(0);
    assert_eq!((correlation_id, response.error_code), (77, ErrorCode::UnsupportedVersion.code()));
    let range = &response.api_keys[0];
    assert_eq!((response.api_keys.len(), range.api_key), (1, ApiKey::ApiVersions.code()));
    assert_eq!((range.min_version, range.max_version), (0, 5));
    // The connection goes on, in a version that there is.
    assert_eq!(future.ask(&versions(), range.max_version).error_code, 0);

    for (key, version) in [(3_i16, 99_i16), (0, 2), (1, 3), (3, -1), (4, 0), (52, 0), (1000, 0), (-1, 0)] {
        let mut connection = broker.connect();
        let mut bytes = frame::encode_request(&MetadataRequest::default(), 1, 1, None).expect("valid").bytes;
        bytes[4..6].copy_from_slice(&key.to_be_bytes());
        bytes[6..8].copy_from_slice(&version.to_be_bytes());
        connection.write(&bytes);
        assert!(connection.read().is_none(), "key {key} version {version}");
    }
    assert_serves(&broker);
    broker.stop();
}

#[test]
fn who_means_another_node_or_cluster_is_sent_away() {
    let (_folder, broker) = broker("");
    let asks = |cluster: &str, node_id: i32| {
        let target =
            ApiVersionsRequest { cluster_id: Some(cluster.to_owned().into()), node_id, ..versions() };
        broker.connect().ask(&target, 5).error_code
    };
    assert_eq!(asks(common::CLUSTER, 0), 0);
    assert_eq!(asks(common::CLUSTER, -1), 0);
    assert_eq!(asks("another", 0), ErrorCode::RebootstrapRequired.code());
    assert_eq!(asks(common::CLUSTER, 1), ErrorCode::RebootstrapRequired.code());
    broker.stop();
}

#[test]
fn requests_in_one_write_are_answered_in_their_order() {
    let (_folder, broker) = broker("");
    broker.create_topic("orders");
    let mut connection = broker.connect();
    let mut all = Vec::new();
    let add = |all: &mut Vec<u8>, frame: frame::Frame| all.extend_from_slice(&frame.bytes);
    // A fetch that waits goes first: those behind it are answered after it.
    let patient = FetchRequest {
        max_wait_ms: 300,
        min_bytes: 1 << 20,
        max_bytes: 1 << 20,
        topics: vec![fetch_request::FetchTopic {
            topic: "orders".into(),
            partitions: vec![fetch_request::FetchPartition {
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    add(&mut all, encode(&patient, 11, 0));
    for id in 1..200 {
        // Every third wants no answer, and is no gap.
        let acks = if id % 3 == 0 { 0 } else { -1 };
        add(&mut all, encode(&produce("orders", &i32::to_be_bytes(id), acks), 9, id));
    }
    add(&mut all, encode(&ListOffsetsRequest::default(), 1, 200));
    connection.write(&all);

    let (first, _) = connection.receive::<FetchRequest>(11);
    assert_eq!(first, 0);
    for id in (1..200).filter(|id| id % 3 != 0) {
        let (correlation_id, response) = connection.receive::<ProduceRequest>(9);
        let partition = &response.responses[0].partition_responses[0];
        // Appended in the order in which they came, those without an answer among them.
        assert_eq!((correlation_id, partition.error_code, partition.base_offset), (id, 0, i64::from(id) - 1));
    }
    assert_eq!(connection.receive::<ListOffsetsRequest>(1).0, 200);
    broker.stop();
}

fn encode<R: Request>(request: &R, version: i16, correlation_id: i32) -> frame::Frame {
    frame::encode_request(request, version, correlation_id, None).expect("is valid")
}

#[test]
fn a_client_that_reads_nothing_is_not_served_without_end() {
    let (_folder, broker) = broker("");
    assert_serves(&broker);
    let before = resident_bytes();
    let connection = broker.connect();
    connection.stream.set_write_timeout(Some(Duration::from_millis(500))).expect("is a socket");
    let bytes = encode(&versions(), 3, 1).bytes.repeat(1000);
    let started = Instant::now();
    let mut stream: &TcpStream = &connection.stream;
    // Until the broker stops reading; the kernel's buffers take some.
    while stream.write_all(&bytes).is_ok() {
        assert!(started.elapsed() < Duration::from_secs(60), "it reads on and on");
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
    assert_serves(&broker);
    drop(connection);
    broker.stop();
}

#[test]
fn a_thousand_idle_connections_take_little_memory() {
    let (_folder, broker) = broker("");
    assert_serves(&broker);
    let before = resident_bytes();
    let mut idle: Vec<Connection> = (0..1000).map(|_| broker.connect()).collect();
    for connection in &mut idle {
        assert_eq!(connection.ask(&versions(), 3).error_code, 0);
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
    drop(idle);
    broker.stop();
}

#[test]
fn idle_and_surplus_connections_are_closed() {
    let (_folder, broker) = broker("config: {connections.max.idle.ms: 300, max.connections.per.ip: 3}\n");
    let mut first: Vec<_> = (0..3).map(|_| broker.connect()).collect();
    for connection in &mut first {
        assert_eq!(connection.ask(&versions(), 3).error_code, 0);
    }
    assert!(broker.connect().read().is_none(), "a fourth is refused");
    for connection in &mut first {
        assert!(connection.read().is_none(), "idle connections are closed");
    }
    drop(first);
    // They are counted out a moment after they are closed.
    std::thread::sleep(Duration::from_millis(200));
    assert_serves(&broker);
    broker.stop();
}

#[test]
fn who_stops_in_the_middle_of_a_request_is_idle_too() {
    let (_folder, broker) = broker("config: {connections.max.idle.ms: 300}\n");
    let mut half = broker.connect();
    half.write(&encode(&versions(), 3, 1).bytes[..9]);
    let mut length_only = broker.connect();
    length_only.write(&[0, 0]);
    let mut silent = broker.connect();
    let started = Instant::now();
    for connection in [&mut half, &mut length_only, &mut silent] {
        assert!(connection.read().is_none(), "it is closed");
    }
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_serves(&broker);
    broker.stop();
}

#[test]
fn connections_have_a_limit_over_all_addresses() {
    let (_folder, broker) = broker("config: {max.connections: 5}\n");
    let mut open: Vec<_> = (0..5).map(|_| broker.connect()).collect();
    for connection in &mut open {
        assert_eq!(connection.ask(&versions(), 3).error_code, 0);
    }
    assert!(broker.connect().read().is_none(), "a sixth is refused");
    // Those that are there are served on, and one that goes makes room.
    assert_eq!(open[4].ask(&versions(), 3).error_code, 0);
    open.pop();
    std::thread::sleep(Duration::from_millis(200));
    assert_serves(&broker);
    broker.stop();
}
