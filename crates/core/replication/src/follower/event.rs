//! What a follower is told and what it asks for.

use std::time::Duration;

use record::BatchSummary;
use types::{BrokerId, ErrorCode, LeaderEpoch, Offset};

use crate::ProducerStates;

/// Names one fetch of one follower: an answer to any but the last counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FetchId(pub u64);

/// What a follower asks its leader: its part of a Fetch request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Comes back with the answer.
    pub id: FetchId,
    /// Whom to ask.
    pub leader: BrokerId,
    /// `CurrentLeaderEpoch`.
    pub leader_epoch: LeaderEpoch,
    /// `FetchOffset`.
    pub fetch_offset: Offset,
    /// `LastFetchedEpoch`.
    pub last_fetched_epoch: LeaderEpoch,
    /// `LogStartOffset`.
    pub log_start: Offset,
}

/// What the leader said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchAnswer {
    /// The next batches, whole and checked for their CRC; none if there was nothing new.
    Records {
        /// In the order of the log.
        batches: Vec<BatchSummary>,
        /// The leader's.
        high_watermark: Offset,
        /// The leader's.
        log_start: Offset,
    },
    /// Our last records are not the leader's.
    Diverging {
        /// The leader's largest epoch that is not past our last.
        epoch: LeaderEpoch,
        /// Where it ends there.
        end_offset: Offset,
    },
    /// The leader has nothing at our offset. Where its answer lacks its bounds, the shell asks it with ListOffsets.
    OutOfRange {
        /// The leader's first offset.
        log_start: Offset,
        /// One past the leader's last.
        log_end: Offset,
    },
    /// Another error, or no answer at all (`NetworkException`).
    Failed(ErrorCode),
}

/// What happens to a follower.
#[derive(Clone, Debug)]
pub enum FollowerEvent {
    /// The metadata image names another leader, or none.
    LeaderChanged {
        /// Whom to follow.
        leader: Option<BrokerId>,
        /// Its epoch.
        leader_epoch: LeaderEpoch,
    },
    /// A fetch was answered, or failed.
    Answered {
        /// Which.
        fetch: FetchId,
        /// With what.
        answer: FetchAnswer,
    },
    /// The first `count` batches of the last `Append` are in the log; fewer than asked if the disk would not take more.
    Written {
        /// How many.
        count: usize,
    },
    /// Everything before `end` survives what the topic's flush settings promise to survive. Until that is all there
    /// is, the follower does not fetch on: the offset of its fetch is its acknowledgement.
    Durable {
        /// One past the last durable offset.
        end: Offset,
    },
    /// `Truncate` is done.
    Truncated {
        /// The log's end now: where the last whole batch ends, so that it may lie before the cut.
        end: Offset,
        /// The producers of what is left.
        producers: ProducerStates,
    },
    /// `Restart` is done.
    Restarted,
    /// Records before `to` were deleted.
    LogStartMoved {
        /// The new log start offset.
        to: Offset,
    },
    /// The topic's configuration changed.
    Configured(FollowerConfig),
}

/// What the shell does for a follower, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowerEffect {
    /// Write the first batches of the answer as they are, then report `Written`, and `Durable` when it is so.
    Append {
        /// How many of them.
        count: usize,
    },
    /// Cut the log and its epochs, also those without a record, then report `Truncated`.
    Truncate {
        /// The first offset that goes.
        to: Offset,
    },
    /// Delete all, begin again at an offset, then report `Restarted`. An `Append` may follow at once.
    Restart {
        /// The first offset to come.
        at: Offset,
    },
    /// The leader has deleted its first records: delete ours.
    DeleteRecords {
        /// The new log start.
        before: Offset,
    },
    /// The answer was not what a leader may say: log it. The follower asks again after a rest.
    Report(BadAnswer),
}

/// What a leader may not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// A hole, or a repetition.
    #[error("a batch at offset {offered} does not continue the log at {expected}")]
    NotContiguous {
        /// The log's end.
        expected: Offset,
        /// Where the batch begins.
        offered: Offset,
    },
    /// A batch of an epoch that came before the last one.
    #[error("a batch of epoch {offered} follows epoch {last}")]
    EpochWentBack {
        /// The log's last epoch.
        last: LeaderEpoch,
        /// The batch's.
        offered: LeaderEpoch,
    },
    /// A batch of a leader that is not known yet: it may replace what is not committed, so it waits for the news.
    #[error("a batch of epoch {offered} comes from the leader of epoch {current}")]
    EpochAhead {
        /// The leader's epoch.
        current: LeaderEpoch,
        /// The batch's.
        offered: LeaderEpoch,
    },
    /// A batch that takes no offset.
    #[error("a batch at offset {offered} is empty")]
    Empty {
        /// Where it begins.
        offered: Offset,
    },
}

/// What a follower needs to know of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerConfig {
    /// `replica.fetch.backoff.ms`: how long it rests after an error.
    pub fetch_backoff: Duration,
    /// `cleanup.policy` contains `compact`: the leader's log may have holes.
    pub is_compacted: bool,
}

impl Default for FollowerConfig {
    fn default() -> FollowerConfig {
        FollowerConfig { fetch_backoff: Duration::from_millis(20), is_compacted: false }
    }
}

/// What a follower is about, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowerState {
    /// Asking for more.
    Fetching,
    /// Cutting what the leader does not have.
    Truncating,
    /// Resting after an error, or without a leader.
    Paused,
}
