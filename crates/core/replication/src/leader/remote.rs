//! Another replica, as its leader knows it from its fetches.

use std::time::Duration;

use types::{BrokerEpoch, BrokerId, LeaderEpoch, Monotonic, Offset};

/// A follower's fetch of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerFetch {
    /// Who.
    pub broker: BrokerId,
    /// Its registration (`ReplicaState.ReplicaEpoch`).
    pub broker_epoch: BrokerEpoch,
    /// The leader epoch that it follows.
    pub leader_epoch: LeaderEpoch,
    /// Its log end, as far as it is durable there.
    pub fetch_offset: Offset,
    /// The epoch of its last record; `NONE` if its log is empty.
    pub last_fetched_epoch: LeaderEpoch,
    /// Its log start.
    pub log_start: Offset,
}

/// Another replica as the leader sees it, for metrics and for the choice of a replica to read from (KIP-392).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteReplica {
    /// Who.
    pub broker: BrokerId,
    /// Its log start, once it has fetched in this epoch.
    pub log_start: Option<Offset>,
    /// Its log end, once it has fetched in this epoch.
    pub log_end: Option<Offset>,
    /// Whether the controller has committed it as in sync.
    pub is_in_sync: bool,
}

/// What is remembered of another replica. Kafka: `Replica`, `ReplicaState`.
#[derive(Debug)]
pub(crate) struct Remote {
    /// Its registration if it may be in sync.
    pub(crate) eligible: Option<BrokerEpoch>,
    /// The registration that its fetches name.
    pub(crate) broker_epoch: Option<BrokerEpoch>,
    pub(crate) log_start: Option<Offset>,
    pub(crate) log_end: Option<Offset>,
    /// When it last had all that the leader had.
    last_caught_up: Option<Monotonic>,
    last_fetch: Monotonic,
    /// The leader's log end at the last fetch: who reaches it later was caught up at that fetch's time.
    leader_end_at_last_fetch: Option<Offset>,
}

impl Remote {
    /// A replica that has not fetched yet. One that is in sync gets the whole lag time to show up.
    pub(crate) fn new(eligible: Option<BrokerEpoch>, in_sync_since: Option<Monotonic>) -> Remote {
        Remote {
            eligible,
            broker_epoch: None,
            log_start: None,
            log_end: None,
            last_caught_up: in_sync_since,
            last_fetch: Monotonic::default(),
            leader_end_at_last_fetch: None,
        }
    }

    /// Whether a fetch comes from an incarnation that is gone.
    pub(crate) fn is_stale(&self, broker_epoch: BrokerEpoch) -> bool {
        self.broker_epoch.max(self.eligible).is_some_and(|known| known > broker_epoch)
    }

    /// Takes in a fetch whose place in the log was checked.
    pub(crate) fn fetched(&mut self, now: Monotonic, fetch: &FollowerFetch, leader_end: Offset) {
        if self.broker_epoch != Some(fetch.broker_epoch) {
            *self = Remote::new(self.eligible, self.last_caught_up);
            self.broker_epoch = Some(fetch.broker_epoch);
        }
        let caught_up = if fetch.fetch_offset >= leader_end {
            Some(now)
        } else if self.leader_end_at_last_fetch.is_some_and(|end| fetch.fetch_offset >= end) {
            Some(self.last_fetch)
        } else {
            None
        };
        self.last_caught_up = self.last_caught_up.max(caught_up);
        self.last_fetch = now;
        self.leader_end_at_last_fetch = Some(leader_end);
        self.log_start = Some(fetch.log_start);
        self.log_end = Some(fetch.fetch_offset);
    }

    /// Whether the controller would take it as in sync: it is eligible, and the incarnation that fetches is the one
    /// that is registered (KIP-903).
    pub(crate) fn is_eligible(&self) -> bool {
        self.eligible.is_some() && self.eligible == self.broker_epoch
    }

    /// When it counts as lagging; `None` if it has all.
    pub(crate) fn lags_at(&self, leader_end: Offset, lag_time_max: Duration) -> Option<Monotonic> {
        if self.log_end == Some(leader_end) {
            return None;
        }
        Some(self.last_caught_up.map_or(Monotonic::default(), |at| at.plus(lag_time_max)))
    }

    /// Whether it had all that the leader had not long ago.
    pub(crate) fn is_caught_up(&self, now: Monotonic, leader_end: Offset, lag_time_max: Duration) -> bool {
        self.lags_at(leader_end, lag_time_max).is_none_or(|at| now < at)
    }
}
