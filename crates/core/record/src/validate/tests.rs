//! What a topic takes and what it refuses, with the error that a client sees.

use bytes::{Bytes, BytesMut};
use types::{ErrorCode, ProducerEpoch, ProducerId, Sequence, Timestamp};

use super::{InvalidBatch, ProduceRules, validate_produced};
use crate::batch::checksum;
use crate::header::CRC_AT;
use crate::{Batch, BatchBuilder, Compression, TimestampType};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn rules() -> ProduceRules {
    ProduceRules {
        now: NOW,
        size_bytes_max: 1000,
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: i64::MAX,
        after_max_ms: 3_600_000,
        is_compacted: false,
        allows_zstd: true,
        compression: None,
    }
}

fn builder(compression: Compression) -> BatchBuilder {
    let mut builder = BatchBuilder::new(compression);
    builder.push(NOW, Some(b"key"), Some(b"value"), &[]);
    builder.push(Timestamp(NOW.0 + 5), None, Some(b"value"), &[]);
    builder
}

fn batch() -> Bytes {
    builder(Compression::None).build().unwrap()
}

/// The batch with other bytes at a place, and a checksum that fits them.
fn patched(at: usize, bytes: &[u8]) -> Bytes {
    let mut batch = BytesMut::from(&batch()[..]);
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = checksum(&batch);
    batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    batch.freeze()
}

#[test]
fn a_good_batch_passes_as_it_came() {
    let bytes = batch();
    let validated = validate_produced(&bytes, &rules()).unwrap();
    assert_eq!(validated.bytes.as_ptr(), bytes.as_ptr(), "not copied");
    assert_eq!(validated.summary.record_count, 2);
    assert_eq!(validated.summary.max_timestamp, Timestamp(NOW.0 + 5));
}

#[test]
fn what_is_refused_says_why() {
    let twice = [batch(), batch()].concat();
    let negative = builder(Compression::None).producer(ProducerId(1), ProducerEpoch(0), Sequence(-1));
    let cases: [(&str, Bytes, ErrorCode); 11] = [
        ("nothing", Bytes::new(), ErrorCode::InvalidRecord),
        ("half a header", batch().slice(..30), ErrorCode::CorruptMessage),
        ("cut off", batch().slice(..batch().len() - 1), ErrorCode::CorruptMessage),
        ("two batches", twice.into(), ErrorCode::InvalidRecord),
        ("an old format", patched(16, &[1]), ErrorCode::InvalidRecord),
        ("an impossible length", patched(8, &[0xff; 4]), ErrorCode::CorruptMessage),
        ("an unknown codec", patched(21, &[0, 7]), ErrorCode::InvalidRecord),
        ("a control batch", patched(21, &[0, 0x20]), ErrorCode::InvalidRecord),
        ("a producer's LogAppendTime", patched(21, &[0, 0x08]), ErrorCode::InvalidTimestamp),
        ("a wrong count", patched(57, &[0, 0, 0, 9]), ErrorCode::InvalidRecord),
        ("a negative sequence", negative.build().unwrap(), ErrorCode::InvalidRecord),
    ];
    for (what, bytes, code) in cases {
        let error = validate_produced(&bytes, &rules()).expect_err(what);
        assert_eq!(error.code(), code, "{what}: {error}");
    }
}

#[test]
fn a_flipped_bit_is_found() {
    let mut bytes = BytesMut::from(&batch()[..]);
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(validate_produced(&bytes.freeze(), &rules()).unwrap_err(), InvalidBatch::WrongChecksum);
}

#[test]
fn size_time_and_codec_are_held_against_the_topic() {
    let code =
        |rules: ProduceRules, bytes: Bytes| validate_produced(&bytes, &rules).map_err(|e| e.code()).err();
    let small = ProduceRules { size_bytes_max: 70, ..rules() };
    assert_eq!(code(small, batch()), Some(ErrorCode::MessageTooLarge));
    let past = ProduceRules { now: Timestamp(NOW.0 - 3_600_001), ..rules() };
    assert_eq!(code(past, batch()), Some(ErrorCode::InvalidTimestamp), "an hour ahead is the limit");
    let late = ProduceRules { now: Timestamp(NOW.0 + 100), before_max_ms: 90, ..rules() };
    assert_eq!(code(late, batch()), Some(ErrorCode::InvalidTimestamp));
    let zstd = builder(Compression::Zstd).build().unwrap();
    assert_eq!(code(rules(), zstd.clone()), None);
    let old = ProduceRules { allows_zstd: false, ..rules() };
    assert_eq!(code(old, zstd), Some(ErrorCode::UnsupportedCompressionType));
}

#[test]
fn a_compacted_topic_names_the_records_without_a_key() {
    let compacted = ProduceRules { is_compacted: true, ..rules() };
    for codec in Compression::ALL {
        let bytes = builder(codec).build().unwrap();
        let error = validate_produced(&bytes, &compacted).unwrap_err();
        assert_eq!(error, InvalidBatch::MissingKeys { indexes: vec![1] }, "{codec:?}");
    }
}

#[test]
fn log_append_time_replaces_every_record_s_time() {
    let stamped = ProduceRules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    let validated = validate_produced(&batch(), &stamped).unwrap();
    let batch = Batch::parse(&validated.bytes).unwrap().unwrap();
    assert!(batch.is_intact());
    assert!(batch.records().unwrap().all(|record| record.unwrap().timestamp == NOW));
}

#[test]
fn the_topic_s_codec_replaces_the_producer_s() {
    for theirs in Compression::ALL {
        for ours in Compression::ALL {
            let rules = ProduceRules { compression: Some(ours), ..rules() };
            let bytes = builder(theirs).build().unwrap();
            let validated = validate_produced(&bytes, &rules).unwrap();
            assert_eq!(validated.bytes == bytes, theirs == ours, "a batch that fits is left alone");
            assert_eq!(validated.summary.compression, ours);
            let stored = Batch::parse(&validated.bytes).unwrap().unwrap();
            assert!(stored.is_intact(), "{theirs:?} to {ours:?}");
            let sent = Batch::parse(&bytes).unwrap().unwrap();
            let records = |batch: &Batch| batch.records().unwrap().map(Result::unwrap).collect::<Vec<_>>();
            assert_eq!(records(&stored), records(&sent), "{theirs:?} to {ours:?}");
        }
    }
}

#[test]
fn a_batch_that_another_codec_makes_too_large_is_refused() {
    let mut builder = BatchBuilder::new(Compression::Gzip);
    builder.push(NOW, None, Some(&[7; 5000]), &[]);
    let bytes = builder.build().unwrap();
    assert!(validate_produced(&bytes, &rules()).is_ok());
    let uncompressed = ProduceRules { compression: Some(Compression::None), ..rules() };
    assert_eq!(validate_produced(&bytes, &uncompressed).unwrap_err().code(), ErrorCode::MessageTooLarge);
}
