//! What is built is read, with every codec; arbitrary bytes are an error and no panic.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

use bytes::Bytes;
use proptest::prelude::*;
use record::{Batch, BatchBuilder, Batches, Compression, RecordHeader};
use types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

type Field = Option<Vec<u8>>;
type Input = (i64, Field, Field, Vec<(Vec<u8>, Field)>);

fn input() -> impl Strategy<Value = Vec<Input>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let field = move || prop::option::of(bytes());
    let headers = prop::collection::vec((bytes(), field()), 0..3);
    prop::collection::vec((0..i64::MAX / 2, field(), field(), headers), 1..20)
}

fn build(records: &[Input], compression: Compression, base_offset: i64) -> Bytes {
    let mut builder = BatchBuilder::new(compression)
        .producer(ProducerId(5), ProducerEpoch(1), Sequence(10))
        .at(Offset(base_offset), LeaderEpoch(3));
    for (timestamp, key, value, headers) in records {
        let headers: Vec<_> = headers
            .iter()
            .map(|(key, value)| RecordHeader {
                key: key.clone().into(),
                value: value.clone().map(Bytes::from),
            })
            .collect();
        builder.push(Timestamp(*timestamp), key.as_deref(), value.as_deref(), &headers);
    }
    builder.build().unwrap()
}

proptest! {
    #[test]
    fn what_is_built_is_read(records in input()) {
        for compression in Compression::ALL {
            let bytes = build(&records, compression, 1000);
            let batch = Batch::parse(&bytes).unwrap().unwrap();
            prop_assert!(batch.is_intact());
            let summary = batch.header().summary();
            prop_assert_eq!(summary.record_count as usize, records.len());
            prop_assert_eq!(summary.max_timestamp.0, records.iter().map(|record| record.0).max().unwrap());
            prop_assert_eq!((summary.producer_id, summary.base_sequence), (ProducerId(5), Sequence(10)));
            for (index, (read, wrote)) in batch.records().unwrap().zip(&records).enumerate() {
                let read = read.unwrap();
                prop_assert_eq!(read.offset, Offset(1000 + index as i64));
                prop_assert_eq!(read.timestamp, Timestamp(wrote.0));
                prop_assert_eq!(read.key.as_deref(), wrote.1.as_deref());
                prop_assert_eq!(read.value.as_deref(), wrote.2.as_deref());
                prop_assert_eq!(read.headers.len(), wrote.3.len());
                for (header, (key, value)) in read.headers.iter().zip(&wrote.3) {
                    prop_assert_eq!(&header.key[..], &key[..]);
                    prop_assert_eq!(header.value.as_deref(), value.as_deref());
                }
            }
        }
    }

    #[test]
    fn batches_are_read_up_to_the_one_that_is_cut_off(records in input(), cut in 1..60usize) {
        let mut bytes = [build(&records, Compression::None, 0), build(&records, Compression::Lz4, 50)].concat();
        prop_assert_eq!(Batches::new(bytes.clone().into()).count(), 2);
        bytes.truncate(bytes.len() - cut);
        let whole: Vec<_> = Batches::new(bytes.into()).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(whole.len(), 1);
    }

    #[test]
    fn a_damaged_batch_is_an_error_and_no_panic(records in input(), at in any::<prop::sample::Index>(), byte: u8) {
        for compression in Compression::ALL {
            let mut bytes = build(&records, compression, 0).to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            for batch in Batches::new(bytes.into()).flatten() {
                if let Ok(records) = batch.records() {
                    for record in records {
                        drop(record);
                    }
                }
            }
        }
    }
}
