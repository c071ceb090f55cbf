//! Nodes whose wall clocks are wrong.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::Admin;
use client::admin::NewTopic;
use client::producer::{Producer, ProducerConfig, ProducerRecord};
use sim::world::{World, WorldConfig};

const MINUTE_MS: i64 = 60_000;
const PARTITIONS: i32 = 6;

/// What came of a record: on which leader, and the error if there was one.
type Delivered = Vec<(i32, Result<(), String>)>;

/// Three nodes, of which the last has a wrong clock, and a record with the right time for every partition. What came of
/// the records half a minute after the start, and the world.
fn produce(offset_ms: i64) -> (World, Delivered) {
    let mut world =
        World::new(&WorldConfig { seed: 7, nodes: 3, controllers: 3, broker_configs: Vec::new() });
    world.hosts[2].clock_offset_ms = offset_ms;
    world.found();
    let client = world.new_client("producer");
    let creating = client.clone();
    let created = world.client(async move {
        let topic = NewTopic {
            name: "t".to_owned(),
            partitions: Some(PARTITIONS),
            replication_factor: Some(3),
            ..NewTopic::default()
        };
        Admin::new(creating).create_topic(&topic).await.expect("a topic");
    });
    assert!(world.run_until(Duration::from_secs(30), |_| created.load(Ordering::Relaxed)));
    world.run_for(Duration::from_secs(30));
    let wall = world.wall();
    let delivered = Arc::new(Mutex::new(Vec::new()));
    let results = Arc::clone(&delivered);
    let done = world.client(async move {
        let config = ProducerConfig { delivery_timeout: Duration::from_secs(5), ..ProducerConfig::default() };
        let producer = Producer::new(client.clone(), config);
        for partition in 0..PARTITIONS {
            let metadata = client.metadata(&["t"]).await.expect("metadata");
            let partitions = &metadata.topic("t").expect("it was created").partitions;
            let index = usize::try_from(partition).expect("it is an index");
            let leader = partitions[index].leader.expect("all nodes are up");
            let record = ProducerRecord {
                topic: "t".to_owned(),
                partition: Some(partition),
                value: Some("value".into()),
                timestamp: Some(wall),
                ..ProducerRecord::default()
            };
            let delivery = producer.send(record).await.expect("a queue").wait().await;
            let result = delivery.map(drop).map_err(|error| error.to_string());
            results.lock().expect("nobody panicked").push((leader, result));
        }
    });
    assert!(world.run_until(Duration::from_secs(60), |_| done.load(Ordering::Relaxed)));
    let delivered = delivered.lock().expect("nobody panicked").clone();
    (world, delivered)
}

/// Everybody serves, every broker is unfenced, every replica in sync.
fn is_healthy(world: &World) -> bool {
    world.nodes().count() == 3
        && world.nodes().all(|node| {
            let (_, image) = node.metadata();
            let topic = image.topic_named("t").expect("it was created");
            node.is_ready() && topic.partitions.iter().all(|state| state.isr.len() == 3)
        })
}

#[test]
fn a_clock_50_minutes_off_works() {
    for offset_ms in [-50 * MINUTE_MS, 50 * MINUTE_MS] {
        let (world, delivered) = produce(offset_ms);
        assert!(is_healthy(&world), "{offset_ms}");
        assert!(delivered.iter().any(|(leader, _)| *leader == 2), "the node leads: {delivered:?}");
        assert!(delivered.iter().all(|(_, result)| result.is_ok()), "{delivered:?}");
    }
}

#[test]
fn producers_of_a_node_2_hours_behind_get_invalid_timestamp_and_nothing_else_breaks() {
    let (mut world, delivered) = produce(-120 * MINUTE_MS);
    assert!(is_healthy(&world));
    assert!(delivered.iter().any(|(leader, _)| *leader == 2), "the node leads: {delivered:?}");
    for (leader, result) in delivered {
        match (leader, result) {
            (2, Err(error)) => assert!(error.contains("INVALID_TIMESTAMP"), "{error}"),
            (2, Ok(())) => panic!("its clock says that the record is from the future"),
            (_, result) => assert_eq!(result, Ok(())),
        }
    }
    world.run_for(Duration::from_secs(60));
    assert!(is_healthy(&world), "it stays so");
}

#[test]
fn a_node_2_hours_ahead_breaks_nothing() {
    let (mut world, delivered) = produce(120 * MINUTE_MS);
    assert!(delivered.iter().all(|(_, result)| result.is_ok()), "{delivered:?}");
    world.run_for(Duration::from_secs(60));
    assert!(is_healthy(&world));
}
