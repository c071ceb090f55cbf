//! Record batches, magic 2: validating, reading and making them, and what state machines are told of one. Payload bytes
//! stop here. Knows no partition, no request and no file.

mod batch;
mod builder;
mod compacted;
mod compression;
mod header;
mod producer_snapshot;
mod record;
mod summary;
mod validate;
mod varint;

pub use batch::{Batch, Batches, with_log_append_time};
pub use builder::BatchBuilder;
pub use compacted::{Compacted, compacted, emptied};
pub use compression::Compression;
pub use header::{BatchHeader, HeaderError, patched_prefix};
pub use producer_snapshot::{
    ProducerSnapshotEntry, ProducerSnapshotError, decode_producer_snapshot, encode_producer_snapshot,
};
pub use record::{Record, RecordError, RecordHeader, Records};
pub use summary::{BatchSummary, TimestampType};
pub use validate::{InvalidBatch, ProduceRules, ValidatedBatch, validate_produced};
