//! One replica of one partition as a pure state machine: which batches to write and where, which of them clients may
//! see, which replicas are in sync, which producers are known. Also the fetch sessions of a broker. Knows nothing of
//! files, sockets or clocks; payload bytes never reach it.

mod fetch_session;
mod fetch_sessions;
mod follower;
mod leader;
mod partition_state;
mod producer_state;
mod producer_states;
mod replica_log;
#[cfg_attr(
    not(feature = "sabotage"),
    allow(unreachable_pub, reason = "exported only where rules are broken")
)]
mod rule;

pub use fetch_session::{FetchContext, PartitionAnswer, PartitionRequest, SessionPartition, SessionTopic};
pub use fetch_sessions::{FetchSessionRequest, FetchSessions, SessionConfig};
pub use follower::{
    BadAnswer, Fetch, FetchAnswer, FetchId, Follower, FollowerConfig, FollowerEffect, FollowerEvent,
    FollowerState,
};
pub use leader::{
    Acks, Appended, Bounds, CommittedIsr, Effect, Event, FetchRefusal, FollowerAnswer, FollowerFetch, InSync,
    IsrProposal, Leader, LeaderConfig, ProposalId, RemoteReplica, WaiterId,
};
pub use partition_state::PartitionState;
pub use producer_state::{ProducerRejection, SequenceCheck};
pub use producer_states::ProducerStates;
pub use replica_log::ReplicaLog;
#[cfg(feature = "sabotage")]
pub use rule::{Rule, break_rule};

#[cfg(test)]
mod simulation;

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
