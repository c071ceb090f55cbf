//! Looking up records by their time, over rolled and active segments.

use std::sync::Arc;

use record::{BatchBuilder, BatchHeader, Compression};
use types::{LeaderEpoch, Offset, PartitionId, Timestamp, TopicId, TopicPartition, Uuid};

use crate::{DataDir, Log, LogConfig, RealDisk};

const NOW: Timestamp = Timestamp(5000);
const ID: TopicPartition = TopicPartition { topic: TopicId(Uuid([7; 16])), partition: PartitionId(0) };

/// A batch with one record per timestamp.
fn append(log: &mut Log, timestamps: &[i64], compression: Compression) {
    let mut builder = BatchBuilder::new(compression).at(log.reader().log_end(), LeaderEpoch(2));
    for &timestamp in timestamps {
        builder.push(Timestamp(timestamp), Some(b"key"), Some(&[b'v'; 50]), &[]);
    }
    let bytes = builder.build().unwrap();
    let summary = BatchHeader::parse(&bytes).unwrap().summary();
    let (prefix, rest) = bytes.split_first_chunk().unwrap();
    log.append(&summary, prefix, rest, NOW, &Vec::new).unwrap();
}

#[test]
fn the_first_record_that_is_late_enough_is_found() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(Arc::new(RealDisk), temp.path(), 1, None).unwrap();
    let config = LogConfig { segment_bytes: 1000, index_interval_bytes: 100, ..LogConfig::default() };
    let (mut log, _) = dir.create_or_open_log("t", ID, config, NOW).unwrap();
    // Offsets 0 to 59: times rise by 10, except that the middle record of each batch is the latest.
    for batch in 0..20 {
        let at = 1000 + 30 * batch;
        let compression = if batch % 2 == 0 { Compression::None } else { Compression::Zstd };
        append(&mut log, &[at, at + 25, at + 10], compression);
    }
    assert!(log.reader().segment_count() > 2);
    let find = |target, upto| {
        let found = log.reader().offset_for_timestamp(Timestamp(target), Offset(upto)).unwrap();
        found.map(|found| (found.timestamp.0, found.offset.0))
    };
    assert_eq!(find(0, 60), Some((1000, 0)));
    assert_eq!(find(1001, 60), Some((1025, 1)));
    assert_eq!(find(1026, 60), Some((1030, 3)));
    assert_eq!(find(1300, 60), Some((1300, 30)));
    assert_eq!(find(1595, 60), Some((1595, 58)));
    assert_eq!(find(1596, 60), None);
    assert_eq!(find(1595, 57), None, "only before the bound");
    let latest = |upto| log.reader().max_timestamp_offset(Offset(upto)).unwrap().map(|found| found.offset.0);
    assert_eq!((latest(60), latest(57), latest(3), latest(0)), (Some(58), Some(55), Some(1), None));

    log.delete_records_before(Offset(31)).unwrap();
    let found = log.reader().offset_for_timestamp(Timestamp(0), Offset(60)).unwrap().unwrap();
    assert_eq!((found.offset, found.leader_epoch), (Offset(31), LeaderEpoch(2)));
}
