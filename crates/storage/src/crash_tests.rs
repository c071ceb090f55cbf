//! Property: after any crash at any point, what was acknowledged to survive it is there, what is read was written, and
//! the indexes agree with the log.
//!
//! A random workload runs against a log on a [`FakeDisk`] that goes down at a random operation, of the process or of the
//! machine, again and again on the same disk. `STORAGE_SEED` repeats one run; a failure prints its seed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use record::{BatchSummary, ProducerSnapshotEntry};
use types::{LeaderEpoch, Offset, PartitionId, ProducerId, Timestamp, TopicId, TopicPartition, Uuid};

use crate::fake::{Crash, FakeDisk};
use crate::scan::Headers;
use crate::test_batch::Batch;
use crate::{AppendError, CheckpointKind, DataDir, Log, LogConfig, LogReader, Recovered};

const ID: TopicPartition = TopicPartition { topic: TopicId(Uuid([7; 16])), partition: PartitionId(3) };
const SEEDS: u64 = 400;
const CRASHES_PER_SEED: usize = 6;
const STEPS_PER_RUN: usize = 60;

/// What the log should be.
#[derive(Default)]
struct Model {
    /// In order, without a gap.
    batches: Vec<Written>,
    /// All that was ever being appended. What was cut off may come back, if the cut was not durable by then.
    history: Vec<Written>,
    /// All before it survives a crash of the process.
    written_end: i64,
    /// All before it survives a loss of power.
    synced_end: i64,
    /// Records before it are gone for good.
    log_start: i64,
    clock: i64,
}

#[derive(Clone)]
struct Written {
    batch: Batch,
    bytes: Vec<u8>,
}

impl Model {
    fn end(&self) -> i64 {
        self.batches.last().map_or(0, |written| written.batch.base_offset + i64::from(written.batch.records))
    }

    /// Per producer the last offset of its last batch that ends before `end`.
    fn producers(&self, end: i64) -> BTreeMap<i64, i64> {
        let before = self
            .batches
            .iter()
            .filter(|written| written.batch.base_offset + i64::from(written.batch.records) <= end);
        before
            .filter(|written| written.batch.producer_id >= 0)
            .map(|written| {
                (written.batch.producer_id, written.batch.base_offset + i64::from(written.batch.records) - 1)
            })
            .collect()
    }

    fn truncate(&mut self, end: i64) {
        let is_kept = |written: &Written| written.batch.base_offset + i64::from(written.batch.records) <= end;
        self.batches.retain(is_kept);
        self.written_end = self.written_end.min(end);
        self.synced_end = self.synced_end.min(end);
    }
}

fn snapshot(producers: &BTreeMap<i64, i64>) -> Vec<ProducerSnapshotEntry> {
    let entry = |(&id, &last): (&i64, &i64)| ProducerSnapshotEntry {
        producer_id: ProducerId(id),
        producer_epoch: types::ProducerEpoch(0),
        last_sequence: types::Sequence(0),
        last_offset: Offset(last),
        offset_delta: 0,
        timestamp: Timestamp(0),
        coordinator_epoch: -1,
        current_txn_first_offset: None,
    };
    producers.iter().map(entry).collect()
}

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 3000,
        index_interval_bytes: 300,
        retention_bytes: 9000,
        retention_ms: -1,
        ..LogConfig::default()
    }
}

#[test]
fn crashes_lose_nothing_that_was_promised() {
    let seeds = match std::env::var("STORAGE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..SEEDS).collect(),
    };
    for seed in seeds {
        let result = std::panic::catch_unwind(|| one_disk(seed));
        assert!(result.is_ok(), "STORAGE_SEED={seed} fails");
    }
}

fn one_disk(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9).wrapping_add(1));
    let disk = FakeDisk::new(seed);
    let mut model = Model::default();
    let mut power_was_lost = false;
    for _ in 0..CRASHES_PER_SEED {
        let limit = 1 + random.below(150);
        disk.crash_after(limit);
        run(&disk, &mut model, &mut random, power_was_lost);
        let crash = if random.below(2) == 0 { Crash::Process } else { Crash::Power };
        power_was_lost = crash == Crash::Power;
        disk.restart(crash);
        check(&disk, &mut model, crash);
    }
}

fn open(disk: &FakeDisk) -> Option<(DataDir, Log, Recovered)> {
    let dir = DataDir::open(Arc::new(disk.clone()), Path::new("/data"), 1, Some("c")).ok()?;
    let (log, recovered) = dir.create_or_open_log("t", ID, config(), Timestamp(0)).ok()?;
    Some((dir, log, recovered))
}

/// Works until the disk goes down.
fn run(disk: &FakeDisk, model: &mut Model, random: &mut Random, _power_was_lost: bool) {
    let Some((dir, mut log, _)) = open(disk) else { return };
    for _ in 0..STEPS_PER_RUN {
        step(&dir, &mut log, model, random);
        if disk.is_down() {
            return;
        }
        check_reads(&log.reader(), model);
    }
    if random.below(2) == 0 {
        let producers = snapshot(&model.producers(model.end()));
        if log.close(&producers).is_ok() {
            model.synced_end = model.end();
            let _ = dir.checkpoint(&|_| None).and_then(|()| dir.mark_clean(types::BrokerEpoch(1)));
        }
    }
}

fn step(dir: &DataDir, log: &mut Log, model: &mut Model, random: &mut Random) {
    match random.below(20) {
        0 => checkpoint(log, model, CheckpointKind::Sync),
        1 | 2 => checkpoint(log, model, CheckpointKind::Written),
        3 | 4 => {
            let _ = dir.checkpoint(&|reader| Some(reader.log_end()));
        }
        5 => {
            let producers = model.producers(model.end());
            let _ = log.apply_retention(Timestamp(0), log.reader().log_end(), &|| snapshot(&producers));
            model.log_start = log.reader().log_start().0;
        }
        6 => {
            let to = model.log_start + random.below(10).cast_signed();
            if log.delete_records_before(Offset(to)).is_ok() {
                model.log_start = log.reader().log_start().0;
            }
        }
        7 if random.below(3) == 0 => truncate(log, model, random),
        7 if random.below(8) == 0 => restart(log, model, random),
        9 => {
            let end = model.end();
            if log.sync().is_ok() {
                model.synced_end = end;
            }
        }
        8 if random.below(2) == 0 => log.close_files(random.below(2) == 0),
        8 => {
            dir.purge(Timestamp(i64::MAX));
        }
        _ => append(log, model, random),
    }
}

fn append(log: &mut Log, model: &mut Model, random: &mut Random) {
    model.clock += random.below(20).cast_signed() - 5;
    let last_epoch = model.batches.last().map_or(0, |written| written.batch.leader_epoch);
    let batch = Batch {
        base_offset: log.reader().log_end().0,
        records: 1 + random.below(5) as i32,
        leader_epoch: last_epoch + i32::from(random.below(15) == 0),
        timestamp: 1000 + model.clock,
        producer_id: random.below(5).cast_signed() - 1,
        payload: random.below(700) as usize,
    };
    let (summary, bytes) = (batch.summary(), batch.bytes());
    let producers = model.producers(model.end());
    let (prefix, rest) = bytes.split_first_chunk().unwrap();
    let result = log.append(&summary, prefix, rest, Timestamp(0), &|| snapshot(&producers));
    let written = Written { batch, bytes: bytes.clone() };
    model.history.push(written.clone());
    match result {
        Ok(()) => {
            model.batches.push(written);
            model.written_end = model.end();
        }
        Err(AppendError::Io(_)) => {}
        Err(other) => panic!("{other}"),
    }
}

fn checkpoint(log: &mut Log, model: &mut Model, kind: CheckpointKind) {
    let end = model.end();
    let checkpoint = log.begin_checkpoint(kind, &snapshot(&model.producers(end)));
    if checkpoint.run().is_ok() && kind == CheckpointKind::Sync {
        model.synced_end = end;
    }
}

/// Cuts at a batch or within it. What a crash makes of a cut that did not return is not promised, so the model takes the worst.
fn truncate(log: &mut Log, model: &mut Model, random: &mut Random) {
    let Some(at) = model.batches.len().checked_sub(1 + random.below(4) as usize) else { return };
    let end = model.batches[at].batch.base_offset;
    if end < model.log_start {
        return;
    }
    let within = random.below(model.batches[at].batch.records.unsigned_abs().into()).cast_signed();
    model.truncate(end);
    if let Ok(cut) = log.truncate_to(Offset(end + within), Timestamp(0)) {
        assert_eq!(cut, Offset(end.max(model.log_start.min(end + within))), "the batch goes as a whole");
        assert_eq!(cut, log.reader().log_end());
    }
}

/// Begins again somewhere else, as a follower does that has nothing of what its leader has.
fn restart(log: &mut Log, model: &mut Model, random: &mut Random) {
    let at = (model.log_start + random.below(40).cast_signed() - 10).max(0);
    model.truncate(0);
    if log.restart_at(Offset(at), Timestamp(0)).is_ok() {
        (model.log_start, model.written_end, model.synced_end) = (at, at, at);
    }
}

fn check_reads(reader: &LogReader, model: &Model) {
    assert_eq!(
        (reader.log_start().0, reader.log_end().0),
        (model.log_start, model.end().max(model.log_start))
    );
    check_content(reader, model, i64::MAX);
}

/// What is read is what was written, from the log's start to its end; below `promised` it is what was written last.
fn check_content(reader: &LogReader, model: &Model, promised: i64) -> Vec<Written> {
    let bytes =
        reader.read(reader.log_start(), reader.log_end(), u32::MAX, true).unwrap().read_to_bytes().unwrap();
    let (mut left, mut found) = (&bytes[..], Vec::new());
    while !left.is_empty() {
        let base_offset = i64::from_be_bytes(left[..8].try_into().unwrap());
        let unpromised = model.history.iter().filter(|_| base_offset >= promised);
        let written = model
            .batches
            .iter()
            .chain(unpromised)
            .find(|written| left.starts_with(&written.bytes))
            .unwrap_or_else(|| panic!("the batch at {base_offset} is not what was written"));
        left = &left[written.bytes.len()..];
        found.push(written.clone());
    }
    found
}

/// Opens the log after a crash, compares it with the model, and makes the model what it is.
fn check(disk: &FakeDisk, model: &mut Model, crash: Crash) {
    let (_dir, log, recovered) = open(disk).expect("a healthy disk opens");
    let reader = log.reader();
    let end = reader.log_end().0;
    let promised = if crash == Crash::Process { model.written_end } else { model.synced_end };
    assert!(end >= promised, "ends at {end}, but {promised} was promised after {crash:?}");
    let found = check_content(&reader, model, promised);
    let before_start = found.first().map_or(reader.log_start().0, |written| written.batch.base_offset);
    model
        .batches
        .retain(|written| written.batch.base_offset + i64::from(written.batch.records) <= before_start);
    model.batches.extend(found);
    model.written_end = end;
    model.log_start = reader.log_start().0;
    check_indexes(&reader);
    check_epochs(&log, model);
    check_producers(&recovered, model, reader.log_start().0, end);
    // From here on the log is what recovery found: it may be lost again to the next loss of power.
    model.synced_end = model.synced_end.min(end);
}

pub(crate) fn check_indexes(reader: &LogReader) {
    for segment in reader.segments().iter() {
        let file = segment.log().unwrap();
        let batches: Vec<(u32, BatchSummary)> = {
            let mut headers = Headers::new(&*file, 0, segment.size());
            std::iter::from_fn(|| headers.next().unwrap()).collect()
        };
        for at in 0..segment.offsets.count() {
            let entry = segment.offsets.entry(at).unwrap();
            let batch = batches.iter().find(|(position, _)| *position == entry.position);
            assert_eq!(
                batch.map(|(_, batch)| batch.last_offset()),
                Some(entry.last_offset),
                "offset entry {at}"
            );
        }
        let mut before = Timestamp(i64::MIN);
        for at in 0..segment.times.count() {
            let entry = segment.times.entry(at).unwrap();
            let batch = batches.iter().find(|(_, batch)| batch.last_offset() == entry.last_offset);
            assert_eq!(batch.map(|(_, batch)| batch.max_timestamp), Some(entry.timestamp), "time entry {at}");
            assert!(before < entry.timestamp, "time entries rise");
            before = entry.timestamp;
        }
        let largest = batches.iter().map(|(_, batch)| batch.max_timestamp).max().unwrap_or(Timestamp::NONE);
        assert_eq!(segment.max_timestamp().timestamp, largest);
    }
}

fn check_epochs(log: &Log, model: &Model) {
    for written in model.batches.iter().filter(|written| written.batch.base_offset >= model.log_start) {
        let found = log.epoch_at(Offset(written.batch.base_offset));
        assert_eq!(
            found,
            Some(LeaderEpoch(written.batch.leader_epoch)),
            "epoch at {}",
            written.batch.base_offset
        );
    }
}

fn check_producers(recovered: &Recovered, model: &Model, log_start: i64, end: i64) {
    let of_snapshot = recovered.producers.iter().map(|entry| (entry.producer_id.0, entry.last_offset.0));
    let mut found: BTreeMap<i64, i64> = of_snapshot.collect();
    found.extend(
        recovered.batches_after_snapshot.iter().map(|batch| (batch.producer_id.0, batch.last_offset().0)),
    );
    for (id, last) in model.producers(end) {
        if last >= log_start {
            assert_eq!(found.get(&id), Some(&last), "producer {id}");
        }
    }
}

#[test]
fn a_full_disk_refuses_appends_and_recovers() {
    let disk = FakeDisk::new(1);
    let (dir, mut log, _) = open(&disk).unwrap();
    dir.set_low_water_bytes(Some(4000)).unwrap();
    let (mut model, mut random) = (Model::default(), Random(1));
    disk.set_capacity(20_000);
    let refused = loop {
        let batch = Batch { base_offset: model.end(), payload: 500, ..Batch::default() };
        match crate::test_batch::append(&mut log, &batch, Timestamp(0)) {
            Ok(()) => model.batches.push(Written { batch, bytes: batch.bytes() }),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, AppendError::LowOnSpace { low_water_bytes: 4000 }), "{refused}");
    check_reads(&log.reader(), &model);
    // Deleting works on the reserve, and what it frees is free at once.
    log.apply_retention(Timestamp(0), log.reader().log_end(), &Vec::new).unwrap();
    model.log_start = log.reader().log_start().0;
    assert!(dir.purge(Timestamp(0)) > 0);
    append(&mut log, &mut model, &mut random);
    check_reads(&log.reader(), &model);

    // A log that may use the reserve hits the end of the disk, and stays whole.
    log.configure(LogConfig { may_use_reserve: true, retention_bytes: -1, ..config() });
    let refused = loop {
        let batch = Batch { base_offset: model.end(), payload: 500, ..Batch::default() };
        match crate::test_batch::append(&mut log, &batch, Timestamp(0)) {
            Ok(()) => model.batches.push(Written { batch, bytes: batch.bytes() }),
            Err(refused) => break refused,
        }
    };
    assert!(refused.is_for_want_of_space(), "{refused}");
    check_reads(&log.reader(), &model);
    disk.set_capacity(1 << 20);
    append(&mut log, &mut model, &mut random);
    check_reads(&log.reader(), &model);
    drop((log, dir));
    disk.restart(Crash::Process);
    check(&disk, &mut model, Crash::Process);
}

#[test]
fn a_flipped_bit_past_the_recovery_point_ends_the_log_before_it() {
    let disk = FakeDisk::new(2);
    let (dir, mut log, _) = open(&disk).unwrap();
    let (mut model, mut random) = (Model::default(), Random(2));
    while model.batches.len() < 4 {
        append(&mut log, &mut model, &mut random);
    }
    drop((log, dir));
    disk.restart(Crash::Power);
    let (dir, mut log, _) = open(&disk).unwrap();
    model.truncate(log.reader().log_end().0);
    while log.reader().segment_count() == 1 && model.batches.len() < 3 {
        append(&mut log, &mut model, &mut random);
    }
    let second = model.batches[0].bytes.len() as u64;
    drop((log, dir));
    disk.restart(Crash::Process);
    disk.flip_bit(Path::new("/data/t-3/00000000000000000000.log"), (second + 40) * 8 + 3);
    model.truncate(model.batches[1].batch.base_offset);
    check(&disk, &mut model, Crash::Process);
    assert_eq!(model.batches.len(), 1);
}
