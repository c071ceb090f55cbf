//! A node with two directories, each on a disk of its own: one disk fails, and only what lies on it is gone.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metadata::PartitionImage;
use protocol::messages::DescribeLogDirsRequest;
use storage::fake::FakeDisk;
use storage::{DirEntry, Disk, DiskFile, LockGuard, OpenMode, Space};
use types::{BrokerId, ErrorCode, PartitionId, TopicId, TopicPartition};

use super::Harness;
use super::log::{NOW_MS, batch, produce};
use crate::metrics;
use crate::seams::Seams;

/// What lies under `/b` is on the second disk.
#[derive(Clone, Debug)]
struct TwoDisks([FakeDisk; 2]);

impl TwoDisks {
    fn of(&self, path: &Path) -> &FakeDisk {
        &self.0[usize::from(path.starts_with("/b"))]
    }
}

impl Disk for TwoDisks {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.of(path).open(path, mode)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.of(path).read_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.of(path).create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.of(from).rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.of(path).remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.of(path).remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.of(path).sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.of(path).lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.of(path).space(path)
    }

    fn boot_id(&self) -> io::Result<String> {
        self.0[0].boot_id()
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        // Each from its own seed: two directories must not have one id.
        let (one, other) = (self.0[0].random()?, self.0[1].random()?);
        Ok(std::array::from_fn(|at| if at % 2 == 0 { one[at] } else { other[at] }))
    }
}

async fn start(disks: &TwoDisks, is_new: bool) -> Harness {
    let seams = Seams { disk: Arc::new(disks.clone()), ..Seams::real() };
    Harness::start_on("/a, /b", "", seams, is_new).await
}

fn state(harness: &Harness, topic: TopicId) -> PartitionImage {
    let id = TopicPartition { topic, partition: PartitionId(0) };
    harness.node.metadata().image().partition(id).unwrap().clone()
}

async fn led_by(harness: &Harness, topic: TopicId, leader: Option<BrokerId>) {
    let mut committed = harness.node.metadata().committed();
    let id = TopicPartition { topic, partition: PartitionId(0) };
    let changed = committed
        .wait_for(|committed| committed.image.partition(id).is_some_and(|state| state.leader == leader));
    tokio::time::timeout(Duration::from_secs(10), changed).await.unwrap().unwrap();
}

async fn described(harness: &Harness) -> Vec<(String, i16, Vec<String>)> {
    let response = harness.ask(4, &DescribeLogDirsRequest { topics: None, ..Default::default() }).await;
    let directory = |result: protocol::messages::describe_log_dirs_response::DescribeLogDirsResult| {
        let topics = result.topics.iter().map(|topic| topic.name.to_string()).collect();
        (result.log_dir.to_string(), result.error_code, topics)
    };
    response.results.into_iter().map(directory).collect()
}

#[tokio::test]
async fn a_disk_that_fails_takes_its_own_partitions_and_the_node_lives_on() {
    let disks = TwoDisks([FakeDisk::new(1), FakeDisk::new(2)]);
    let harness = start(&disks, true).await;
    let mut topics = Vec::new();
    for name in ["t0", "t1", "t2", "t3"] {
        topics.push((name, harness.create_topic(name, &[]).await));
    }
    for topic in &topics {
        assert_eq!(produce(&harness, 13, *topic, batch(NOW_MS)).await.error_code, 0);
    }
    let dir = |path: &str, code: i16, topics: &[&str]| {
        (path.to_owned(), code, topics.iter().map(|&topic| topic.to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(described(&harness).await, [dir("/a", 0, &["t0", "t2"]), dir("/b", 0, &["t1", "t3"])]);
    let me = harness.node.metadata().image().broker(BrokerId(1)).unwrap().clone();
    assert_eq!(me.directories.len(), 2);

    disks.0[1].set_broken(true);
    let storage_error = ErrorCode::KafkaStorageError.code();
    assert_eq!(produce(&harness, 13, topics[1], batch(NOW_MS)).await.error_code, storage_error);
    for (_, topic) in [topics[1], topics[3]] {
        led_by(&harness, topic, None).await;
        assert_eq!(state(&harness, topic).isr, [BrokerId(1)], "nobody else has what it has");
    }
    for topic in [topics[0], topics[2]] {
        assert_eq!(produce(&harness, 13, topic, batch(NOW_MS)).await.error_code, 0);
    }
    assert_eq!(described(&harness).await, [dir("/a", 0, &["t0", "t2"]), dir("/b", storage_error, &[])]);
    assert!(
        harness.node.is_ready() && !harness.node.metadata().image().broker(BrokerId(1)).unwrap().is_fenced
    );
    let text = metrics::render(&harness.node).unwrap();
    for line in ["taffrail_log_dirs_failed 1", "taffrail_replicas_offline 2", "taffrail_partitions_offline 2"]
    {
        assert!(text.lines().any(|found| found == line), "no line {line}");
    }
    harness.stop().await;

    // Mended, and started again: what it had before it failed is older than what the node says, so it says so.
    disks.0[1].set_broken(false);
    let harness = start(&disks, false).await;
    for topic in &topics {
        led_by(&harness, topic.1, Some(BrokerId(1))).await;
        assert_eq!(produce(&harness, 13, *topic, batch(NOW_MS)).await.error_code, 0);
    }
    assert_eq!(described(&harness).await, [dir("/a", 0, &["t0", "t2"]), dir("/b", 0, &["t1", "t3"])]);
    harness.stop().await;
}
