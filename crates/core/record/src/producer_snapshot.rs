//! What a partition's `.snapshot` file holds of its idempotent producers.

use types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// One producer, as Kafka's `ProducerSnapshot` has it: its last batch only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerSnapshotEntry {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// The last sequence number of its last batch.
    pub last_sequence: Sequence,
    /// The last offset of that batch.
    pub last_offset: Offset,
    /// From that batch's first offset to its last.
    pub offset_delta: i32,
    /// That batch's largest timestamp.
    pub timestamp: Timestamp,
    /// The epoch of the coordinator that last ended a transaction of it; -1 if none did.
    pub coordinator_epoch: i32,
    /// Where its open transaction starts.
    pub current_txn_first_offset: Option<Offset>,
}
