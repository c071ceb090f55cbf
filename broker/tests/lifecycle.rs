//! How a node starts, what it refuses to start on, and how it stops.

mod common;

use common::{Broker, free_port, node_config, produce, refused};
use protocol::messages::MetadataRequest;

#[test]
fn a_clean_stop_leaves_its_marker_and_keeps_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let marker = folder.path().join("data/.kafka_cleanshutdown");
    let broker = Broker::start(folder.path(), "");
    assert!(!marker.exists(), "a running node is not stopped");
    broker.create_topic("orders");
    let append = |broker: &Broker| {
        let response = broker.connect().ask(&produce("orders", b"value", -1), 9);
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!(partition.error_code, 0);
        partition.base_offset
    };
    assert_eq!(append(&broker), 0);
    broker.stop();
    assert!(marker.exists(), "a clean stop says so");
    let broker = Broker::start(folder.path(), "");
    assert!(!marker.exists(), "and the next start takes it away");
    assert_eq!(append(&broker), 1);
    broker.stop();
}

#[test]
fn a_stop_waits_for_nobody_who_only_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = Broker::start(folder.path(), "");
    let mut idle = broker.connect();
    let started = std::time::Instant::now();
    broker.stop();
    assert!(started.elapsed() < std::time::Duration::from_secs(3));
    assert!(idle.read().is_none());
}

#[test]
fn a_folder_of_another_node_or_cluster_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    Broker::start(folder.path(), "").stop();
    let mut other_node = node_config(folder.path(), free_port(), free_port(), "");
    other_node.node_id = 1;
    let error = refused(other_node);
    assert!(error.contains("node") && error.contains('0') && error.contains('1'), "{error}");
    let other_cluster = node_config(folder.path(), free_port(), free_port(), "clusterId: another\n");
    let error = refused(other_cluster);
    assert!(error.contains("another") && error.contains(common::CLUSTER), "{error}");
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = Broker::start(folder.path(), "");
    let error = refused(node_config(folder.path(), free_port(), free_port(), ""));
    assert!(error.contains("data"), "{error}");
    broker.stop();
}

#[test]
fn a_port_in_use_is_named_with_its_field() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let folder = tempfile::tempdir().expect("a folder");
    let error = refused(node_config(folder.path(), free_port(), port, ""));
    assert!(error.contains("admin.bind") && error.contains(&port.to_string()), "{error}");
    let error = refused(node_config(folder.path(), port, free_port(), ""));
    assert!(error.contains("listeners[0].bind") && error.contains(&port.to_string()), "{error}");
}

#[test]
fn clients_are_told_what_the_file_says_without_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("advertised.json");
    let broker = Broker::start(folder.path(), &format!("advertisedFile: {}\n", file.display()));
    let port = i32::from(broker.port);
    let told = || {
        let response = broker.connect().ask(&MetadataRequest::default(), 9);
        response.brokers.iter().map(|one| (one.host.to_string(), one.port)).collect::<Vec<_>>()
    };
    let wait_for = |host: &str, port: i32| {
        let started = std::time::Instant::now();
        while told() != [(host.to_owned(), port)] {
            assert!(started.elapsed().as_secs() < 20, "{:?}", told());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    assert_eq!(told(), [("127.0.0.1".to_owned(), port)]);
    std::fs::write(&file, r#"{"PLAINTEXT": {"host": "kafka.example.com", "port": 443}}"#)
        .expect("is writable");
    wait_for("kafka.example.com", 443);
    // A slip sends nobody away.
    std::fs::write(&file, "{").expect("is writable");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(told(), [("kafka.example.com".to_owned(), 443)]);
    std::fs::remove_file(&file).expect("is there");
    wait_for("127.0.0.1", port);
    broker.stop();
}
