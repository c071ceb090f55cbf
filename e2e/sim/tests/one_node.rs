//! The thinnest simulation: one node, one producer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::Admin;
use client::admin::NewTopic;
use client::producer::{Producer, ProducerConfig, ProducerRecord};
use sim::world::{World, WorldConfig};
use types::Timestamp;

/// Offsets of a hundred records, the time that it took, and what went over the network.
fn produce(seed: u64) -> (Vec<i64>, Duration, u64) {
    let mut world = World::new(&WorldConfig { seed, nodes: 1, controllers: 1, broker_configs: Vec::new() });
    world.found();
    let client = world.new_client("producer");
    let offsets = Arc::new(Mutex::new(Vec::new()));
    let acknowledged = Arc::clone(&offsets);
    let done = world.client(async move {
        let topic = NewTopic {
            name: "t".to_owned(),
            partitions: Some(1),
            replication_factor: Some(1),
            ..NewTopic::default()
        };
        Admin::new(client.clone()).create_topic(&topic).await.expect("a topic");
        let producer = Producer::new(client, ProducerConfig::default());
        for n in 0..100 {
            let record = ProducerRecord {
                topic: "t".to_owned(),
                value: Some(format!("value {n}").into()),
                timestamp: Some(Timestamp(n)),
                ..ProducerRecord::default()
            };
            let delivered =
                producer.send(record).await.expect("a queue").wait().await.expect("an acknowledgement");
            acknowledged.lock().expect("nobody panicked").push(delivered.offset);
        }
    });
    let patience = Duration::from_secs(60);
    assert!(world.run_until(patience, |_| done.load(std::sync::atomic::Ordering::Relaxed)));
    let offsets = offsets.lock().expect("nobody panicked").clone();
    (offsets, world.now(), world.net.fingerprint())
}

#[test]
fn a_seed_repeats_every_byte() {
    let first = produce(1);
    assert_eq!(first.0, (0..100).collect::<Vec<_>>());
    assert_eq!(produce(1), first);
    assert_ne!(produce(2).2, first.2);
}
