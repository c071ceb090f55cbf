//! How fast this node copies replicas that are moved to it, and how fast it gives such copies, so that what is produced
//! meanwhile keeps its share of disk and network. Kafka's throttles (KIP-73), and that of spreading replicas. A replica in
//! sync is never held back: it would fall out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metadata::{ConfigResource, Image};
use types::{BrokerId, Monotonic, TopicPartition};

use crate::quorum::MetadataHandle;

/// Which end of a copy is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// This node copies.
    Follower,
    /// This node is copied from.
    Leader,
}

/// The throttles of one side of a node.
#[derive(Debug)]
pub(crate) struct Throttle {
    metadata: MetadataHandle,
    me: BrokerId,
    side: Side,
    buckets: Mutex<[Bucket; 2]>,
}

/// Whose bound it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What the topic's configuration lists.
    Listed = 0,
    /// What is moved to spread replicas.
    Moved = 1,
}

/// What may be copied before the bound is reached; at most as much as in a second.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    left: i64,
    at: Option<Monotonic>,
}

/// The bounds that are set at one moment.
#[derive(Debug)]
pub(crate) struct Limits {
    image: Arc<Image>,
    me: BrokerId,
    side: Side,
    rates: [Option<i64>; 2],
}

impl Throttle {
    /// Nothing copied yet.
    pub(crate) fn new(metadata: MetadataHandle, me: BrokerId, side: Side) -> Throttle {
        Throttle { metadata, me, side, buckets: Mutex::default() }
    }

    /// The bounds now; nothing if there are none, as nearly always.
    pub(crate) fn limits(&self) -> Option<Limits> {
        let image = self.metadata.image();
        let (me, side) = (self.me, self.side);
        let moved = match side {
            Side::Follower => image.rebalance_rate(),
            // Who copies holds itself back already.
            Side::Leader => None,
        };
        let rates = [listed_rate(&image, side, me), moved];
        rates.iter().any(Option::is_some).then_some(Limits { image, me, side, rates })
    }

    /// Whether `copier` may have more of a partition now.
    pub(crate) fn allows(
        &self,
        now: Monotonic,
        limits: &Limits,
        id: TopicPartition,
        copier: BrokerId,
    ) -> bool {
        let Some(kind) = limits.kind(id, copier) else { return true };
        let bucket = &mut self.lock()[kind as usize];
        bucket.fill(now, limits.rates[kind as usize].unwrap_or(i64::MAX));
        bucket.left > 0
    }

    /// Notes what was copied.
    pub(crate) fn took(&self, limits: &Limits, id: TopicPartition, copier: BrokerId, bytes: usize) {
        if let Some(kind) = limits.kind(id, copier) {
            let bucket = &mut self.lock()[kind as usize];
            bucket.left = bucket.left.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Bucket; 2]> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn fill(&mut self, now: Monotonic, rate: i64) {
        let gained = match self.at {
            Some(at) => {
                let millis = now.0.saturating_sub(at.0).as_millis();
                rate.saturating_mul(i64::try_from(millis).unwrap_or(i64::MAX)) / 1000
            }
            None => rate,
        };
        // Time that gained nothing is not lost.
        if gained > 0 {
            self.left = self.left.saturating_add(gained).min(rate);
            self.at = Some(now);
        }
    }
}

impl Limits {
    /// Which bound a partition is under when `copier` copies it, if any.
    fn kind(&self, id: TopicPartition, copier: BrokerId) -> Option<Kind> {
        let partition = self.image.partition(id)?;
        if partition.isr.contains(&copier) {
            return None;
        }
        if self.rates[Kind::Listed as usize].is_some() && self.is_listed(id) {
            return Some(Kind::Listed);
        }
        let is_moved = self.rates[Kind::Moved as usize].is_some() && partition.adding.contains(&copier);
        is_moved.then_some(Kind::Moved)
    }

    fn is_listed(&self, id: TopicPartition) -> bool {
        let listed = self.image.config(&ConfigResource::Topic(id.topic)).get(self.side.replicas());
        let pair = format!("{}:{}", id.partition, self.me);
        listed.is_some_and(|listed| listed.split(',').map(str::trim).any(|one| one == "*" || one == pair))
    }
}

impl Side {
    fn rate(self) -> &'static str {
        match self {
            Side::Follower => "follower.replication.throttled.rate",
            Side::Leader => "leader.replication.throttled.rate",
        }
    }

    /// Names the replica of this side: the one that copies, or the one that leads.
    fn replicas(self) -> &'static str {
        match self {
            Side::Follower => "follower.replication.throttled.replicas",
            Side::Leader => "leader.replication.throttled.replicas",
        }
    }
}

fn listed_rate(image: &Image, side: Side, me: BrokerId) -> Option<i64> {
    let own = image.config(&ConfigResource::Broker(me)).get(side.rate());
    own.or_else(|| image.config(&ConfigResource::Cluster).get(side.rate()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use types::Monotonic;

    use super::Bucket;

    #[test]
    fn a_bucket_gives_its_rate_and_no_more_than_a_second_of_it() {
        let at = |ms| Monotonic(Duration::from_millis(ms));
        let mut bucket = Bucket::default();
        bucket.fill(at(5_000), 1_000);
        assert_eq!(bucket.left, 1_000);
        bucket.left -= 3_000;
        bucket.fill(at(6_000), 1_000);
        assert_eq!(bucket.left, -1_000, "what was too much is made up for");
        for ms in 6_000..8_001 {
            bucket.fill(at(ms), 1_000);
        }
        assert_eq!(bucket.left, 1_000);
        bucket.fill(at(60_000), 1_000);
        assert_eq!(bucket.left, 1_000);
    }
}
