//! A disk that fills up: records are refused with an error that says so, everything else goes on, and nothing is lost.
//!
//! Needs root for a small tmpfs, and says so when it is not.

#![allow(clippy::print_stdout, reason = "a test that is left out says so")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use client::admin::{Admin, TopicPartitionName};
use client::producer::{Producer, ProducerConfig, ProducerRecord};
use compat::node::{Node, consume};

const TMPFS: &str = "size=96m";
const LOW_WATER_BYTES: &str = "33554432";
const VALUE_BYTES: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(30);

/// A small file system, gone with the test.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(path: &Path) -> Option<Tmpfs> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", TMPFS, "tmpfs"]).arg(path).output().ok()?;
        mounted.status.success().then(|| Tmpfs(path.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_records_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(_tmpfs) = Tmpfs::mount(folder.path()) else {
        println!("left out: mounting a tmpfs needs root");
        return;
    };
    let configs = [("log.dir.low.water.bytes", LOW_WATER_BYTES), ("log.retention.check.interval.ms", "500")];
    let mut node = Node::found(folder.path(), &configs);
    node.create_topic("full", &[("segment.bytes", "4194304")]).await;

    let acknowledged = fill(&node).await;
    println!("{acknowledged} records until the disk was full");
    assert!(acknowledged > 500, "{acknowledged}");
    assert!(node.log().contains("disk almost full"), "the log says why:\n{}", node.log());
    check(&node, 0, acknowledged).await;

    // Killed while it is full: it starts, and has everything.
    node.kill();
    node.start();
    node.wait_ready();
    check(&node, 0, acknowledged).await;

    // Topics can be made and deleted, and records deleted; that makes room.
    node.create_topic("another", &[]).await;
    let admin = Admin::new(node.client());
    admin.delete_topic("another").await.expect("deleting a topic needs no space that there is not");
    let kept_from = acknowledged - 100;
    let partition = TopicPartitionName::new("full", 0);
    assert_eq!(admin.delete_records(&partition, kept_from).await.expect("records are deleted"), kept_from);
    let begin = Instant::now();
    while send(&node, acknowledged, Duration::from_secs(2)).await.is_err() {
        assert!(begin.elapsed() < PATIENCE, "no room was made:\n{}", node.log());
    }
    check(&node, kept_from, acknowledged + 1).await;

    // Full to the last byte, by somebody else: reading goes on.
    let last = fill_to_the_last_byte(folder.path());
    check(&node, kept_from, acknowledged + 1).await;
    assert!(send(&node, acknowledged + 1, Duration::from_secs(2)).await.is_err());

    // Even a start has what it needs: a little was kept for it.
    node.kill();
    node.start();
    node.wait_ready();
    check(&node, kept_from, acknowledged + 1).await;
    std::fs::remove_file(last).expect("it is ours");
    let begin = Instant::now();
    while send(&node, acknowledged + 1, Duration::from_secs(2)).await.is_err() {
        assert!(begin.elapsed() < PATIENCE, "room was not noticed:\n{}", node.log());
    }
    node.stop();
    node.start();
    node.wait_ready();
    check(&node, kept_from, acknowledged + 2).await;
}

/// Sends until a record is refused; answers how many were not.
async fn fill(node: &Node) -> i64 {
    for number in 0.. {
        if let Err(error) = send(node, number, Duration::from_secs(3)).await {
            println!("refused: {error}");
            assert!(error.to_string().contains("KAFKA_STORAGE_ERROR"), "{error}");
            return number;
        }
    }
    unreachable!("no disk is endless")
}

/// Sends one record with a client of its own, so that a refused one leaves nothing behind.
async fn send(node: &Node, number: i64, patience: Duration) -> Result<(), std::sync::Arc<client::Error>> {
    let config =
        ProducerConfig { delivery_timeout: patience, linger: Duration::ZERO, ..ProducerConfig::default() };
    let producer = Producer::new(node.client(), config);
    let mut value = vec![number as u8; VALUE_BYTES];
    value[..8].copy_from_slice(&number.to_be_bytes());
    let record = ProducerRecord {
        topic: "full".to_owned(),
        partition: Some(0),
        value: Some(Bytes::from(value)),
        ..ProducerRecord::default()
    };
    let delivered = producer.send(record).await?.wait().await?;
    assert_eq!(delivered.offset, number, "each record is at the offset of its number");
    Ok(())
}

async fn check(node: &Node, from: i64, end: i64) {
    let records = consume(node.client(), "full", from, end).await;
    assert_eq!(records.len() as i64, end - from);
    for (expected, record) in (from..).zip(&records) {
        assert_eq!(record.offset, expected);
        assert_eq!(record.value.as_ref().expect("a value")[..8], expected.to_be_bytes());
    }
}

fn fill_to_the_last_byte(folder: &Path) -> PathBuf {
    use std::io::Write;
    let path = folder.join("ballast");
    let mut file = std::fs::File::create(&path).expect("a file");
    while file.write_all(&[0; 4096]).is_ok() {}
    path
}
