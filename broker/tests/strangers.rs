//! Requests that are well formed and make no sense: every served API in every version, with random values, then with
//! zeros and turned bits in them. Nobody panics, nobody else notices, and the node stops cleanly. `STRANGERS_SEED`
//! repeats a run; a failure prints its seed.

mod common;
#[path = "../../crates/core/protocol/tests/schema/mod.rs"]
mod schema;

use std::io::Read;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Broker, produce};
use protocol::messages::{ApiVersionsRequest, FetchRequest, ProduceRequest, fetch_request};
use protocol::{ApiKey, Records};
use record::{BatchBuilder, Compression};
use schema::{Schema, Seed};
use types::Timestamp;

/// For each version of each API.
const ROUNDS: u64 = 24;
/// Some requests wait for others, by right and for long: their answers are not waited for.
const PATIENCE: Duration = Duration::from_millis(15);

/// What panicked, and where.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[test]
fn senseless_requests_hurt_nobody() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let seed = std::env::var("STRANGERS_SEED").map_or(now, |text| text.parse().expect("is a number"));
    println!("STRANGERS_SEED={seed}");
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        PANICS.lock().expect("is only pushed to").push(panic.to_string());
    }));
    let folder = tempfile::tempdir().expect("a folder");
    let broker = Broker::start(folder.path(), "config: {offsets.topic.num.partitions: 1}\n");
    // Random names are often one letter, so that some of them exist.
    for letter in 'a'..='z' {
        broker.create_topic(&letter.to_string());
        broker.connect().ask(&produce(&letter.to_string(), b"value", -1), 9);
    }
    broker.create_topic("untouched-by-chance");
    broker.connect().ask(&young("untouched-by-chance"), 9);

    let mut seed = Seed(seed);
    for (key, name, versions) in served(&broker) {
        let schema = Schema::read("message", &format!("{name}Request"));
        for version in versions {
            for round in 0..ROUNDS {
                let mut body = schema.bytes(version, &mut seed, true);
                match round % 3 {
                    0 => {}
                    1 => zero(&mut body, &mut seed),
                    _ => turn_bits(&mut body, &mut seed),
                }
                send(&broker, key, version, &body);
            }
        }
    }

    let panics = PANICS.lock().expect("is only pushed to").clone();
    assert!(panics.is_empty(), "{panics:#?}");
    assert_eq!(first_value(&broker), b"value");
    broker.stop();
    // What they asked for and got must not keep the node from starting.
    let again = Broker::start(folder.path(), "config: {offsets.topic.num.partitions: 1}\n");
    assert_eq!(first_value(&again), b"value");
    again.stop();
    let panics = PANICS.lock().expect("is only pushed to").clone();
    assert!(panics.is_empty(), "{panics:#?}");
}

/// Key, name and versions of every API that the broker has.
fn served(broker: &Broker) -> Vec<(i16, String, std::ops::RangeInclusive<i16>)> {
    let request = ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let answer = broker.connect().ask(&request, 3);
    let apis = answer.api_keys.iter().map(|api| {
        let name = ApiKey::try_from(api.api_key).expect("exists").name().to_owned();
        // Produce names versions that nobody can send any more, for the sake of old clients.
        let first = if name == "Produce" { 3 } else { api.min_version };
        (api.api_key, name, first..=api.max_version)
    });
    apis.collect()
}

/// Numbers become zero, so that indexes exist, epochs are current and times are over.
fn zero(body: &mut [u8], seed: &mut Seed) {
    for _ in 0..1 + body.len() / 16 {
        let at = seed.below(body.len().max(1) as u64) as usize;
        body.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0);
    }
}

fn turn_bits(body: &mut [u8], seed: &mut Seed) {
    for _ in 0..1 + seed.below(4) {
        let at = seed.below(body.len().max(1) as u64) as usize;
        if let Some(byte) = body.get_mut(at) {
            *byte ^= 1 << seed.below(8);
        }
    }
}

fn send(broker: &Broker, key: i16, version: i16, body: &[u8]) {
    let api = ApiKey::try_from(key).expect("exists");
    let mut frame = Vec::new();
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(7_i32.to_be_bytes());
    frame.extend((-1_i16).to_be_bytes());
    if api.request_header_version(version) >= 2 {
        frame.push(0);
    }
    frame.extend(body);
    let mut connection = broker.connect();
    connection.write(&(frame.len() as u32).to_be_bytes());
    connection.write(&frame);
    connection.stream.set_read_timeout(Some(PATIENCE)).expect("is a socket");
    let _ = connection.stream.read(&mut [0; 16]);
}

/// A record of today: retention has no reason to take it.
fn young(topic: &str) -> ProduceRequest {
    let mut builder = BatchBuilder::new(Compression::None);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    builder.push(Timestamp(now as i64), None, Some(b"value"), &[]);
    let mut request = produce(topic, b"value", -1);
    let records = Records::Inline(builder.build().expect("fits"));
    request.topic_data[0].partition_data[0].records = Some(records);
    request
}

/// The value of the record that everybody should have left alone.
fn first_value(broker: &Broker) -> Vec<u8> {
    let partition = fetch_request::FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = fetch_request::FetchTopic {
        topic: "untouched-by-chance".into(),
        partitions: vec![partition],
        ..Default::default()
    };
    let request = FetchRequest { max_bytes: 1 << 20, topics: vec![topic], ..Default::default() };
    let response = broker.connect().ask(&request, 11);
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    let records = partition.records.clone().expect("has records");
    let Records::Inline(bytes) = records else { panic!("decoded records are inline") };
    // Of the only record of the only batch: the value, before the number of its headers.
    bytes[bytes.len() - 6..bytes.len() - 1].to_vec()
}
