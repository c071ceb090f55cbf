//! Record batches, magic 2: what a batch is, and what state machines are told of it. Payload bytes stop here. Knows no
//! partition, no request and no file.

mod compression;
mod producer_snapshot;
mod summary;

pub use compression::Compression;
pub use producer_snapshot::ProducerSnapshotEntry;
pub use summary::{BatchSummary, TimestampType};
