//! What a replica is: the leader of its partition, or a follower of it.

use std::time::Duration;

use record::ProducerSnapshotEntry;
use replication::{Bounds, Event, Follower, FollowerConfig, FollowerEvent, Leader, ReplicaLog};
use types::{BrokerId, LeaderEpoch, Now, Offset};

/// One of the two pure machines; the log goes with whichever it is.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each partition, and most of what it holds is on the heap"
)]
pub(super) enum Role {
    Leading(Leader),
    Following(Follower),
}

impl Role {
    /// A replica that follows nobody: what is left in the place of one that changes.
    pub(super) fn nobody() -> Role {
        let log = ReplicaLog::default();
        Role::Following(Follower::new(None, LeaderEpoch::NONE, FollowerConfig::default(), log))
    }

    pub(super) fn bounds(&self) -> Bounds {
        match self {
            Role::Leading(leader) => leader.bounds(),
            Role::Following(follower) => follower.bounds(),
        }
    }

    pub(super) fn is_leading(&self) -> bool {
        matches!(self, Role::Leading(_))
    }

    /// Whom it follows.
    pub(super) fn followed(&self) -> Option<BrokerId> {
        match self {
            Role::Leading(_) => None,
            Role::Following(follower) => follower.leader(),
        }
    }

    /// How many replicas are in sync; only a leader knows.
    pub(super) fn isr_len(&self) -> Option<usize> {
        match self {
            Role::Leading(leader) => Some(leader.isr_len()),
            Role::Following(_) => None,
        }
    }

    pub(super) fn producer_snapshot(&self) -> Vec<ProducerSnapshotEntry> {
        match self {
            Role::Leading(leader) => leader.producer_snapshot(),
            Role::Following(follower) => follower.producer_snapshot(),
        }
    }

    pub(super) fn producer_count(&self) -> usize {
        match self {
            Role::Leading(leader) => leader.producer_count(),
            Role::Following(follower) => follower.producer_count(),
        }
    }

    pub(super) fn expire_producers(&mut self, now: Now, expiration: Duration) {
        match self {
            Role::Leading(leader) => leader.expire_producers(now, expiration),
            Role::Following(follower) => follower.expire_producers(now, expiration),
        }
    }

    pub(super) fn log_start_moved(&mut self, now: Now, to: Offset) {
        match self {
            Role::Leading(leader) => leader.handle(now, Event::LogStartMoved { to }, &mut Vec::new()),
            Role::Following(follower) => {
                follower.handle(now, FollowerEvent::LogStartMoved { to }, &mut Vec::new());
            }
        }
    }
}
