//! A log on the machine's own disk: append, read, roll, reopen, retain, truncate.

use std::path::Path;
use std::sync::Arc;

use types::{BrokerEpoch, LeaderEpoch, Offset, PartitionId, Timestamp, TopicId, TopicPartition, Uuid};

use crate::fake::{Crash, FakeDisk};
use crate::test_batch::{Batch, append};
use crate::{DataDir, Log, LogConfig, ReadError, RealDisk, Recovered, Shutdown};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const ID: TopicPartition = TopicPartition { topic: TopicId(Uuid([7; 16])), partition: PartitionId(0) };

fn open_dir(path: &Path) -> DataDir {
    DataDir::open(Arc::new(RealDisk), path, 1, Some("cluster")).unwrap()
}

fn open_log(dir: &DataDir, config: &LogConfig) -> (Log, Recovered) {
    dir.create_or_open_log("t", ID, config.clone(), NOW).unwrap()
}

fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 1000, index_interval_bytes: 100, retention_ms: -1, ..LogConfig::default() }
}

/// Batches of one record each, of a hundred bytes, with rising timestamps.
fn fill(log: &mut Log, count: i64) {
    for _ in 0..count {
        let base = log.reader().log_end();
        append(
            log,
            &Batch { base_offset: base.0, timestamp: 1000 + base.0, payload: 39, ..Batch::default() },
            NOW,
        )
        .unwrap();
    }
}

fn offsets(log: &Log, from: i64, upto: i64, max_bytes: u32) -> Vec<i64> {
    let slice = log.reader().read(Offset(from), Offset(upto), max_bytes, false).unwrap();
    let bytes = slice.read_to_bytes().unwrap();
    assert_eq!(bytes.len() % 100, 0, "whole batches only");
    bytes.chunks(100).map(|batch| i64::from_be_bytes(batch[..8].try_into().unwrap())).collect()
}

#[test]
fn reads_whole_batches_within_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let dir = open_dir(dir.path());
    let (mut log, _) = open_log(&dir, &small_segments());
    fill(&mut log, 35);
    assert_eq!(log.reader().segment_count(), 4);
    assert_eq!(log.reader().size_bytes(), 3500);
    for (from, upto, max_bytes, expected) in [
        (0, 35, 10_000, 0..35),
        (7, 35, 10_000, 7..35),
        (7, 12, 10_000, 7..12),
        (9, 35, 250, 9..11),
        (0, 35, 99, 0..0),
        (34, 35, 100, 34..35),
        (35, 35, 100, 35..35),
        (20, 20, 100, 20..20),
        (8, 10, 10_000, 8..10),
        (13, 99, 500, 13..18),
    ] {
        assert_eq!(
            offsets(&log, from, upto, max_bytes),
            expected.collect::<Vec<_>>(),
            "{from} to {upto} in {max_bytes}"
        );
    }
    let one = log.reader().read(Offset(3), Offset(35), 10, true).unwrap();
    assert_eq!(one.len(), 100);
    assert!(matches!(log.reader().read(Offset(36), Offset(99), 1, true), Err(ReadError::OutOfRange { .. })));
}

#[test]
fn a_clean_stop_leaves_nothing_to_recover() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open_dir(temp.path());
    assert_eq!(dir.previous_shutdown(), Shutdown::Never);
    let (mut log, _) = open_log(&dir, &small_segments());
    fill(&mut log, 35);
    log.close(&[]).unwrap();
    dir.checkpoint(&|_| Some(Offset(30))).unwrap();
    dir.mark_clean(BrokerEpoch(5)).unwrap();
    drop(dir);

    let dir = open_dir(temp.path());
    assert_eq!(dir.previous_shutdown(), Shutdown::Clean { broker_epoch: BrokerEpoch(5) });
    assert_eq!(dir.found_logs().unwrap()[0].topic_partition, ID);
    let (mut log, recovered) = open_log(&dir, &small_segments());
    assert!(recovered.scanned_bytes <= 300, "{recovered:?}");
    assert_eq!(recovered.high_watermark, Offset(30));
    fill(&mut log, 5);
    assert_eq!(offsets(&log, 0, 40, 10_000), (0..40).collect::<Vec<_>>());
}

#[test]
fn a_killed_process_loses_only_the_torn_batch() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open_dir(temp.path());
    let (mut log, _) = open_log(&dir, &small_segments());
    fill(&mut log, 35);
    drop((log, dir));
    let active = temp.path().join("t-0/00000000000000000030.log");
    let content = std::fs::read(&active).unwrap();
    std::fs::write(&active, &content[..content.len() - 1]).unwrap();

    let dir = open_dir(temp.path());
    assert_eq!(dir.previous_shutdown(), Shutdown::ProcessCrash);
    let (mut log, recovered) = open_log(&dir, &small_segments());
    assert_eq!((recovered.truncated_bytes, recovered.scanned_bytes), (99, 3400));
    assert_eq!(log.reader().log_end(), Offset(34));
    fill(&mut log, 1);
    assert_eq!(offsets(&log, 0, 35, 10_000), (0..35).collect::<Vec<_>>());
}

#[test]
fn a_loss_of_power_is_one_until_the_controller_knows() {
    let disk = crate::fake::FakeDisk::new(3);
    let open = || DataDir::open(Arc::new(disk.clone()), std::path::Path::new("/data"), 1, None).unwrap();
    let previous_after = |crash| {
        disk.restart(crash);
        open().previous_shutdown()
    };
    drop(open());
    assert_eq!(previous_after(crate::fake::Crash::Process), Shutdown::ProcessCrash);
    assert_eq!(previous_after(crate::fake::Crash::Power), Shutdown::Unclean);
    assert_eq!(previous_after(crate::fake::Crash::Process), Shutdown::Unclean, "nobody was told");
    open().shutdown_was_told().unwrap();
    assert_eq!(previous_after(crate::fake::Crash::Process), Shutdown::ProcessCrash);
}

#[test]
fn damage_in_the_middle_ends_the_log_there() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open_dir(temp.path());
    let (mut log, _) = open_log(&dir, &small_segments());
    fill(&mut log, 35);
    drop((log, dir));
    let middle = temp.path().join("t-0/00000000000000000010.log");
    let mut content = std::fs::read(&middle).unwrap();
    content[450] ^= 1;
    std::fs::write(&middle, &content).unwrap();

    let dir = open_dir(temp.path());
    let (log, _) = open_log(&dir, &small_segments());
    assert_eq!(log.reader().log_end(), Offset(14));
    assert_eq!(log.reader().segment_count(), 2);
    assert!(!temp.path().join("t-0/00000000000000000030.log").exists());
}

#[test]
fn retention_takes_whole_segments_below_the_high_watermark() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open_dir(temp.path());
    let config = LogConfig { retention_bytes: 1200, ..small_segments() };
    let (mut log, _) = open_log(&dir, &config);
    fill(&mut log, 35);
    let deleted = log.apply_retention(NOW, Offset(15), &Vec::new).unwrap();
    assert_eq!((deleted.segments, deleted.bytes), (1, 1000), "only what is below the high watermark");
    assert_eq!(log.reader().log_start(), Offset(10));
    let deleted = log.apply_retention(NOW, Offset(35), &Vec::new).unwrap();
    assert_eq!((deleted.segments, log.reader().log_start()), (1, Offset(20)));
    assert!(temp.path().join("t-0/00000000000000000010.log.deleted").exists());
    dir.purge(Timestamp(NOW.0 + 60_001));
    assert!(!temp.path().join("t-0/00000000000000000010.log.deleted").exists());

    log.configure(LogConfig { retention_ms: 1000, ..config });
    let deleted = log.apply_retention(NOW, Offset(35), &Vec::new).unwrap();
    assert_eq!((deleted.segments, log.reader().log_start()), (2, Offset(35)), "the active one too");
    fill(&mut log, 1);
    assert_eq!(offsets(&log, 35, 36, 10_000), [35]);
}

#[test]
fn deleted_records_stay_deleted_after_a_crash() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open_dir(temp.path());
    let (mut log, _) = open_log(&dir, &small_segments());
    fill(&mut log, 35);
    log.delete_records_before(Offset(25)).unwrap();
    log.apply_retention(NOW, Offset(35), &Vec::new).unwrap();
    assert_eq!(log.reader().segment_count(), 2);
    drop((log, dir));
    let dir = open_dir(temp.path());
    let (log, _) = open_log(&dir, &small_segments());
    assert_eq!((log.reader().log_start(), log.reader().log_end()), (Offset(25), Offset(35)));
    assert!(matches!(
        log.reader().read(Offset(24), Offset(35), 1000, true),
        Err(ReadError::OutOfRange { .. })
    ));
}

#[test]
fn truncation_forgets_batches_indexes_and_epochs() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open_dir(temp.path());
    let (mut log, _) = open_log(&dir, &small_segments());
    fill(&mut log, 25);
    log.assign_epoch(LeaderEpoch(3), Offset(25)).unwrap();
    fill(&mut log, 10);
    for end in [33, 30, 17, 0] {
        log.truncate_to(Offset(end), NOW).unwrap();
        assert_eq!(log.reader().log_end(), Offset(end));
        assert_eq!(offsets(&log, 0, end, 10_000), (0..end).collect::<Vec<_>>());
        fill(&mut log, 2);
        assert_eq!(offsets(&log, 0, end + 2, 10_000), (0..end + 2).collect::<Vec<_>>());
        log.truncate_to(Offset(end), NOW).unwrap();
    }
    assert_eq!(log.latest_epoch(), None);
    drop((log, dir));
    let dir = open_dir(temp.path());
    assert_eq!(open_log(&dir, &small_segments()).0.reader().log_end(), Offset(0));
}

#[test]
fn truncation_to_the_logs_end_forgets_an_epoch_that_has_no_record() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open_dir(temp.path());
    let (mut log, _) = open_log(&dir, &small_segments());
    fill(&mut log, 5);
    log.assign_epoch(LeaderEpoch(4), Offset(5)).unwrap();
    log.truncate_to(Offset(6), NOW).unwrap();
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(4)), "past the end there is nothing to cut");
    log.truncate_to(Offset(5), NOW).unwrap();
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(0)), "a leader that wrote nothing leaves nothing");
    drop((log, dir));
    let dir = open_dir(temp.path());
    assert_eq!(open_log(&dir, &small_segments()).0.latest_epoch(), Some(LeaderEpoch(0)));
}

#[test]
fn an_epoch_is_written_down_with_its_first_record() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open_dir(temp.path());
    let (mut log, _) = open_log(&dir, &small_segments());
    let file = temp.path().join("t-0").join("leader-epoch-checkpoint");
    log.assign_epoch(LeaderEpoch(4), Offset(0)).unwrap();
    assert!(!file.exists());
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(4)));
    append(&mut log, &Batch { leader_epoch: 4, ..Batch::default() }, NOW).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "0\n1\n4 0\n");
    log.assign_epoch(LeaderEpoch(6), Offset(1)).unwrap();
    log.assign_epoch(LeaderEpoch(9), Offset(1)).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "0\n1\n4 0\n");
    append(&mut log, &Batch { base_offset: 1, leader_epoch: 9, ..Batch::default() }, NOW).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "0\n2\n4 0\n9 1\n");
    drop((log, dir));
    let dir = open_dir(temp.path());
    assert_eq!(open_log(&dir, &small_segments()).0.epoch_at(Offset(1)), Some(LeaderEpoch(9)));
}

#[test]
fn records_that_a_full_disk_did_not_delete_are_deleted_when_asked_again() {
    let disk = FakeDisk::new(1);
    let open_dir = || DataDir::open(Arc::new(disk.clone()), Path::new("/data"), 1, Some("cluster")).unwrap();
    let dir = open_dir();
    let (mut log, _) = open_log(&dir, &small_segments());
    fill(&mut log, 35);
    disk.set_capacity(0);
    let error = log.delete_records_before(Offset(25)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(log.reader().log_start(), Offset(0), "nothing was deleted");
    disk.set_capacity(1 << 30);
    log.delete_records_before(Offset(25)).unwrap();
    drop((log, dir));
    disk.restart(Crash::Process);
    let (log, _) = open_log(&open_dir(), &small_segments());
    assert_eq!((log.reader().log_start(), log.reader().log_end()), (Offset(25), Offset(35)));
}

#[test]
fn truncation_within_a_batch_ends_with_the_last_whole_one() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open_dir(temp.path());
    let (mut log, _) = open_log(&dir, &small_segments());
    for base_offset in [0, 5, 10] {
        append(&mut log, &Batch { base_offset, records: 5, ..Batch::default() }, NOW).unwrap();
    }
    log.truncate_to(Offset(13), NOW).unwrap();
    assert_eq!((log.reader().log_end(), log.reader().size_bytes()), (Offset(10), 200));
    log.delete_records_before(Offset(7)).unwrap();
    log.truncate_to(Offset(8), NOW).unwrap();
    let reader = log.reader();
    assert_eq!((reader.log_start(), reader.log_end()), (Offset(7), Offset(7)), "what was deleted stays so");
    assert_eq!(reader.size_bytes(), 100);
    append(&mut log, &Batch { base_offset: 7, ..Batch::default() }, NOW).unwrap();
    assert_eq!(offsets(&log, 7, 8, 1000), [7]);
}

#[test]
fn a_log_begins_again_wherever_it_is_told_to() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open_dir(temp.path());
    let (mut log, _) = open_log(&dir, &small_segments());
    for start in [50, 7, 7] {
        fill(&mut log, 25);
        log.restart_at(Offset(start), NOW).unwrap();
        let reader = log.reader();
        assert_eq!((reader.log_start(), reader.log_end()), (Offset(start), Offset(start)));
        assert_eq!((log.latest_epoch(), reader.size_bytes()), (None, 0));
    }
    fill(&mut log, 3);
    assert_eq!(offsets(&log, 7, 10, 10_000), [7, 8, 9]);
    drop((log, dir));
    let dir = open_dir(temp.path());
    let (log, _) = open_log(&dir, &small_segments());
    assert_eq!((log.reader().log_start(), log.reader().log_end()), (Offset(7), Offset(10)));
}

#[test]
fn segments_roll_by_time_and_by_offsets_that_are_too_far_apart() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open_dir(temp.path());
    let (mut log, _) = open_log(&dir, &LogConfig { segment_ms: 100, ..LogConfig::default() });
    let batch = |base_offset, timestamp| Batch { base_offset, timestamp, ..Batch::default() };
    append(&mut log, &batch(0, 1000), NOW).unwrap();
    append(&mut log, &batch(1, 1100), NOW).unwrap();
    assert_eq!(log.reader().segment_count(), 1);
    append(&mut log, &batch(2, 1101), NOW).unwrap();
    assert_eq!(log.reader().segment_count(), 2);
    append(&mut log, &batch(1 << 33, 1101), NOW).unwrap();
    assert_eq!(log.reader().segment_count(), 3);
    assert_eq!(log.reader().read(Offset(3), Offset(1 << 34), 1000, true).unwrap().len(), 100);
}

#[test]
fn a_deleted_log_makes_way_for_another_topic_of_its_name() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open_dir(temp.path());
    let (mut log, _) = open_log(&dir, &LogConfig::default());
    fill(&mut log, 3);
    let reader = log.reader();
    dir.delete_log(log, NOW).unwrap();
    let other = TopicPartition { topic: TopicId(Uuid([8; 16])), ..ID };
    let (log, _) = dir.create_or_open_log("t", other, LogConfig::default(), NOW).unwrap();
    assert_eq!(log.reader().log_end(), Offset(0));
    assert_eq!(reader.read(Offset(0), Offset(3), 1000, true).unwrap().read_to_bytes().unwrap().len(), 300);
    assert_eq!(dir.purge(Timestamp(NOW.0 + 59_999)), 0);
    assert_eq!(dir.purge(Timestamp(NOW.0 + 60_000)), 1);
    assert!(dir.create_or_open_log("t", ID, LogConfig::default(), NOW).is_err(), "another topic's directory");
}

#[test]
fn a_directory_is_refused_to_others() {
    let temp = tempfile::tempdir().unwrap();
    let dir = open_dir(temp.path());
    let open = |node, cluster| DataDir::open(Arc::new(RealDisk), temp.path(), node, Some(cluster)).map(drop);
    assert!(open(1, "cluster").unwrap_err().to_string().contains("in use by another process"));
    drop(dir);
    assert!(open(2, "cluster").unwrap_err().to_string().contains("belongs to node 1, not to node 2"));
    assert!(
        open(1, "other")
            .unwrap_err()
            .to_string()
            .contains("belongs to cluster cluster, not to cluster other")
    );
    open(1, "cluster").unwrap();
}

#[test]
fn logs_without_meta_properties_are_not_taken_for_a_new_directory() {
    let temp = tempfile::tempdir().unwrap();
    let meta = temp.path().join("meta.properties");
    drop(open_dir(temp.path()));
    std::fs::remove_file(&meta).unwrap();
    drop(open_dir(temp.path()));
    let dir = open_dir(temp.path());
    dir.create_or_open_log("t", ID, LogConfig::default(), NOW).unwrap();
    drop(dir);
    std::fs::remove_file(&meta).unwrap();
    let refused = DataDir::open(Arc::new(RealDisk), temp.path(), 1, Some("cluster")).map(drop);
    assert!(refused.unwrap_err().to_string().contains("no meta.properties"));
    assert!(!meta.exists(), "nothing was changed");
}

#[test]
fn an_error_of_the_disk_says_which() {
    let disk = || std::io::Error::from(std::io::ErrorKind::QuotaExceeded);
    let cause = disk().to_string();
    for error in [
        crate::AppendError::from(disk()).to_string(),
        crate::ReadError::from(disk()).to_string(),
        crate::OpenLogError::from(disk()).to_string(),
    ] {
        assert!(error.ends_with(&cause), "a node's log shows this much: {error}");
    }
}
