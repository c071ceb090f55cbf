//! Nodes whose disk or clock is not what it was, and voters that never come: each is refused in words that say what to do,
//! or goes on, and harms nobody.

#![allow(clippy::print_stdout, reason = "what is left out is said")]

use std::path::Path;
use std::process::Command;

use compat::clients::{kafka_tool_on, kcat};
use compat::node::{CONTROLLER_PORT, Node, Place, binary};
use compat::wait_until;

/// Records of a topic that was written to by kcat, in the order of reading.
fn consumed(nodes: &[Node], topic: &str) -> usize {
    kcat(&["-b", &nodes[0].bootstrap(), "-C", "-t", topic, "-e", "-q"], "").lines().count()
}

fn produce(nodes: &[Node], topic: &str, partition: &str, count: usize) {
    let records: String = (0..count).map(|number| format!("record {number}\n")).collect();
    let arguments = ["-b", &nodes[0].bootstrap(), "-P", "-t", topic, "-p", partition, "-X", "acks=all"];
    kcat(&arguments, &records);
}

fn create(nodes: &[Node], topic: &str) {
    let arguments = format!("--create --topic {topic} --partitions 3");
    kafka_tool_on(&nodes[0].bootstrap(), "org.apache.kafka.tools.TopicCommand", &arguments, "");
}

fn run_taffrail(node: &Node, arguments: &[&str]) {
    let output = Command::new(binary())
        .args(arguments)
        .args(["-b", &node.bootstrap()])
        .output()
        .expect("the binary is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const REPLICATED: [(&str, &str); 2] = [("default.replication.factor", "3"), ("min.insync.replicas", "2")];

#[test]
fn an_old_disk_that_is_put_back_catches_up_and_takes_nothing_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::found_several(folder.path(), (3, 3), &REPLICATED);
    create(&nodes, "t");
    produce(&nodes, "t", "0", 500);
    nodes[2].stop();
    let (disk, old) = (nodes[2].data_dir(), folder.path().join("old"));
    let moved = |from: &Path, to: &Path| {
        let status = Command::new("cp").arg("-a").args([from, to]).status().expect("cp");
        assert!(status.success());
    };
    moved(&disk, &old);
    nodes[2].start();
    nodes[2].wait_ready();
    produce(&nodes, "t", "0", 500);
    nodes[2].stop();
    produce(&nodes, "t", "0", 500);
    std::fs::remove_dir_all(&disk).expect("it is ours");
    moved(&old, &disk);
    nodes[2].start();
    nodes[2].wait_ready();
    wait_until("all replicas in sync", || under_replicated(&nodes).is_empty());
    // What it leads now is what all had.
    for node in [0, 1] {
        nodes[node].kill();
        wait_until("another leader", || consumed(&nodes[2..], "t") == 1_500);
        nodes[node].start();
        nodes[node].wait_ready();
        wait_until("all replicas in sync", || under_replicated(&nodes).is_empty());
    }
}

fn under_replicated(nodes: &[Node]) -> String {
    let arguments = "--describe --under-replicated-partitions";
    kafka_tool_on(&nodes[2].bootstrap(), "org.apache.kafka.tools.TopicCommand", arguments, "")
        .trim()
        .to_owned()
}

#[test]
fn a_voter_with_a_wiped_disk_is_another_voter() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::found_several(folder.path(), (3, 3), &REPLICATED);
    create(&nodes, "t");
    produce(&nodes, "t", "0", 500);
    let old = nodes[2].voter()["directoryId"].as_str().expect("an id").to_owned();
    nodes[2].kill();
    std::fs::remove_dir_all(nodes[2].data_dir()).expect("it is ours");
    nodes[2].start();
    let told =
        "its disk was replaced or wiped. It is another voter now: remove the old one and add the new one";
    wait_until("the word of a voter", || {
        let said = |node: &mut Node| node.state()["problems"].to_string().contains(told);
        nodes[..2].iter_mut().any(said)
    });
    let new = nodes[2].voter()["directoryId"].as_str().expect("an id").to_owned();
    let endpoint = format!("{}:{CONTROLLER_PORT}", nodes[2].host());
    run_taffrail(&nodes[0], &["quorum", "remove-voter", "--id", "2", "--directory-id", &old]);
    run_taffrail(
        &nodes[0],
        &["quorum", "add-voter", "--id", "2", "--directory-id", &new, "--endpoint", &endpoint],
    );
    nodes[2].wait_ready();
    // It has a vote: with it, one of the others can go.
    nodes[0].kill();
    wait_until("the records", || consumed(&nodes[1..], "t") == 500);
    produce(&nodes[1..], "t", "1", 10);
}

#[test]
fn no_cluster_is_founded_with_a_voter_that_never_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let places: Vec<_> = (0..3).map(|_| Place::on_loopback()).collect();
    let hosts: Vec<_> = places.iter().map(|place| place.host.clone()).collect();
    let place_at = |(id, place)| Node::new(id, &folder.path().join(format!("{id}")), place);
    let mut nodes: Vec<Node> = places.into_iter().enumerate().map(place_at).collect();
    nodes.iter().for_each(|node| node.configure(&hosts, &[]));
    nodes[..2].iter_mut().for_each(Node::start);
    let voters: Vec<_> = nodes[..2].iter_mut().map(Node::voter).collect();
    let founding = |voters: &[serde_json::Value]| {
        serde_json::json!({ "clusterId": "Y2x1c3Rlci1vZi10ZXN0cw", "voters": voters }).to_string()
    };
    let mut missing = voters[0].clone();
    missing["id"] = 2.into();
    let named = [voters.clone(), vec![missing]].concat();
    let (status, body) = nodes[0].http("POST", "/v1/bootstrap", &founding(&named)).expect("an answer");
    assert_eq!(status, 409, "{body}");
    assert!(body.contains("voter 2: node 2 cannot be reached"), "{body}");
    nodes[0].wait_problem("waiting to be bootstrapped");
    // Without it there is a cluster, which works although its configuration names one more node.
    let (status, body) = nodes[0].http("POST", "/v1/bootstrap", &founding(&voters)).expect("an answer");
    assert_eq!(status, 200, "{body}");
    nodes[..2].iter_mut().for_each(Node::wait_ready);
    assert_eq!(nodes[0].state()["problems"].as_array().map_or(0, Vec::len), 0);
}

/// A node whose clock is so much off, and what becomes of records that are sent to what it leads.
fn with_clock(offset: &str, check: impl FnOnce(&[Node], &str)) {
    let Some(library) = FAKETIME.iter().find(|path| Path::new(path).is_file()) else {
        println!("left out: a wrong clock needs libfaketime");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut places: Vec<_> = (0..3).map(|_| Place::on_loopback()).collect();
    // Only the wall clock; what a process measures goes on.
    let words =
        ["env", &format!("LD_PRELOAD={library}"), &format!("FAKETIME={offset}"), "DONT_FAKE_MONOTONIC=1"]
            .map(str::to_owned);
    places[2].launcher = words.to_vec();
    let nodes = Node::found_at(folder.path(), places, 3, &REPLICATED);
    create(&nodes, "t");
    let described = kafka_tool_on(
        &nodes[0].bootstrap(),
        "org.apache.kafka.tools.TopicCommand",
        "--describe --topic t",
        "",
    );
    let led = described.lines().find(|line| line.contains("Leader: 2")).expect("it leads a partition");
    let led =
        led.split("Partition: ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a number");
    check(&nodes, led);
    assert!(under_replicated(&nodes).is_empty());
}

const FAKETIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

#[test]
fn a_clock_that_is_fifty_minutes_off_harms_nobody() {
    for offset in ["+50m", "-50m"] {
        with_clock(offset, |nodes, _| {
            ["0", "1", "2"].iter().for_each(|partition| produce(nodes, "t", partition, 10));
            assert_eq!(consumed(nodes, "t"), 30);
        });
    }
}

#[test]
fn a_clock_that_is_two_hours_behind_refuses_records_of_its_future_and_nothing_else() {
    with_clock("-2h", |nodes, led| {
        for partition in ["0", "1", "2"].iter().filter(|partition| **partition != led) {
            produce(nodes, "t", partition, 10);
        }
        let refused = Command::new("sh")
            .args(["-c", "echo record | timeout 30 kcat -P -t t -p \"$1\" -b \"$2\"", "sh", led])
            .arg(nodes[0].bootstrap())
            .output()
            .expect("kcat");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("Invalid timestamp"), "{said}");
        assert_eq!(consumed(nodes, "t"), 20);
    });
}
