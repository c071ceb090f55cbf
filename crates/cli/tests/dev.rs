//! `taffrail dev` and the command line against it, as a person uses them: real processes, real ports.

mod common;

use common::{CLUSTER, Place, is_running, send, wait_until};
use rustix::process::Signal;

#[test]
fn a_cluster_comes_up_serves_and_keeps_its_data() {
    let place = Place::new(CLUSTER);
    let mut dev = place.start();
    assert!(dev.output().contains("orders") && dev.output().contains("created with 2 partitions"));
    let produced = place.ok(&["produce", "orders", "-k", ":", "-H", "from=test"], "a:1\nb:2\na:3\n");
    assert_eq!(produced, "produced 3 records to orders\n");
    let consumed = place.ok(&["consume", "orders", "--exit", "--keys", "--headers"], "");
    let mut lines: Vec<_> = consumed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["from=test\ta\t1", "from=test\ta\t3", "from=test\tb\t2"]);

    assert!(dev.stop(Signal::INT), "{}", dev.output());
    dev.wait_for("stopped");
    assert!(!place.data().join("node-0/pid").exists());

    let mut again = place.start();
    again.wait_for("found the cluster of the last time");
    let json = place.ok(&["consume", "orders", "--exit", "-o", "json"], "");
    assert_eq!(json.lines().count(), 3);
    assert!(json.contains(r#""key":"b","value":"2","headers":[{"key":"from","value":"test"}]"#), "{json}");
    assert!(again.stop(Signal::TERM), "{}", again.output());
}

#[test]
fn topics_follow_the_file() {
    let place = Place::new(CLUSTER);
    let mut dev = place.start();
    let more = CLUSTER.replace("partitions: 2", "partitions: 4") + "  config:\n    retention.ms: 60000\n";
    place.write(&more);
    dev.wait_for("raised to 4 partitions");
    dev.wait_for("retention.ms=60000");
    let described = place.ok(&["topics", "describe", "orders"], "");
    assert!(described.contains("Partitions:  4") && described.contains("retention.ms=60000"), "{described}");

    place.write(&more.replace("partitions: 4", "partitions: 3"));
    dev.wait_for("partitions cannot be removed");
    place.write(&more.replace("retention.ms", "retention.sm"));
    dev.wait_for("did you mean retention.ms?");
    place.write(&more.replacen("replicas: 1", "replicas: 0", 1));
    dev.wait_for("is not 1 to 1000");

    let (cluster, _) = CLUSTER.split_once("---\n").expect("two documents");
    place.write(cluster);
    dev.wait_for("deleted, as its resource was");
    assert!(place.ok(&["topics", "list"], "").contains("no topics yet"));
    assert!(dev.stop(Signal::INT));
}

#[test]
fn a_broker_that_dies_is_reported_and_dies_with_dev() {
    let place = Place::new(CLUSTER);
    let mut dev = place.start();
    send(place.pid(), Signal::KILL);
    let line = dev.wait_for("ended by itself");
    assert!(line.contains("broker-0"), "{line}");
    dev.wait_for("broker --config");
    assert!(dev.stop(Signal::INT), "{}", dev.output());
    dev.wait_for("has ended before");
    assert!(!dev.output().contains("stopped, and its data is kept"));

    let mut dev = place.start();
    let broker = place.pid();
    dev.child.kill().expect("was running");
    dev.child.wait().expect("is a child");
    wait_until("the broker to follow dev", || (!is_running(broker)).then_some(()));
}

#[test]
fn mistakes_are_answered_with_a_sentence() {
    let place = Place::new(&CLUSTER.replace("partitions: 2", "partition: 2"));
    let refused = place.command().output().expect("starts");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{text}");
    let line =
        "demo.yaml: line 18, KafkaTopic orders: spec.partition: is not a field: did you mean partitions?";
    assert!(text.contains(line), "{text}");

    place.write(CLUSTER);
    let _taken = std::net::TcpListener::bind(("127.0.0.1", place.port)).expect("was free");
    let refused = place.command().output().expect("starts");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text.contains(&format!("port {}", place.port)) && text.contains("--port"), "{text}");

    let nobody = place.run(&["topics", "list", "-b", "127.0.0.1:1"], "");
    let text = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert_eq!((nobody.status.code(), text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.starts_with("error: no broker answers at 127.0.0.1:1"), "{text}");
    assert_eq!(place.run(&["topics", "lst"], "").status.code(), Some(2));
}

#[test]
fn three_brokers_keep_every_record_when_one_dies_and_take_it_back() {
    let three = CLUSTER.replace("replicas: 1", "replicas: 3");
    let place = Place::new(&three);
    let mut dev = place.start();
    let described = place.ok(&["topics", "describe", "orders"], "");
    assert!(described.contains("Replicas:    3"), "{described}");
    // Whoever leads: half of the partitions are elsewhere.
    for topic in ["a", "b", "c", "d", "e", "f"] {
        place.ok(&["topics", "create", topic, "-p", "1", "-r", "3", "-c", "min.insync.replicas=2"], "");
        place.ok(&["produce", topic], "before\n");
    }
    send(place.pid_of(1), Signal::KILL);
    dev.wait_for("ended by itself");
    for topic in ["a", "b", "c", "d", "e", "f"] {
        place.ok(&["produce", topic], "after\n");
        assert_eq!(place.ok(&["consume", topic, "--exit"], ""), "before\nafter\n");
    }
    assert!(dev.stop(Signal::INT), "{}", dev.output());
    let mut again = place.start();
    again.wait_for("found the cluster of the last time");
    wait_until("all replicas to be in sync", || {
        let described = place.ok(&["topics", "describe", "a"], "");
        let row = described.lines().last().unwrap_or_default().to_owned();
        (row.split_whitespace().nth(4).is_some_and(|isr| isr.split(',').count() == 3)).then_some(())
    });
    assert!(again.stop(Signal::INT), "{}", again.output());
}

#[test]
fn brokers_join_when_the_file_says_so() {
    let place = Place::new(CLUSTER);
    let mut dev = place.start();
    place.ok(&["produce", "orders"], "before\n");
    place.write(&CLUSTER.replacen("replicas: 1", "replicas: 2", 1));
    dev.wait_for("broker-1       ready");
    place.ok(&["topics", "create", "both", "-p", "1", "-r", "2"], "");
    place.ok(&["produce", "both"], "after\n");
    assert!(dev.stop(Signal::INT), "{}", dev.output());
}

#[test]
fn a_cluster_grows_to_three_and_shrinks_to_one_with_its_records() {
    let place = Place::new(CLUSTER);
    let mut dev = place.start();
    place.ok(&["produce", "orders"], "1\n2\n3\n");
    place.write(&CLUSTER.replacen("replicas: 1", "replicas: 3", 1));
    dev.wait_for("broker 2 votes");
    dev.wait_for("replicas are spread over 3 brokers");
    place.ok(&["topics", "create", "all", "-p", "1", "-r", "3"], "");
    place.write(CLUSTER);
    dev.wait_for("topic all has 3 replicas and there would be 1 broker");
    place.ok(&["topics", "delete", "all"], "");
    // An edit that asks for the same once more.
    place.write(&CLUSTER.replacen("replicas: 1", "replicas: 3", 1));
    wait_until("the brokers to stay", || dev.output().matches("spread over 3 brokers").nth(1).map(drop));
    place.write(CLUSTER);
    dev.wait_for("broker 1 is gone");
    assert!(!place.data().join("node-1").exists() && !place.data().join("node-2").exists());
    assert_eq!(place.ok(&["consume", "orders", "--exit"], "").lines().count(), 3);
    assert!(dev.stop(Signal::INT), "{}", dev.output());
}
