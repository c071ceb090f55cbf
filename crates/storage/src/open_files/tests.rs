//! What the bound promises, on a fake disk.

use std::collections::BTreeSet;

use types::{Offset, PartitionId, Timestamp, TopicId, TopicPartition, Uuid};

use super::*;
use crate::fake::FakeDisk;
use crate::test_batch::{Batch, append};
use crate::{DataDir, Log, LogConfig, RealDisk};

fn bounded(dir: &tempfile::TempDir, max: usize) -> (Arc<dyn Disk>, Arc<BoundedDisk>, Vec<PathBuf>) {
    let bounded = Arc::new(BoundedDisk::new(Arc::new(RealDisk), max));
    let paths: Vec<_> = (0..10).map(|index| dir.path().join(index.to_string())).collect();
    for path in &paths {
        std::fs::write(path, path.to_string_lossy().as_bytes()).unwrap();
    }
    (bounded.clone(), bounded, paths)
}

#[test]
fn what_was_not_used_is_closed_and_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, bounded, paths) = bounded(&dir, 3);
    let slots: Vec<_> = paths.iter().map(|_| FileSlot::default()).collect();
    let read = |index: usize| {
        let file = slots[index].get(&*disk, || paths[index].clone()).unwrap();
        let mut content = [0; 256];
        let len = file.read_at(&mut content, 0).unwrap();
        assert_eq!(&content[..len], paths[index].to_string_lossy().as_bytes());
    };
    for round in 0..3 {
        for index in 0..slots.len() {
            read(index);
            assert!(bounded.open_count() <= 3, "round {round} file {index}");
        }
    }
    let open = slots.iter().filter(|slot| slot.is_open()).count();
    assert_eq!(open, 3);
    drop(slots);
    assert_eq!(bounded.open_count(), 0);
}

#[test]
fn what_somebody_has_stays_open() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, bounded, paths) = bounded(&dir, 2);
    let slots: Vec<_> = paths.iter().map(|_| FileSlot::default()).collect();
    let get = |index: usize| slots[index].get(&*disk, || paths[index].clone()).unwrap();
    let (sent, synced) = (get(0), get(1));
    slots[2].pin(&*disk, || paths[2].clone()).unwrap();
    for index in 3..10 {
        get(index);
    }
    assert!(slots[0].is_open() && slots[1].is_open() && slots[2].is_open());
    assert!(bounded.open_count() <= 4, "three in use, and the one that came last");
    drop((sent, synced));
    for index in 3..10 {
        get(index);
        get(index);
    }
    assert!(!slots[0].is_open() && !slots[1].is_open());
    assert!(slots[2].is_open(), "its name belongs to another by now");
    assert!(bounded.open_count() <= 2);
}

fn open_log(data_dir: &DataDir, partition: i32) -> Log {
    let id = TopicPartition { topic: TopicId(Uuid([7; 16])), partition: PartitionId(partition) };
    let config = LogConfig { index_interval_bytes: 1, ..LogConfig::default() };
    data_dir.create_or_open_log("t", id, config, Timestamp(0)).unwrap().0
}

/// Every log is written in turn, so that none of the files that a write needs is still open: the worst case.
fn write_all(disk: Arc<dyn Disk>, path: &Path, logs: i32, rounds: i64, check: impl Fn()) {
    let data_dir = DataDir::open(disk, path, 1, None).unwrap();
    let mut logs: Vec<_> = (0..logs).map(|partition| open_log(&data_dir, partition)).collect();
    for round in 0..rounds {
        for log in &mut logs {
            append(log, &Batch { base_offset: round, ..Batch::default() }, Timestamp(0)).unwrap();
            check();
        }
    }
    for log in &logs {
        let reader = log.reader();
        assert_eq!(reader.log_end(), Offset(rounds));
        let slice = reader.read(Offset(0), Offset(rounds), u32::MAX, true).unwrap();
        let bytes = slice.read_to_bytes().unwrap();
        let offsets: BTreeSet<_> =
            record::Batches::new(bytes).map(|batch| batch.unwrap().header().base_offset.0).collect();
        assert_eq!(offsets, (0..rounds).collect());
        check();
    }
}

#[test]
fn ten_thousand_partitions_take_writes_with_a_thousand_descriptors() {
    // On a disk that is memory: what is tested is not how fast it syncs the names of new files.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let bounded = Arc::new(BoundedDisk::new(Arc::new(RealDisk), 1_000));
    let check = || assert!(bounded.open_count() <= 1_000);
    write_all(bounded.clone(), dir.path(), 10_000, 3, check);
    let open_of_dir = std::fs::read_dir("/proc/self/fd").unwrap().filter(|entry| {
        let target = std::fs::read_link(entry.as_ref().unwrap().path());
        target.is_ok_and(|target| target.starts_with(dir.path()))
    });
    assert!(open_of_dir.count() <= 1_000, "the kernel counts what we count");
}

#[test]
fn a_disk_that_lets_one_file_be_open_loses_nothing() {
    let disk: Arc<dyn Disk> = Arc::new(FakeDisk::new(3));
    write_all(Arc::new(BoundedDisk::new(disk, 1)), Path::new("/data"), 20, 20, || {});
}
