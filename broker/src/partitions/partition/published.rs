//! What of a replica is read without its lock: by requests that ask who leads, and by Prometheus. Written under the lock,
//! after every change.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use types::{BrokerId, Monotonic, Offset};

/// A replica from outside.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) is_leading: AtomicBool,
    pub(super) is_online: AtomicBool,
    pub(super) producers: AtomicUsize,
    pub(super) min_isr: AtomicUsize,
    /// Replaced only with the replicas; a fetch writes into the atomics, through its own copy.
    followers: Mutex<Followers>,
}

/// The followers of a partition, if this node leads it and there are any.
pub(super) type Followers = Option<Arc<[FollowerProgress]>>;

/// How far a follower has come, as its fetches say.
#[derive(Debug)]
pub(crate) struct FollowerProgress {
    /// Who.
    pub(crate) broker: BrokerId,
    /// -1 before its first fetch.
    end: AtomicI64,
    /// In microseconds of the monotonic clock.
    caught_up: AtomicU64,
}

impl Published {
    pub(super) fn new(min_isr: i32) -> Published {
        Published {
            is_leading: AtomicBool::new(false),
            is_online: AtomicBool::new(true),
            producers: AtomicUsize::new(0),
            min_isr: AtomicUsize::new(usize::try_from(min_isr).unwrap_or(1)),
            followers: Mutex::default(),
        }
    }

    /// The followers now.
    pub(super) fn followers(&self) -> Followers {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says who follows now. Who did before has come as far as it had.
    pub(super) fn set_followers(&self, now: Monotonic, brokers: impl Iterator<Item = BrokerId>) -> Followers {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        let brokers: Vec<BrokerId> = brokers.collect();
        let known = followers.as_deref().unwrap_or_default();
        if known.iter().map(|known| known.broker).eq(brokers.iter().copied()) {
            return followers.clone();
        }
        let progress =
            brokers.iter().map(|broker| match known.iter().find(|known| known.broker == *broker) {
                Some(known) => FollowerProgress {
                    broker: *broker,
                    end: AtomicI64::new(known.end.load(Ordering::Relaxed)),
                    caught_up: AtomicU64::new(known.caught_up.load(Ordering::Relaxed)),
                },
                None => FollowerProgress {
                    broker: *broker,
                    end: AtomicI64::new(-1),
                    caught_up: AtomicU64::new(micros(now)),
                },
            });
        *followers = Some(progress.collect()).filter(|_| !brokers.is_empty());
        followers.clone()
    }
}

impl FollowerProgress {
    /// It has asked for what comes from `end` on, when the leader's log ended at `leader_end`.
    pub(super) fn note(&self, now: Monotonic, end: Offset, leader_end: Offset) {
        self.end.store(end.0, Ordering::Relaxed);
        if end >= leader_end {
            self.caught_up.store(micros(now), Ordering::Relaxed);
        }
    }

    /// How many offsets it lacks of a log from `start` to `end`, and since when it has not had all of it.
    pub(crate) fn lag(&self, now: Monotonic, start: Offset, end: Offset) -> (i64, Duration) {
        let lacks = end.0 - self.end.load(Ordering::Relaxed).max(start.0);
        match lacks > 0 {
            true => {
                let caught_up = Duration::from_micros(self.caught_up.load(Ordering::Relaxed));
                (lacks, now.0.saturating_sub(caught_up))
            }
            false => (0, Duration::ZERO),
        }
    }
}

fn micros(at: Monotonic) -> u64 {
    u64::try_from(at.0.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic(Duration::from_secs(seconds))
    }

    #[test]
    fn a_follower_lags_from_when_it_last_had_all() {
        let published = Published::new(1);
        let followers = published.set_followers(at(10), [BrokerId(2), BrokerId(3)].into_iter()).unwrap();
        let lag = |index: usize, now| followers[index].lag(at(now), Offset(0), Offset(50));
        assert_eq!(lag(0, 12), (50, Duration::from_secs(2)), "it has not fetched yet");
        followers[0].note(at(12), Offset(40), Offset(40));
        assert_eq!(lag(0, 15), (10, Duration::from_secs(3)));
        followers[0].note(at(15), Offset(45), Offset(50));
        assert_eq!(lag(0, 16), (5, Duration::from_secs(4)), "more is not all");
        followers[0].note(at(17), Offset(50), Offset(50));
        assert_eq!(lag(0, 60), (0, Duration::ZERO), "nothing came since");
    }

    #[test]
    fn a_follower_that_stays_keeps_its_progress() {
        let published = Published::new(1);
        let first = published.set_followers(at(1), [BrokerId(2)].into_iter()).unwrap();
        first[0].note(at(2), Offset(7), Offset(7));
        let next = published.set_followers(at(5), [BrokerId(2), BrokerId(4)].into_iter()).unwrap();
        assert_eq!(next[0].lag(at(6), Offset(0), Offset(8)), (1, Duration::from_secs(4)));
        assert_eq!(next[1].lag(at(6), Offset(3), Offset(8)), (5, Duration::from_secs(1)));
        assert!(published.set_followers(at(6), [].into_iter()).is_none());
        assert!(published.followers().is_none());
    }
}
