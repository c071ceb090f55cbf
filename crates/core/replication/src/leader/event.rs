//! What a leader is told and what it asks for.

use std::time::Duration;

use record::BatchSummary;
use types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset, Timestamp};

use crate::PartitionState;
use crate::leader::isr::{CommittedIsr, IsrProposal, ProposalId};

/// Names a produce request that waits; the shell gives them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WaiterId(pub u64);

/// When a produce request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Not at all.
    None,
    /// After the leader's write.
    Leader,
    /// After every in-sync replica has it.
    All,
}

impl Acks {
    /// From the wire: 0, 1 or -1.
    pub fn from_wire(acks: i16) -> Option<Acks> {
        match acks {
            0 => Some(Acks::None),
            1 => Some(Acks::Leader),
            -1 => Some(Acks::All),
            _ => None,
        }
    }
}

/// Where a produced batch is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// Its largest timestamp.
    pub max_timestamp: Timestamp,
}

/// What happens to a leader.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client's batch, checked and not yet written.
    Append {
        /// The batch; its base offset has no meaning yet.
        batch: BatchSummary,
        /// When to answer.
        acks: Acks,
        /// Whom to answer.
        waiter: WaiterId,
        /// How long it waits (`timeout.ms` of the request).
        timeout: Duration,
    },
    /// The batch of the last `Write` is in the log and can be read; the summary has its offsets.
    Written {
        /// The batch as written.
        batch: BatchSummary,
    },
    /// The batch of the last `Write` could not be written and is not in the log.
    WriteFailed {
        /// What its producer is told.
        error: ErrorCode,
    },
    /// Everything before `end` survives what the topic's flush settings promise to survive: without them this follows
    /// the write at once, with them it follows the fsync.
    Durable {
        /// One past the last durable offset.
        end: Offset,
    },
    /// Records before `to` were deleted.
    LogStartMoved {
        /// The new log start offset.
        to: Offset,
    },
    /// The topic's configuration changed.
    Configured(LeaderConfig),
    /// The controller has committed another state of the partition, as the metadata image says. With a higher leader
    /// epoch and still this replica as the leader, the new epoch begins in place; with another leader this one resigns.
    Changed(PartitionState),
    /// A broker was registered, fenced, unfenced, or began to shut down, as the metadata image says. At the start the
    /// shell tells every replica's, its own too.
    BrokerChanged {
        /// Which.
        broker: BrokerId,
        /// Its registered epoch if it may be in sync: unfenced, and not shutting down.
        eligible: Option<BrokerEpoch>,
    },
    /// The controller has answered a `ProposeIsr`, or the shell has given up waiting for the answer.
    IsrAnswered {
        /// Which proposal.
        proposal: ProposalId,
        /// What the controller has committed, or why not. An answer that never came is `RequestTimedOut`.
        result: Result<CommittedIsr, ErrorCode>,
    },
    /// A deadline has passed.
    Tick,
    /// This replica is no longer the leader, or the topic is gone: everybody who waits is told.
    Resigned {
        /// What they are told.
        error: ErrorCode,
    },
}

/// What the shell does for a leader, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write the appended batch with these two fields patched, then report `Written` or `WriteFailed`.
    Write {
        /// Where it goes.
        base_offset: Offset,
        /// The epoch that goes into its header.
        leader_epoch: LeaderEpoch,
    },
    /// Answer a produce request.
    Complete {
        /// Which.
        waiter: WaiterId,
        /// What to say.
        result: Result<Appended, ErrorCode>,
    },
    /// Ask the controller to change the in-sync replicas (AlterPartition), then report `IsrAnswered`.
    ProposeIsr(IsrProposal),
    /// A new epoch began in place: note it in the log's epoch checkpoint.
    AssignEpoch {
        /// The epoch.
        leader_epoch: LeaderEpoch,
        /// Its first offset.
        start: Offset,
    },
}

/// What a leader needs to know of its topic's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderConfig {
    /// `min.insync.replicas`; more than there are replicas counts as all of them.
    pub min_insync_replicas: usize,
    /// `replica.lag.time.max.ms`: who has not been caught up for so long is not in sync.
    pub replica_lag_time_max: Duration,
}

impl Default for LeaderConfig {
    fn default() -> LeaderConfig {
        LeaderConfig { min_insync_replicas: 1, replica_lag_time_max: Duration::from_secs(30) }
    }
}

/// What readers may see of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that is there.
    pub log_start: Offset,
    /// Consumers read up to here.
    pub high_watermark: Offset,
    /// Consumers with `read_committed` read up to here.
    pub last_stable: Offset,
    /// One past the last offset that is written.
    pub log_end: Offset,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
}
