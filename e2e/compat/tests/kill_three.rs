//! Three brokers under `kill -9`, one at a time and all at once, under `SIGSTOP` and under `SIGTERM`, while a producer runs:
//! every acknowledged record is there, once, at its offset, and no delivery failed.

#![allow(clippy::print_stdout, reason = "a test that measures says what")]

mod journal;
mod node;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::admin::{Admin, NewTopic};
use client::{Client, ClientConfig};
use node::Node;

const ROUNDS: u32 = 30;
/// Longer than the session of a broker: it is fenced meanwhile.
const SILENCE: Duration = Duration::from_secs(5);

fn client(nodes: &[Node]) -> Client {
    let bootstrap: Vec<_> = nodes.iter().map(Node::bootstrap).collect();
    let mut config = ClientConfig::new(&bootstrap.join(","));
    config.retry_backoff = Duration::from_millis(10);
    config.retry_backoff_max = Duration::from_millis(100);
    Client::new(config).expect("a client")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_whatever_happens_to_three_brokers() {
    let mut random = journal::seed();
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::found_several(folder.path(), (3, 3), &[]);
    let topic = NewTopic {
        name: journal::TOPIC.to_owned(),
        partitions: Some(1),
        replication_factor: Some(3),
        configs: BTreeMap::from([
            ("min.insync.replicas".to_owned(), "2".to_owned()),
            ("segment.bytes".to_owned(), "4194304".to_owned()),
        ]),
    };
    Admin::new(client(&nodes)).create_topic(&topic).await.expect("the topic is created");

    let stopping = Arc::new(AtomicBool::new(false));
    let producing = tokio::spawn(journal::produce(client(&nodes), Arc::clone(&stopping), random));
    for round in 0..ROUNDS {
        tokio::time::sleep(Duration::from_millis(20 + journal::next(&mut random) % 500)).await;
        let one = usize::try_from(journal::next(&mut random) % 3).expect("is small");
        match round % 3 {
            0 => {
                nodes.iter_mut().for_each(Node::kill);
                nodes.iter_mut().for_each(Node::start);
            }
            1 => {
                nodes[one].kill();
                nodes[one].start();
            }
            _ if round % 2 == 0 => {
                nodes[one].stop();
                nodes[one].start();
            }
            _ => {
                nodes[one].signal("STOP");
                tokio::time::sleep(SILENCE).await;
                nodes[one].signal("CONT");
            }
        }
        nodes.iter_mut().for_each(Node::wait_ready);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    stopping.store(true, Ordering::Relaxed);
    let acknowledged = producing.await.expect("the producer does not panic");
    println!("{} records acknowledged over {ROUNDS} faults", acknowledged.len());
    journal::check(client(&nodes), &acknowledged).await;
}
