//! One replica of one partition as a pure state machine: which batches to write and where, which of them clients may
//! see, which producers are known. Also the fetch sessions of a broker. Knows nothing of files, sockets or clocks;
//! payload bytes never reach it.

mod fetch_session;
mod fetch_sessions;
mod leader;
mod producer_state;
mod producer_states;

pub use fetch_session::{FetchContext, PartitionAnswer, PartitionRequest, SessionPartition, SessionTopic};
pub use fetch_sessions::{FetchSessionRequest, FetchSessions, SessionConfig};
pub use leader::{Acks, Appended, Bounds, Effect, Event, Leader, LeaderConfig, WaiterId};
pub use producer_state::{ProducerRejection, SequenceCheck};
pub use producer_states::ProducerStates;

#[cfg(test)]
fn test_batch(
    producer_id: types::ProducerId,
    producer_epoch: types::ProducerEpoch,
    base_sequence: types::Sequence,
    record_count: i32,
) -> record::BatchSummary {
    record::BatchSummary {
        base_offset: types::Offset(0),
        leader_epoch: types::LeaderEpoch::NONE,
        size_bytes: 100,
        compression: record::Compression::None,
        timestamp_type: record::TimestampType::CreateTime,
        is_transactional: false,
        is_control: false,
        base_timestamp: types::Timestamp(500),
        max_timestamp: types::Timestamp(500),
        producer_id,
        producer_epoch,
        base_sequence,
        record_count,
    }
}
