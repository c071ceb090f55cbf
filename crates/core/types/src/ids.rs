//! Newtypes for every id, offset and epoch, so that no bare integer crosses a module.

use std::fmt;

use crate::Uuid;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A node of the cluster, broker or controller (`node.id`); -1 on the wire means none.
    BrokerId(i32)
}
number! {
    /// The index of a partition in its topic, from 0.
    PartitionId(i32)
}
number! {
    /// A record's position in its partition.
    Offset(i64)
}
number! {
    /// Counts the leaders of one partition; a batch carries the epoch in which it was appended.
    LeaderEpoch(i32)
}
number! {
    /// Counts the changes of one partition's state (leader, ISR, replicas).
    PartitionEpoch(i32)
}
number! {
    /// A broker's registration: the metadata offset of its record, so that a later one is larger.
    BrokerEpoch(i64)
}
number! {
    /// Counts the active controllers: the term of the metadata quorum.
    ControllerEpoch(i32)
}
number! {
    /// An idempotent or transactional producer; -1 means none.
    ProducerId(i64)
}
number! {
    /// Counts the incarnations of one producer id.
    ProducerEpoch(i16)
}
number! {
    /// The sequence number of a producer's record in one partition; wraps from 2^31-1 to 0.
    Sequence(i32)
}

impl BrokerId {
    /// "No node", as Kafka writes it.
    pub const NONE: BrokerId = BrokerId(-1);
}

impl Offset {
    /// The first offset of every log.
    pub const ZERO: Offset = Offset(0);

    /// The offset `count` records later.
    pub const fn plus(self, count: i64) -> Offset {
        Offset(self.0 + count)
    }

    /// How many offsets lie between `earlier` and this one.
    pub const fn since(self, earlier: Offset) -> i64 {
        self.0 - earlier.0
    }
}

impl LeaderEpoch {
    /// "Unknown", as Kafka writes it.
    pub const NONE: LeaderEpoch = LeaderEpoch(-1);

    /// The epoch of the next leader.
    pub const fn next(self) -> LeaderEpoch {
        LeaderEpoch(self.0 + 1)
    }
}

impl PartitionEpoch {
    /// The epoch after the next change.
    pub const fn next(self) -> PartitionEpoch {
        PartitionEpoch(self.0 + 1)
    }
}

impl ProducerId {
    /// "No producer id": the batch is not idempotent.
    pub const NONE: ProducerId = ProducerId(-1);
}

impl ProducerEpoch {
    /// "No epoch", beside [`ProducerId::NONE`].
    pub const NONE: ProducerEpoch = ProducerEpoch(-1);
}

impl Sequence {
    /// "No sequence", beside [`ProducerId::NONE`].
    pub const NONE: Sequence = Sequence(-1);

    /// The sequence number `count` records later: after 2^31-1 comes 0.
    pub const fn plus(self, count: i32) -> Sequence {
        Sequence(self.0.wrapping_add(count) & i32::MAX)
    }

    /// The sequence number `count` records earlier: before 0 comes 2^31-1.
    pub const fn minus(self, count: i32) -> Sequence {
        Sequence(self.0.wrapping_sub(count) & i32::MAX)
    }
}

/// A topic's identity: a deleted and re-created topic is another topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub Uuid);

impl TopicId {
    /// "No id", as Kafka writes it in versions that name topics.
    pub const ZERO: TopicId = TopicId(Uuid::ZERO);
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One partition of one topic, by identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicId,
    /// The partition in it.
    pub partition: PartitionId,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::Sequence;

    #[test]
    fn sequence_wraps_to_zero() {
        assert_eq!(Sequence(i32::MAX).plus(1), Sequence(0));
        assert_eq!(Sequence(i32::MAX - 1).plus(3), Sequence(1));
        assert_eq!(Sequence(7).plus(5), Sequence(12));
        assert_eq!(Sequence(1).minus(3), Sequence(i32::MAX - 1));
    }
}
