//! Compaction, as users see it: duplicates vanish, the last value of each key stays, committed offsets too, and Kafka's own
//! `DumpLogSegments` still reads the files.
//!
//! Without `KAFKA_PEER` the part that needs Kafka's tools is left out, and says so.

#![allow(clippy::print_stdout, reason = "a test that is left out says so")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use client::admin::{Admin, OffsetToCommit, TopicPartitionName};
use compat::clients::{kafka_tool, kcat};
use compat::node::Node;

const PATIENCE: Duration = Duration::from_secs(60);
const COMPACTED: &[(&str, &str)] =
    &[("cleanup.policy", "compact"), ("segment.bytes", "1048576"), ("min.cleanable.dirty.ratio", "0.01")];

/// Waits until `holds`, or fails with `what`.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what} never came");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn size(dir: &Path) -> u64 {
    logs(dir).iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum()
}

fn logs(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("the log's directory");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == "log"));
    files.sort();
    files
}

/// Offsets and values by key, the last of each; and how many records there are.
fn consume(node: &Node) -> (BTreeMap<String, String>, usize) {
    let broker = node.bootstrap();
    let out =
        kcat(&["-b", &broker, "-C", "-t", "kept", "-o", "beginning", "-e", "-q", "-f", "%k %o:%S\n"], "");
    let lines = out.lines().filter_map(|line| line.split_once(' '));
    let last = lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    (last, out.lines().count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicates_vanish_and_kafka_still_reads_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let configs = [("log.cleaner.backoff.ms", "100"), ("log.segment.delete.delay.ms", "1000")];
    let mut node = Node::found(folder.path(), &configs);
    node.create_topic("kept", COMPACTED).await;
    let broker = node.bootstrap();
    let dir = node.data_dir().join("kept-0");
    for (at, codec) in ["none", "gzip", "snappy", "lz4", "zstd", "none"].iter().enumerate() {
        let value = |record: usize| {
            // Different bytes, that no codec makes small.
            let mut seed = (record * 6 + at) as u64;
            (0..40)
                .map(|_| {
                    seed =
                        seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    format!("{seed:016x}")
                })
                .collect::<String>()
        };
        let input: String =
            (0..4000).map(|record| format!("key-{}:{}\n", record % 50, value(record))).collect();
        kcat(
            &["-b", &broker, "-P", "-t", "kept", "-K", ":", "-z", codec, "-X", "batch.num.messages=100"],
            &input,
        );
    }
    // kcat has no way to see what is gone by now, so that the end tells: 24,000 offsets were given out.
    let end = kcat(&["-b", &broker, "-Q", "-t", "kept:0:-1"], "");
    assert!(end.contains("offset 24000"), "{end}");
    eventually("a small log", || size(&dir) < 2_500_000);
    let (last, count) = consume(&node);
    assert_eq!(last.len(), 50);
    assert!((50..6000).contains(&count), "{count} records are left");
    for (key, value) in &last {
        let number: usize = key.trim_start_matches("key-").parse().expect("a number");
        assert!(value.starts_with(&format!("{}:", 23_950 + number)), "{key} is at {value}");
    }
    node.kill();
    node.start();
    node.wait_ready();
    assert_eq!(consume(&node).0, last, "a killed broker comes back with the same");
    node.stop();
    read_by_kafka(&dir);
}

fn read_by_kafka(dir: &Path) {
    if std::env::var_os("KAFKA_PEER").is_none() {
        return println!("left out: KAFKA_PEER does not name Kafka's tools");
    }
    let mut files: Vec<String> = Vec::new();
    for log in logs(dir) {
        for extension in ["log", "index", "timeindex"] {
            files.push(log.with_extension(extension).to_string_lossy().into_owned());
        }
    }
    let text = kafka_tool(
        "org.apache.kafka.tools.DumpLogSegments",
        &["--files", &files.join(","), "--deep-iteration"],
    );
    // Offsets have gaps in a compacted log, and the tool says so of Kafka's own too.
    for complaint in ["mismatch", "exception", "out of order", "could not be found", "isvalid: false"] {
        assert!(!text.to_lowercase().contains(complaint), "{complaint}: {text}");
    }
    assert!(text.contains("compresscodec: none"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_offsets_survive_compaction() {
    let folder = tempfile::tempdir().expect("a folder");
    let configs = [
        ("log.cleaner.backoff.ms", "100"),
        ("log.cleaner.min.cleanable.ratio", "0.01"),
        ("offsets.topic.num.partitions", "1"),
        ("offsets.topic.segment.bytes", "1048576"),
    ];
    let mut node = Node::found(folder.path(), &configs);
    node.create_topic("read", &[]).await;
    let admin = Admin::new(node.client());
    let metadata_of = |round: i64| OffsetToCommit {
        partition: TopicPartitionName::new("read", 0),
        offset: round,
        leader_epoch: -1,
    };
    admin.commit_offsets("once", &[metadata_of(7)]).await.expect("it is committed");
    let dir = node.data_dir().join("__consumer_offsets-0");
    let mut round = 0;
    let begin = Instant::now();
    // Until the first segment was rolled and compacted away.
    while !folder.path().join("data/cleaner-offset-checkpoint").exists() {
        round += 1;
        admin.commit_offsets("readers", &[metadata_of(round)]).await.expect("it is committed");
        assert!(begin.elapsed() < PATIENCE * 2, "the offsets were never compacted");
    }
    eventually("a small log", || size(&dir) < 1_000_000);
    node.kill();
    node.start();
    node.wait_ready();
    let broker = node.bootstrap();
    let admin = Admin::new(node.client());
    for (group, offset) in [("once", 7), ("readers", round)] {
        let committed = admin.committed_offsets(group).await.expect("they are there");
        assert!(committed.values().any(|found| found.offset == offset), "{group} at {broker}: {committed:?}");
    }
    node.stop();
}
