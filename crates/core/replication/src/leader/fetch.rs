//! The leader's part that answers followers: where their log and its own part (KIP-101, KIP-279), and what they may
//! read.

use types::{ErrorCode, LeaderEpoch, Now, Offset};

use super::remote::FollowerFetch;
use super::{Effect, Leader};
use crate::rule::{Rule, is_broken};

/// What a follower is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowerAnswer {
    /// The logs agree up to where it fetches: it reads on from there, or waits until there is more.
    Read {
        /// One past the last offset that it may read.
        upto: Offset,
        /// Goes with the records.
        high_watermark: Offset,
        /// Goes with the records.
        log_start: Offset,
    },
    /// Its last records are not this log's (`DivergingEpoch` of the Fetch response).
    Diverging {
        /// The largest epoch of this log that is not past the follower's last.
        epoch: LeaderEpoch,
        /// Where that epoch ends here.
        end_offset: Offset,
    },
}

/// Why a follower's fetch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchRefusal {
    /// This replica leads no longer, or does not count the follower among the replicas, or the follower has been
    /// registered anew since it sent this.
    #[error("not the leader of this follower")]
    NotLeader,
    /// The follower is an epoch behind.
    #[error("the leader epoch is {0} already")]
    FencedEpoch(LeaderEpoch),
    /// The follower has heard of an epoch that this leader has not.
    #[error("the leader epoch is only {0} here")]
    UnknownEpoch(LeaderEpoch),
    /// There is nothing in this log for the follower's offset. The answer carries both ends.
    #[error("the log is from {log_start} to {log_end}")]
    OutOfRange {
        /// The first offset.
        log_start: Offset,
        /// One past the last.
        log_end: Offset,
    },
}

impl FetchRefusal {
    /// The error as Kafka puts it on the wire.
    pub fn code(self) -> ErrorCode {
        match self {
            FetchRefusal::NotLeader => ErrorCode::NotLeaderOrFollower,
            FetchRefusal::FencedEpoch(_) => ErrorCode::FencedLeaderEpoch,
            FetchRefusal::UnknownEpoch(_) => ErrorCode::UnknownLeaderEpoch,
            FetchRefusal::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        }
    }
}

impl Leader {
    /// Checks a client's or follower's idea of the leader epoch (`CurrentLeaderEpoch`); `NONE` is no idea.
    pub fn check_epoch(&self, epoch: LeaderEpoch) -> Result<(), FetchRefusal> {
        let current = self.state.leader_epoch;
        match epoch {
            _ if self.is_resigned => Err(FetchRefusal::NotLeader),
            LeaderEpoch::NONE => Ok(()),
            epoch if is_broken(Rule::LeaderEpochIsChecked) || epoch == current => Ok(()),
            epoch if epoch < current => Err(FetchRefusal::FencedEpoch(current)),
            _ => Err(FetchRefusal::UnknownEpoch(current)),
        }
    }

    /// Takes in a follower's fetch and says what to answer. A fetch whose log is a part of this one counts for the
    /// high watermark and for the in-sync replicas, whether or not there is anything to read. One that waits in the
    /// shell is asked again, with this method, when the bounds have moved.
    pub fn follower_fetch(
        &mut self,
        now: Now,
        fetch: &FollowerFetch,
        effects: &mut Vec<Effect>,
    ) -> Result<FollowerAnswer, FetchRefusal> {
        self.check_epoch(fetch.leader_epoch)?;
        let remote = self.remotes.get(&fetch.broker).ok_or(FetchRefusal::NotLeader)?;
        if remote.is_stale(fetch.broker_epoch) && !is_broken(Rule::BrokerEpochIsChecked) {
            return Err(FetchRefusal::NotLeader);
        }
        if let Some((epoch, end_offset)) = self.divergence(fetch)? {
            return Ok(FollowerAnswer::Diverging { epoch, end_offset });
        }
        if let Some(remote) = self.remotes.get_mut(&fetch.broker) {
            remote.fetched(now.monotonic, fetch, self.log.log_end);
        }
        self.advance(now, effects);
        self.tend_isr(now, Some(fetch.broker), effects);
        Ok(FollowerAnswer::Read {
            upto: self.log.log_end,
            high_watermark: self.log.high_watermark,
            log_start: self.log.log_start,
        })
    }

    /// Where the follower's log leaves this one, if it does.
    fn divergence(&self, fetch: &FollowerFetch) -> Result<Option<(LeaderEpoch, Offset)>, FetchRefusal> {
        let (log_start, log_end) = (self.log.log_start, self.log.log_end);
        let out_of_range = FetchRefusal::OutOfRange { log_start, log_end };
        if fetch.fetch_offset < log_start {
            return Err(out_of_range);
        }
        let last_epoch = fetch.last_fetched_epoch;
        if last_epoch != LeaderEpoch::NONE && !is_broken(Rule::EpochsAreCompared) {
            let (epoch, end) = self.log.epochs.end_offset(last_epoch, log_end).ok_or(out_of_range)?;
            // Nothing is left here to compare it with: the follower may have other records than those that were
            // deleted here, and would show them as a leader. It begins again where this log does.
            let first_epoch = self.log.epochs.entries().first().map(|&(epoch, _)| epoch);
            if first_epoch > Some(last_epoch) && fetch.fetch_offset == log_start {
                return Err(out_of_range);
            }
            if epoch < last_epoch || end < fetch.fetch_offset {
                return Ok(Some((epoch, end)));
            }
        }
        if fetch.fetch_offset > log_end {
            return Err(out_of_range);
        }
        Ok(None)
    }
}
