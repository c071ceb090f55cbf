//! A cluster of several nodes under Kafka's own tools: what is asked of the controller, whichever broker is asked.

use std::path::Path;

use compat::clients::kafka_tool;
use compat::node::Node;
use compat::wait_until;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const QUORUM: &str = "org.apache.kafka.tools.MetadataQuorumCommand";
const REASSIGN: &str = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
const ELECT: &str = "org.apache.kafka.tools.LeaderElectionCommand";
const CONFIGS: [(&str, &str); 2] = [("default.replication.factor", "3"), ("min.insync.replicas", "2")];

fn run(node: &Node, class: &str, arguments: &str) -> String {
    let bootstrap = node.bootstrap();
    let mut all = vec!["--bootstrap-server", &bootstrap];
    all.extend(arguments.split_whitespace());
    kafka_tool(class, &all)
}

/// A number of one broker in `/v1/state`.
fn of_broker(node: &mut Node, id: usize, field: &str) -> u64 {
    let state = node.state();
    let brokers = state["cluster"]["brokers"].as_array().expect("brokers").clone();
    let broker = brokers.iter().find(|broker| broker["id"] == id).unwrap_or_else(|| panic!("{state}"));
    broker[field].as_u64().unwrap_or_else(|| panic!("{state}"))
}

fn post(node: &Node, path: &str, body: &str) -> u16 {
    node.http("POST", path, body).expect("an answer").0
}

/// Every partition of `a` to brokers 1 to 3.
fn plan(folder: &Path) -> String {
    let partition = |index: usize| {
        let replicas = [1 + index % 3, 1 + (index + 1) % 3, 1 + (index + 2) % 3];
        serde_json::json!({ "topic": "a", "partition": index, "replicas": replicas })
    };
    let plan = serde_json::json!({ "version": 1, "partitions": (0..6).map(partition).collect::<Vec<_>>() });
    let path = folder.join("plan.json");
    std::fs::write(&path, plan.to_string()).expect("a plan");
    path.display().to_string()
}

#[test]
fn kafkas_tools_see_and_move_what_several_nodes_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::found_several(folder.path(), (4, 3), &CONFIGS);
    let status = run(&nodes[3], QUORUM, "describe --status");
    assert!(status.contains("MaxFollowerLag:         0"), "{status}");
    assert!(status.contains("CurrentObservers:       [{\"id\": 3"), "{status}");
    let replication = run(&nodes[1], QUORUM, "describe --replication");
    assert_eq!(replication.matches("Follower").count(), 2, "{replication}");
    assert_eq!(replication.matches("Observer").count(), 1, "{replication}");

    run(&nodes[2], TOPICS, "--create --topic a --partitions 6");
    let plan = plan(folder.path());
    run(&nodes[1], REASSIGN, &format!("--execute --reassignment-json-file {plan} --throttle 50000000"));
    wait_until("the end of the reassignment", || of_broker(&mut nodes[1], 0, "replicas") == 0);
    let verified = run(&nodes[1], REASSIGN, &format!("--verify --reassignment-json-file {plan}"));
    assert_eq!(verified.matches("is completed.").count(), 6, "{verified}");
    assert!(run(&nodes[0], REASSIGN, "--list").contains("No partition reassignments found."));
    run(&nodes[0], ELECT, "--election-type preferred --all-topic-partitions");
    for broker in 1..=3 {
        wait_until("an even spread of leaders", || of_broker(&mut nodes[0], broker, "leaders") == 2);
    }

    nodes[3].kill();
    wait_until("the loss of a broker", || of_broker(&mut nodes[0], 3, "leaders") == 0);
    let short = run(&nodes[0], TOPICS, "--describe --under-replicated-partitions");
    assert_eq!(short.matches("Topic: a").count(), 6, "{short}");
    let at_min = run(&nodes[0], TOPICS, "--describe --at-min-isr-partitions");
    assert_eq!(at_min.matches("Topic: a").count(), 6, "{at_min}");
    assert!(!run(&nodes[0], TOPICS, "--describe --unavailable-partitions").contains("Topic: a"));
}

#[test]
fn brokers_are_emptied_filled_and_restarted_by_leave() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::found_several(folder.path(), (4, 3), &CONFIGS);
    run(&nodes[0], TOPICS, "--create --topic a --partitions 8");
    assert_eq!(of_broker(&mut nodes[0], 3, "replicas"), 6);
    // Any node takes the intent, also one that has no vote.
    assert_eq!(post(&nodes[3], "/v1/cordon", "{\"ids\": [3]}"), 200);
    assert_eq!(post(&nodes[3], "/v1/rebalance", "{}"), 200);
    wait_until("an empty broker", || of_broker(&mut nodes[0], 3, "replicas") == 0);
    wait_until("the end", || nodes[0].state()["cluster"]["rebalance"]["isActive"] == false);
    assert_eq!(post(&nodes[1], "/v1/cordon", "{\"ids\": [2, 3]}"), 409, "three replicas need three brokers");
    assert_eq!(post(&nodes[1], "/v1/cordon", "{\"ids\": []}"), 200);
    assert_eq!(post(&nodes[1], "/v1/rebalance", "{\"bytesPerSecond\": 10000000}"), 200);
    wait_until("a full broker", || of_broker(&mut nodes[0], 3, "replicas") == 6);
    wait_until("the end", || nodes[0].state()["cluster"]["rebalance"]["isActive"] == false);
    for broker in 0..=3 {
        wait_until("an even spread of leaders", || of_broker(&mut nodes[0], broker, "leaders") == 2);
    }

    let allowed = |node: &Node, id: usize| {
        let (status, body) =
            node.http("GET", &format!("/v1/restart-check?nodes={id}"), "").expect("an answer");
        assert_eq!(status, 200, "{body}");
        body.contains("\"allowed\":true")
    };
    assert!(allowed(&nodes[1], 3));
    assert_eq!(post(&nodes[1], "/v1/drain", "{\"node\": 3, \"ttl\": 60}"), 200);
    assert_eq!(of_broker(&mut nodes[1], 3, "leaders"), 0);
    assert!(!allowed(&nodes[1], 2), "one at a time");
    assert_eq!(post(&nodes[1], "/v1/drain", "{\"node\": 2, \"ttl\": 60}"), 409);
    nodes[3].stop();
    assert!(!allowed(&nodes[1], 2), "its partitions have no replica to spare");
    nodes[3].start();
    nodes[3].wait_ready();
    wait_until("its leaderships", || of_broker(&mut nodes[1], 3, "leaders") == 2);
    assert!(allowed(&nodes[1], 2), "the grant is over");
}
