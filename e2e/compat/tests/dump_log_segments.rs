//! Kafka's own `DumpLogSegments` on our files: rolled and active segments, both indexes, snapshots, also of a log whose
//! broker was killed. No mismatch, no gap, no exception in what it prints.
//!
//! `KAFKA_PEER` names the command that runs Kafka's classes (`$KAFKA_PEER tool CLASS ARGUMENTS`); without it the test
//! says that it is left out.

#![allow(clippy::print_stdout, reason = "a test that is left out says so")]

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use client::admin::{Admin, OffsetToCommit, TopicPartitionName};
use compat::node::Node;

const RECORDS: u32 = 4000;
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const TOOL: &str = "org.apache.kafka.tools.DumpLogSegments";

fn peer() -> Option<PathBuf> {
    let peer = std::env::var_os("KAFKA_PEER").map(PathBuf::from);
    if peer.is_none() {
        println!("left out: KAFKA_PEER does not name Kafka's tools");
    }
    peer
}

fn tool(peer: &Path, arguments: &[&str]) -> Output {
    Command::new(peer).arg("tool").args(arguments).output().expect("KAFKA_PEER can be run")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_reads_our_segments_indexes_and_snapshots() {
    let Some(peer) = peer() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::found(folder.path(), &[("log.retention.check.interval.ms", "500")]);
    node.create_topic("dumped", &[("segment.bytes", "1048576"), ("index.interval.bytes", "1024")]).await;
    for codec in CODECS {
        produce(&peer, &node, codec);
    }

    // As a running broker has them; then as a killed one leaves them; then as a clean stop leaves them.
    let dir = node.data_dir().join("dumped-0");
    check(&peer, &dir, "running");
    let mut producing = perf(&peer, &node, "lz4", 10_000_000).spawn().expect("KAFKA_PEER can be run");
    wait_for_growth(&dir);
    node.kill();
    // The script and the JVM that it started.
    let group = format!("-{}", producing.id());
    assert!(Command::new("kill").args(["-9", "--", &group]).status().expect("kill").success());
    producing.wait().expect("it is ours");
    check(&peer, &dir, "killed");
    node.start();
    node.wait_ready();
    check(&peer, &dir, "recovered");
    produce(&peer, &node, "none");
    node.stop();
    check(&peer, &dir, "stopped");
    let snapshots = files(&dir, &["snapshot"]);
    assert!(snapshots.len() >= 2, "{snapshots:?}");
    let text = dump(&peer, &snapshots, &[]);
    assert!(text.contains("producerId: "), "the producers are in the snapshots:\n{text}");
}

/// Kafka's own idempotent producer, with many small batches.
fn perf(peer: &Path, node: &Node, codec: &str, records: u32) -> Command {
    let mut command = Command::new(peer);
    command.args(["tool", "org.apache.kafka.tools.ProducerPerformance", "--topic", "dumped"]);
    command.args(["--num-records", &records.to_string(), "--record-size", "700", "--throughput", "-1"]);
    command.args(["--producer-props", &format!("bootstrap.servers={}", node.bootstrap())]);
    command.args([&format!("compression.type={codec}"), "batch.size=8192", "acks=all"]);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    command
}

fn produce(peer: &Path, node: &Node, codec: &str) {
    let output = perf(peer, node, codec, RECORDS).output().expect("KAFKA_PEER can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains(&format!("{RECORDS} records sent")), "{codec}: {text}");
}

/// Waits until a producer is at work.
fn wait_for_growth(dir: &Path) {
    let size = || -> u64 {
        files(dir, &["log"]).iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum()
    };
    let before = size();
    let begin = Instant::now();
    while size() < before + (3 << 20) {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing is produced");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn files(dir: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("the log's directory");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| {
        extensions.iter().any(|extension| path.extension().is_some_and(|found| found == *extension))
    });
    files.sort();
    files
}

fn dump(peer: &Path, files: &[PathBuf], options: &[&str]) -> String {
    let names: Vec<_> = files.iter().map(|path| path.to_str().expect("UTF-8")).collect();
    let names = names.join(",");
    let mut arguments = vec![TOOL, "--files", &names];
    arguments.extend(options);
    let output = tool(peer, &arguments);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    text
}

/// All files of a log, each way that the tool has of looking at them.
fn check(peer: &Path, dir: &Path, state: &str) {
    let all = files(dir, &["log", "index", "timeindex", "snapshot"]);
    let logs = all.iter().filter(|path| path.extension().is_some_and(|extension| extension == "log")).count();
    assert!(logs >= 3, "{state}: the log has rolled");
    let deep = dump(peer, &all, &["--deep-iteration"]);
    complain_about(&deep, state);
    assert!(deep.contains("compresscodec: zstd") && deep.contains("compresscodec: snappy"), "{state}");
    let indexes = files(dir, &["index", "timeindex"]);
    let verified = dump(peer, &indexes, &["--verify-index-only"]);
    complain_about(&verified, state);
    let sane = dump(peer, &indexes, &["--index-sanity-check"]);
    assert_eq!(sane.matches("passed sanity check").count(), indexes.len(), "{state}: {sane}");
    println!("{state}: {} files of {logs} segments are as Kafka has them", all.len());
}

fn complain_about(text: &str, state: &str) {
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        // The batch that was being written when the broker was killed.
        if state == "killed" && line.contains("invalid bytes at the end of") {
            continue;
        }
        // The tool of Kafka 4.3 counts from -1, and so calls each segment's first offset but 0 a gap, in Kafka's own
        // logs too: only a gap that follows a record is one.
        if line.starts_with("Non-consecutive offsets in ") {
            while let Some(gap) = lines.next_if(|line| line.starts_with("  ")) {
                assert!(gap.trim_start().starts_with("-1 is followed by "), "{state}: {line}:{gap}");
            }
            continue;
        }
        let lower = line.to_lowercase();
        for complaint in
            ["mismatch", "exception", "non-consecutive", "out of order", "could not be found", "invalid"]
        {
            let is_of_a_batch = line.starts_with("baseOffset: ") && complaint == "invalid";
            assert!(is_of_a_batch || !lower.contains(complaint), "{state}: {line}");
        }
        assert!(!line.contains("isvalid: false"), "{state}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafkas_formatter_reads_our_consumer_offsets() {
    let Some(peer) = peer() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::found(folder.path(), &[("offsets.topic.num.partitions", "1")]);
    node.create_topic("read", &[]).await;
    let partition = TopicPartitionName::new("read", 0);
    let commit = OffsetToCommit { partition, offset: 42, leader_epoch: -1 };
    Admin::new(node.client()).commit_offsets("readers", &[commit]).await.expect("the offset is committed");
    let read = read_offsets(&peer, &node);
    assert!(read.contains("\"group\":\"readers\"") && read.contains("\"offset\":42"), "{read}");
    node.kill();
    let dir = node.data_dir().join("__consumer_offsets-0");
    let text = dump(&peer, &files(&dir, &["log"]), &["--offsets-decoder"]);
    complain_about(&text, "offsets");
    assert!(text.contains("readers") && text.contains("42"), "{text}");
}

/// What Kafka's console consumer makes of the topic.
fn read_offsets(peer: &Path, node: &Node) -> String {
    let output = Command::new(peer)
        .args(["tool", "org.apache.kafka.tools.consumer.ConsoleConsumer", "--topic", "__consumer_offsets"])
        .args(["--bootstrap-server", &node.bootstrap(), "--from-beginning", "--timeout-ms", "5000"])
        .args(["--formatter", "org.apache.kafka.tools.consumer.OffsetsMessageFormatter"])
        .output()
        .expect("KAFKA_PEER can be run");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
