//! How much moving replicas still have to copy. Pure: from what is where to a number of bytes.

use std::collections::{BTreeMap, BTreeSet};

use client::TopicMetadata;
use client::admin::{Reassignment, TopicPartitionName};

/// A partition of which somebody gets a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) partition: TopicPartitionName,
    /// Who has all of it.
    pub(super) leader: i32,
    /// Those that are being given it, and are not in sync yet.
    pub(super) takers: Vec<i32>,
    /// Copies that have to be made because their brokers are to be emptied, and are not begun.
    pub(super) waiting: i64,
}

/// The size of a replica, by its broker and partition.
pub(super) type Sizes = BTreeMap<(i32, TopicPartitionName), i64>;

/// What is on its way, and what has to leave cordoned brokers. What is to be spread over new ones is not decided before it
/// is on its way, a few partitions at a time, and counts from then on.
pub(super) fn copies(
    topics: &[TopicMetadata],
    moving: &[Reassignment],
    cordoned: &BTreeSet<i32>,
) -> Vec<Copy> {
    let moving: BTreeMap<_, _> = moving.iter().map(|one| ((&*one.topic, one.partition), one)).collect();
    let mut copies = Vec::new();
    for topic in topics {
        for state in &topic.partitions {
            // Without a leader nobody copies, and nobody says how large it is.
            let Some(leader) = state.leader else { continue };
            let (takers, waiting) = match moving.get(&(&*topic.name, state.index)) {
                Some(one) => (one.adding.iter().copied().filter(|id| !state.isr.contains(id)).collect(), 0),
                None => (Vec::new(), state.replicas.iter().filter(|id| cordoned.contains(id)).count()),
            };
            if !takers.is_empty() || waiting > 0 {
                let partition = TopicPartitionName::new(&topic.name, state.index);
                let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
                copies.push(Copy { partition, leader, takers, waiting });
            }
        }
    }
    copies
}

/// The bytes that the leaders have and the others do not yet. A broker that does not say what it has counts as having nothing.
pub(super) fn bytes_left(copies: &[Copy], sizes: &Sizes) -> i64 {
    let size = |id: i32, copy: &Copy| sizes.get(&(id, copy.partition.clone())).copied().unwrap_or(0);
    let left = copies.iter().map(|copy| {
        let whole = size(copy.leader, copy);
        // A copy may be the larger one: the leader deleted or compacted what the other one has got already.
        let begun = copy.takers.iter().map(|taker| (whole - size(*taker, copy)).max(0));
        begun.fold(whole.saturating_mul(copy.waiting), i64::saturating_add)
    });
    left.fold(0, i64::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use client::admin::{Reassignment, TopicPartitionName};
    use client::{PartitionMetadata, TopicMetadata};
    use types::TopicId;

    use super::{Copy, Sizes, bytes_left, copies};

    fn orders(partitions: Vec<PartitionMetadata>) -> TopicMetadata {
        TopicMetadata {
            name: "orders".to_owned(),
            topic_id: TopicId::default(),
            is_internal: false,
            error: None,
            partitions,
        }
    }

    fn partition(index: i32, leader: Option<i32>, replicas: &[i32], isr: &[i32]) -> PartitionMetadata {
        PartitionMetadata {
            index,
            leader,
            leader_epoch: 0,
            replicas: replicas.to_vec(),
            isr: isr.to_vec(),
            offline_replicas: Vec::new(),
        }
    }

    fn reassignment(partition: i32, adding: &[i32], removing: &[i32]) -> Reassignment {
        Reassignment {
            topic: "orders".to_owned(),
            partition,
            adding: adding.to_vec(),
            removing: removing.to_vec(),
        }
    }

    fn copy(partition: i32, leader: i32, takers: &[i32], waiting: i64) -> Copy {
        let partition = TopicPartitionName::new("orders", partition);
        Copy { partition, leader, takers: takers.to_vec(), waiting }
    }

    fn sizes(sizes: &[(i32, i32, i64)]) -> Sizes {
        let size = |(id, partition, bytes): &(i32, i32, i64)| {
            ((*id, TopicPartitionName::new("orders", *partition)), *bytes)
        };
        sizes.iter().map(size).collect()
    }

    #[test]
    fn what_is_copied_is_what_is_on_its_way_and_what_has_to_leave() {
        let topic = orders(vec![
            partition(0, Some(0), &[0, 1, 2, 3], &[0, 1, 2]),
            // The new one is in sync; the old one only has to go.
            partition(1, Some(1), &[1, 2, 0, 3], &[1, 2, 3]),
            partition(2, Some(1), &[1, 2, 0], &[1, 2, 0]),
            partition(3, Some(2), &[1, 2, 3], &[1, 2, 3]),
            partition(4, None, &[0, 3], &[]),
        ]);
        let moving = [reassignment(0, &[3], &[2]), reassignment(1, &[3], &[0])];
        let expected = [copy(0, 0, &[3], 0), copy(2, 1, &[], 1)];
        assert_eq!(copies(&[topic], &moving, &BTreeSet::from([0])), expected);
    }

    #[test]
    fn what_is_left_is_what_the_leader_has_more() {
        let copies = [copy(0, 0, &[3, 4], 0), copy(1, 1, &[], 2)];
        let seen = sizes(&[(0, 0, 1000), (3, 0, 400), (1, 1, 50), (9, 1, 7)]);
        // 600 for broker 3, all for broker 4, and two copies of the other partition.
        assert_eq!(bytes_left(&copies, &seen), 600 + 1000 + 2 * 50);
    }

    #[test]
    fn what_is_larger_than_its_original_is_complete_and_an_unknown_original_weighs_nothing() {
        let copies = [copy(0, 0, &[3], 0), copy(1, 1, &[3], 1)];
        assert_eq!(bytes_left(&copies, &sizes(&[(0, 0, 10), (3, 0, 11), (3, 1, 5)])), 0);
        assert_eq!(bytes_left(&[], &sizes(&[(0, 0, 10)])), 0);
    }
}
