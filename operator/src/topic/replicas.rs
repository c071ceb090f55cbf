//! Which brokers hold a topic's partitions when its number of replicas changes. Pure. Moves nothing that need not move.

use std::collections::BTreeMap;

/// A partition as its cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) index: i32,
    pub(crate) leader: Option<i32>,
    /// Those that it is to have.
    pub(crate) replicas: Vec<i32>,
    /// How many it has: until a change is complete, as many as before.
    pub(crate) current: usize,
    pub(crate) isr: Vec<i32>,
}

/// The replicas of each partition that has more or fewer than `factor` of them. New ones go to the brokers with the fewest;
/// of those that there are, the leader stays, and who is in sync goes last.
pub(crate) fn reassign(partitions: &[Partition], brokers: &[i32], factor: usize) -> Vec<(i32, Vec<i32>)> {
    let mut counts: BTreeMap<i32, usize> = brokers.iter().map(|broker| (*broker, 0)).collect();
    for broker in partitions.iter().flat_map(|partition| &partition.replicas) {
        if let Some(count) = counts.get_mut(broker) {
            *count += 1;
        }
    }
    let mut moves = Vec::new();
    for partition in partitions.iter().filter(|partition| partition.replicas.len() != factor) {
        let mut replicas = partition.replicas.clone();
        while replicas.len() > factor {
            let stays = |id: &i32| (partition.leader == Some(*id), partition.isr.contains(id));
            let most = |id: &i32| counts.get(id).copied().unwrap_or(usize::MAX);
            let Some(going) =
                replicas.iter().copied().min_by_key(|id| (stays(id), std::cmp::Reverse(most(id)), -id))
            else {
                break;
            };
            replicas.retain(|id| *id != going);
            counts.entry(going).and_modify(|count| *count = count.saturating_sub(1));
        }
        while replicas.len() < factor {
            let takes = counts.iter().filter(|(id, _)| !replicas.contains(id));
            let Some(taker) = takes.min_by_key(|(id, count)| (**count, **id)).map(|(id, _)| *id) else {
                break;
            };
            replicas.push(taker);
            counts.entry(taker).and_modify(|count| *count += 1);
        }
        if replicas.len() == factor {
            moves.push((partition.index, replicas));
        }
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::{Partition, reassign};

    fn partition(index: i32, leader: i32, replicas: &[i32], isr: &[i32]) -> Partition {
        Partition {
            index,
            leader: Some(leader),
            replicas: replicas.to_vec(),
            current: replicas.len(),
            isr: isr.to_vec(),
        }
    }

    #[test]
    fn replicas_are_added_where_there_are_fewest() {
        let partitions =
            [partition(0, 0, &[0], &[0]), partition(1, 1, &[1], &[1]), partition(2, 0, &[0], &[0])];
        let moves = reassign(&partitions, &[0, 1, 2], 2);
        assert_eq!(moves, [(0, vec![0, 2]), (1, vec![1, 2]), (2, vec![0, 1])]);
    }

    #[test]
    fn the_leader_stays_and_who_is_not_in_sync_goes_first() {
        let partitions = [partition(0, 2, &[0, 1, 2], &[1, 2])];
        assert_eq!(reassign(&partitions, &[0, 1, 2], 2), [(0, vec![1, 2])]);
        assert_eq!(reassign(&partitions, &[0, 1, 2], 1), [(0, vec![2])]);
    }

    #[test]
    fn what_is_as_it_should_be_is_left_alone_and_so_is_what_cannot_be() {
        let partitions = [partition(0, 0, &[0, 1], &[0, 1])];
        assert_eq!(reassign(&partitions, &[0, 1], 2), []);
        assert_eq!(reassign(&partitions, &[0, 1], 3), []);
    }
}
