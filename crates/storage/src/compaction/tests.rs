//! Property: whatever is compacted, and whenever a crash interrupts it, a reader from the beginning sees the same last
//! value of every key, at offsets that were given out.
//!
//! As in the crash tests of the log, a random workload runs on a disk that goes down at a random operation.
//! `STORAGE_SEED` repeats one run.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use record::{Batch, BatchBuilder, BatchHeader, Batches, Compression, ProducerSnapshotEntry};
use types::{
    LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, Timestamp, TopicId,
    TopicPartition, Uuid,
};

use super::{CompactionError, CompactionRules, CompactionSettings};
use crate::crash_tests::{Random, check_indexes};
use crate::fake::{Crash, FakeDisk};
use crate::{CheckpointKind, DataDir, Log, LogConfig, LogReader, Recovered};

const ID: TopicPartition = TopicPartition { topic: TopicId(Uuid([9; 16])), partition: PartitionId(0) };
const SEEDS: u64 = 300;
const RULES: CompactionRules = CompactionRules {
    min_cleanable_dirty_ratio: 0.0,
    min_compaction_lag_ms: 0,
    max_compaction_lag_ms: i64::MAX,
};

type Key = u64;
type Value = Option<u64>;

#[derive(Default)]
struct Model {
    /// All that was ever appended at an offset, newest last: a loss of power may bring another batch to it.
    history: BTreeMap<i64, Vec<(Key, Value)>>,
    /// What is in the log, were it not compacted.
    records: BTreeMap<i64, (Key, Value)>,
    /// Of each producer its last offset.
    producers: BTreeMap<i64, i64>,
    written_end: i64,
    synced_end: i64,
    clock: i64,
}

impl Model {
    fn last_values(&self) -> BTreeMap<Key, u64> {
        let mut last: BTreeMap<Key, Value> = BTreeMap::new();
        last.extend(self.records.values().copied());
        last.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    fn snapshot(&self) -> Vec<ProducerSnapshotEntry> {
        let entry = |(&id, &last): (&i64, &i64)| ProducerSnapshotEntry {
            producer_id: ProducerId(id),
            producer_epoch: ProducerEpoch(0),
            last_sequence: Sequence(0),
            last_offset: Offset(last),
            offset_delta: 0,
            timestamp: Timestamp(0),
            coordinator_epoch: -1,
            current_txn_first_offset: None,
        };
        self.producers.iter().map(entry).collect()
    }
}

#[test]
fn crashes_leave_the_last_value_of_every_key() {
    let seeds = match std::env::var("STORAGE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..SEEDS).collect(),
    };
    let mut rounds = 0;
    for seed in seeds {
        let result = std::panic::catch_unwind(|| one_disk(seed));
        rounds += result.unwrap_or_else(|_| panic!("STORAGE_SEED={seed} fails"));
    }
    assert!(rounds > SEEDS as usize || std::env::var("STORAGE_SEED").is_ok(), "{rounds} rounds");
}

fn one_disk(seed: u64) -> usize {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9).wrapping_add(77));
    let disk = FakeDisk::new(seed);
    let (mut model, mut rounds) = (Model::default(), 0);
    for _ in 0..6 {
        disk.crash_after(1 + random.below(250));
        rounds += run(&disk, &mut model, &mut random);
        let crash = if random.below(2) == 0 { Crash::Process } else { Crash::Power };
        disk.restart(crash);
        check(&disk, &mut model, crash);
    }
    rounds
}

fn open(disk: &FakeDisk) -> Option<(DataDir, Log, Recovered)> {
    let dir = DataDir::open(Arc::new(disk.clone()), Path::new("/data"), 1, Some("c")).ok()?;
    let config = LogConfig {
        segment_bytes: 1500,
        index_interval_bytes: 200,
        is_deleted_by_retention: false,
        ..LogConfig::default()
    };
    let (log, recovered) = dir.create_or_open_log("t", ID, config, Timestamp(0)).ok()?;
    Some((dir, log, recovered))
}

fn run(disk: &FakeDisk, model: &mut Model, random: &mut Random) -> usize {
    let Some((dir, mut log, _)) = open(disk) else { return 0 };
    let mut rounds = 0;
    for _ in 0..80 {
        match random.below(12) {
            0 => {
                let _ = dir.checkpoint(&|reader| Some(reader.log_end()));
            }
            1 => {
                dir.purge(Timestamp(i64::MAX));
            }
            2 => {
                let _ = log.begin_checkpoint(CheckpointKind::Written, &model.snapshot()).run();
            }
            3 | 4 => {
                sync(&mut log, model);
                rounds += usize::from(compact(&mut log, model, random).is_ok());
            }
            _ => append(&mut log, model, random),
        }
        if disk.is_down() {
            return rounds;
        }
        check_content(&log.reader(), model);
    }
    rounds
}

fn sync(log: &mut Log, model: &mut Model) {
    let end = log.reader().log_end().0;
    if log.begin_checkpoint(CheckpointKind::Sync, &model.snapshot()).run().is_ok() {
        model.synced_end = end;
    }
}

fn append(log: &mut Log, model: &mut Model, random: &mut Random) {
    model.clock += random.below(20).cast_signed();
    let base = log.reader().log_end().0;
    let codec = if random.below(3) == 0 { Compression::Lz4 } else { Compression::None };
    let producer = random.below(4).cast_signed() - 1;
    let mut builder = BatchBuilder::new(codec).at(Offset(base), LeaderEpoch(0));
    if producer >= 0 {
        builder = builder.producer(ProducerId(producer), ProducerEpoch(0), Sequence(0));
    }
    let mut records = Vec::new();
    for at in 0..1 + random.below(4).cast_signed() {
        let (key, value) = (random.below(12), random.below(1 << 30));
        let value = (random.below(6) > 0).then_some(value);
        let text = value.map(|value| format!("{value:0width$}", width = 10 + key as usize * 8));
        let key_text = key.to_string();
        builder.push(
            Timestamp(model.clock),
            Some(key_text.as_bytes()),
            text.as_deref().map(str::as_bytes),
            &[],
        );
        records.push((base + at, (key, value)));
    }
    let bytes = builder.build().unwrap();
    let summary = BatchHeader::parse(&bytes).unwrap().summary();
    let (prefix, rest) = bytes.split_first_chunk().unwrap();
    for (offset, record) in &records {
        model.history.entry(*offset).or_default().push(*record);
    }
    let snapshot = model.snapshot();
    if log.append(&summary, prefix, rest, Timestamp(model.clock), &|| snapshot.clone()).is_ok() {
        model.written_end = records.last().unwrap().0 + 1;
        if producer >= 0 {
            model.producers.insert(producer, records.last().unwrap().0);
        }
        model.records.extend(records);
    }
}

fn settings(dedupe_bytes: u64) -> CompactionSettings {
    CompactionSettings {
        dedupe_bytes,
        delete_retention_ms: 100,
        segment_bytes: 1500,
        index_interval_bytes: 200,
    }
}

fn compact(log: &mut Log, model: &Model, random: &mut Random) -> Result<(), CompactionError> {
    let (reader, now) = (log.reader(), Timestamp(model.clock));
    let stable_end = Offset(reader.log_end().0 - random.below(5).cast_signed());
    let backlog = reader.compaction_backlog(&RULES, stable_end, now)?;
    let dedupe_bytes = 24 * (6 + random.below(40));
    let mut round =
        reader.begin_compaction(&backlog, stable_end, &model.snapshot(), settings(dedupe_bytes), now)?;
    let held = reader.read(reader.log_start(), reader.log_end(), u32::MAX, true).ok();
    let before = held.as_ref().and_then(|slice| slice.read_to_bytes().ok());
    let go_on = |_| ControlFlow::Continue(());
    round.read_keys(&go_on)?;
    while let Some(group) = round.next_group(&go_on)? {
        assert!(log.replace_compacted(group, now)?, "nobody else changes the log");
    }
    log.note_compacted(round.compacted().upto)?;
    if let (Some(held), Some(before)) = (held, before) {
        assert_eq!(held.read_to_bytes().unwrap(), before, "who reads goes on with what was there");
    }
    check_indexes(&reader);
    Ok(())
}

fn batches(reader: &LogReader) -> Vec<Batch> {
    let bytes = reader.read(reader.log_start(), reader.log_end(), u32::MAX, true).unwrap();
    Batches::new(bytes.read_to_bytes().unwrap()).map(|batch| batch.unwrap()).collect()
}

/// The records that are there were appended, in order, and of every key the last one is.
fn check_content(reader: &LogReader, model: &Model) {
    let (mut last, mut before) = (BTreeMap::new(), -1);
    for batch in batches(reader) {
        assert!(batch.is_intact());
        for record in batch.records().unwrap() {
            let record = record.unwrap();
            let text = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().parse::<u64>().unwrap();
            let key = text(&record.key.unwrap());
            let value = record.value.as_deref().map(text);
            assert!(record.offset.0 > before, "offsets rise");
            before = record.offset.0;
            assert_eq!(model.records.get(&record.offset.0), Some(&(key, value)), "at {}", record.offset);
            last.insert(key, value);
        }
    }
    let last: BTreeMap<Key, u64> = last.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    assert_eq!(last, model.last_values());
}

fn check(disk: &FakeDisk, model: &mut Model, crash: Crash) {
    let (_dir, log, recovered) = open(disk).expect("a healthy disk opens");
    let reader = log.reader();
    let end = reader.log_end().0;
    let promised = if crash == Crash::Process { model.written_end } else { model.synced_end };
    assert!(end >= promised, "ends at {end}, but {promised} was promised after {crash:?}");
    model.records.retain(|&offset, _| offset < end);
    adopt_what_came_back(&reader, model, promised);
    check_content(&reader, model);
    check_indexes(&reader);
    check_producers(&recovered, model, &reader, promised);
    model.written_end = end;
    model.synced_end = model.synced_end.min(end);
}

/// Past what was promised, the last append before a crash may be there though it failed.
fn adopt_what_came_back(reader: &LogReader, model: &mut Model, promised: i64) {
    for batch in batches(reader).iter().filter(|batch| batch.header().base_offset.0 >= promised) {
        for record in batch.records().unwrap() {
            let record = record.unwrap();
            let key: u64 = std::str::from_utf8(&record.key.unwrap()).unwrap().parse().unwrap();
            let value = record.value.map(|value| std::str::from_utf8(&value).unwrap().parse().unwrap());
            assert!(model.history[&record.offset.0].contains(&(key, value)));
            model.records.insert(record.offset.0, (key, value));
        }
    }
}

/// A start, and a replica that reads all, know how far every producer had come.
fn check_producers(recovered: &Recovered, model: &mut Model, reader: &LogReader, promised: i64) {
    let mut of_batches: BTreeMap<i64, i64> = BTreeMap::new();
    for batch in batches(reader) {
        if batch.header().producer_id.0 >= 0 {
            of_batches.insert(batch.header().producer_id.0, batch.header().last_offset().0);
        }
    }
    let of_snapshot = recovered.producers.iter().map(|entry| (entry.producer_id.0, entry.last_offset.0));
    let mut found: BTreeMap<i64, i64> = of_snapshot.collect();
    let after = recovered.batches_after_snapshot.iter();
    found.extend(after.map(|batch| (batch.producer_id.0, batch.last_offset().0)));
    for (id, last) in &model.producers {
        if *last < promised {
            assert_eq!(
                (found.get(id) >= Some(last), of_batches.get(id) >= Some(last)),
                (true, true),
                "producer {id}"
            );
        }
    }
    model.producers = found;
}

#[test]
fn a_log_that_was_cut_meanwhile_is_left_alone() {
    let disk = FakeDisk::new(5);
    let (_dir, mut log, _) = open(&disk).unwrap();
    let (mut model, mut random) = (Model::default(), Random(5));
    while log.reader().segment_count() < 5 {
        append(&mut log, &mut model, &mut random);
    }
    sync(&mut log, &mut model);
    let (reader, end) = (log.reader(), log.reader().log_end());
    let backlog = reader.compaction_backlog(&RULES, end, Timestamp(0)).unwrap();
    let mut round =
        reader.begin_compaction(&backlog, end, &model.snapshot(), settings(1 << 20), Timestamp(0)).unwrap();
    let go_on = |_| ControlFlow::Continue(());
    round.read_keys(&go_on).unwrap();
    let group = round.next_group(&go_on).unwrap().unwrap();
    log.truncate_to(Offset(end.0 - 1), Timestamp(0)).unwrap();
    assert!(!log.replace_compacted(group, Timestamp(0)).unwrap());
    let stop = |_| ControlFlow::Break(());
    assert!(matches!(round.next_group(&stop), Err(CompactionError::Stopped) | Ok(None)));
}

#[test]
fn a_second_round_begins_where_the_map_was_full() {
    let disk = FakeDisk::new(6);
    let (_dir, mut log, _) = open(&disk).unwrap();
    let (mut model, mut random) = (Model::default(), Random(6));
    while log.reader().segment_count() < 8 {
        append(&mut log, &mut model, &mut random);
    }
    sync(&mut log, &mut model);
    let (reader, end) = (log.reader(), log.reader().log_end());
    let (mut rounds, mut before) = (0, Offset::ZERO);
    loop {
        let backlog = reader.compaction_backlog(&RULES, end, Timestamp(0)).unwrap();
        if !backlog.is_due {
            break;
        }
        let mut round = reader
            .begin_compaction(&backlog, end, &model.snapshot(), settings(24 * 8), Timestamp(0))
            .unwrap();
        round.read_keys(&|_| ControlFlow::Continue(())).unwrap();
        while let Some(group) = round.next_group(&|_| ControlFlow::Continue(())).unwrap() {
            assert!(log.replace_compacted(group, Timestamp(0)).unwrap());
        }
        let upto = round.compacted().upto;
        assert!(upto > before, "every round gets further");
        log.note_compacted(upto).unwrap();
        check_content(&reader, &model);
        (rounds, before) = (rounds + 1, upto);
    }
    assert!(rounds > 1, "12 keys, and room for 7");
    assert_eq!(before, reader.segments().last().unwrap().base());
    // A start knows how far it came.
    drop((log, reader, _dir));
    let (_dir, log, _) = open(&disk).unwrap();
    assert_eq!(log.reader().compacted_upto(), Some(before));
}
