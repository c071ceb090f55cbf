//! What `taffrail dev` says when it cannot do what it is asked: what is wrong and what to do, and nothing is harmed.

mod common;

use std::fs;
use std::path::Path;

use common::{CLUSTER, Place, is_running, send, wait_until};
use rustix::process::Signal;

/// Starts a `dev` that must refuse; what it says on the standard error.
fn refusal(place: &Place) -> String {
    let output = place.command().output().expect("starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    text
}

#[test]
fn a_wrong_file_is_refused_with_its_line_before_anything_starts() {
    let place = Place::new(CLUSTER);
    let (cluster, topic) = CLUSTER.split_once("---\n").expect("two documents");
    let config = |key_value: &str| format!("{CLUSTER}  config:\n    {key_value}\n");
    for (yaml, expected) in [
        (CLUSTER.replace("ephemeral: {}", "ephemeral: {"), "line 10: this is not YAML"),
        (
            CLUSTER.replace("ephemeral: {}", "ephemral: {}"),
            "line 8, KafkaCluster demo: spec.brokers.storage: write persistent",
        ),
        (
            CLUSTER.replace("partitions:", "partition:"),
            "line 18, KafkaTopic orders: spec.partition: is not a field: did you mean partitions?",
        ),
        (CLUSTER.replace("  partitions: 2\n", ""), "spec.partitions: is missing"),
        (
            CLUSTER.replace("partitions: 2", "partitions: two"),
            "line 18, KafkaTopic orders: spec.partitions: invalid type",
        ),
        (CLUSTER.replace("partitions: 2", "partitions: 0"), "line 18, KafkaTopic orders: spec.partitions"),
        (CLUSTER.replace("replicas: 1", "replicas: 0"), "spec.brokers.replicas: is not 1 to 1000"),
        (
            CLUSTER.replace("partitions: 2\n  replicas: 1", "partitions: 2\n  replicas: 3"),
            "line 19, KafkaTopic orders: spec.replicas: is more than the 1 of spec.brokers.replicas: write 1",
        ),
        (CLUSTER.replace("KafkaTopic", "Topic"), "write KafkaCluster or KafkaTopic"),
        (CLUSTER.replace("    name: demo\n", "    name: dmo\n"), "write name: demo"),
        (
            config("retention.sm: 1"),
            "line 21, KafkaTopic orders: spec.config.retention.sm: Unknown topic config name: retention.sm (did you mean retention.ms?)",
        ),
        (config("retention.ms: a week"), "Invalid value a week for configuration retention.ms"),
        (format!("{CLUSTER}---\n{cluster}"), "has 2 KafkaClusters: leave one of them"),
        (format!("{CLUSTER}---\n{topic}"), "topic orders is in the file already"),
        (topic.to_owned(), "has no KafkaCluster"),
        (String::new(), "has no KafkaCluster"),
    ] {
        place.write(&yaml);
        let text = refusal(&place);
        assert!(text.contains(expected) && text.contains("demo.yaml"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    fs::remove_file(place.file()).expect("was there");
    assert!(refusal(&place).contains("demo.yaml: No such file"));
    assert!(!place.data().exists(), "nothing was started");
}

#[test]
fn a_folder_that_is_in_use_is_left_to_its_owner() {
    let place = Place::new(CLUSTER);
    let mut dev = place.start();
    place.ok(&["produce", "orders"], "1\n");
    let pid = place.pid();
    let yaml = fs::read(place.data().join("node-0/broker.yaml")).expect("is there");
    let other = Place::new(CLUSTER);
    let output = other.command_in(&place.data()).output().expect("starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("another `taffrail dev` runs") && text.contains("--data"), "{text}");
    assert_eq!(place.pid(), pid);
    assert_eq!(fs::read(place.data().join("node-0/broker.yaml")).expect("is there"), yaml);
    assert_eq!(place.ok(&["consume", "orders", "--exit"], ""), "1\n");
    assert!(dev.stop(Signal::INT), "{}", dev.output());
}

#[test]
fn the_data_of_another_cluster_or_node_is_not_touched() {
    let place = Place::new(CLUSTER);
    let mut dev = place.start();
    place.ok(&["produce", "orders"], "1\n");
    assert!(dev.stop(Signal::TERM), "{}", dev.output());
    let meta = place.data().join("node-0/data/meta.properties");
    let written = fs::read_to_string(&meta).expect("is there");

    place.write(&CLUSTER.replace("name: demo", "name: other"));
    let text = refusal(&place);
    assert!(text.contains("has the data of cluster demo") && text.contains("--data"), "{text}");
    place.write(CLUSTER);
    fs::write(&meta, written.replace("node.id=0", "node.id=3")).expect("is writable");
    let text = refusal(&place);
    assert!(text.contains("belongs to node 3, not to node 0"), "{text}");
    assert!(!text.contains("stopped cleanly"), "what the last run wrote does not belong here: {text}");
    fs::remove_file(&meta).expect("was there");
    let text = refusal(&place);
    assert!(text.contains("no meta.properties"), "{text}");

    fs::write(&meta, written).expect("is writable");
    let mut dev = place.start();
    assert_eq!(place.ok(&["consume", "orders", "--exit"], ""), "1\n");
    assert!(dev.stop(Signal::TERM), "{}", dev.output());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let place = Place::new(CLUSTER);
    fs::write(place.data(), "a file").expect("is writable");
    let text = refusal(&place);
    assert!(text.contains("cannot keep data in") && text.contains("--data"), "{text}");
    assert_eq!(fs::read_to_string(place.data()).expect("is there"), "a file");
    // A file system on which nobody can create anything, root neither.
    let output = place.command_in(Path::new("/proc/taffrail")).output().expect("starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot keep data in /proc/taffrail"), "{text}");
}

#[test]
fn a_clean_stop_leaves_the_marker_and_the_next_start_recovers_nothing() {
    let place = Place::new(CLUSTER);
    let marker = place.data().join("node-0/data/.kafka_cleanshutdown");
    for (count, signal) in [Signal::TERM, Signal::INT].into_iter().enumerate() {
        let mut dev = place.start();
        assert!(!marker.exists(), "while it runs, an end is a crash");
        place.ok(&["produce", "orders"], "1\n");
        let records = place.ok(&["consume", "orders", "--exit"], "");
        assert_eq!(records.lines().count(), count + 1);
        assert!(dev.stop(signal), "{}", dev.output());
        assert!(marker.exists());
    }
    let log = fs::read_to_string(place.data().join("node-0/log")).expect("is there");
    assert!(!log.contains("recover") && !log.contains(" WARN ") && !log.contains(" ERROR "), "{log}");
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    let place = Place::new(CLUSTER);
    let mut dev = place.start();
    place.ok(&["produce", "orders"], "1\n");
    let broker = place.pid();
    // It would take until its patience ends.
    send(broker, Signal::STOP);
    send(dev.child.id(), Signal::INT);
    dev.wait_for("stopping");
    assert!(!dev.stop(Signal::INT), "that is no clean stop");
    wait_until("the end of the broker", || (!is_running(broker)).then_some(()));
    let mut again = place.start();
    assert_eq!(place.ok(&["consume", "orders", "--exit"], ""), "1\n");
    assert!(again.stop(Signal::INT), "{}", again.output());
}
