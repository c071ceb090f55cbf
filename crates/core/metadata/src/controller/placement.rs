//! Which brokers hold a partition.

use std::collections::BTreeMap;

use types::{BrokerId, ErrorCode};

use super::{Failure, failure};
use crate::{BrokerImage, Image};

/// Places `count` partitions: leaders go round the brokers, rack after rack, beginning with the broker that has the fewest,
/// so that topics of one partition do not all land on the first one; followers come after their leader, shifted from
/// round to round, on as many racks as there are.
pub(super) fn place(
    image: &Image,
    start: usize,
    count: usize,
    replication_factor: i16,
) -> Result<Vec<Vec<BrokerId>>, Failure> {
    let brokers =
        alternate_racks(image.brokers().map(|broker| &**broker).filter(|broker| takes_new(image, broker)));
    let replicas = usize::try_from(replication_factor).unwrap_or(0);
    if replicas == 0 || replicas > brokers.len() {
        return Err(failure(
            ErrorCode::InvalidReplicationFactor,
            format!(
                "replication factor {replication_factor} with {} brokers available: ask for 1 to {}",
                brokers.len(),
                brokers.len()
            ),
        ));
    }
    let first = fewest_leaders(image, &brokers, start);
    let shift = start / brokers.len();
    let partition = |index: usize| {
        let leader = (first + index) % brokers.len();
        followers(&brokers, leader, shift + index / brokers.len(), replicas)
    };
    Ok((0..count).map(partition).collect())
}

/// Whether a broker gets new replicas: not one that could not hold them now, and not one that is to be emptied.
fn takes_new(image: &Image, broker: &BrokerImage) -> bool {
    broker.is_active() && !image.is_cordoned(broker.id)
}

/// The brokers in an order in which neighbours stand on different racks where possible.
fn alternate_racks<'a>(brokers: impl Iterator<Item = &'a BrokerImage>) -> Vec<&'a BrokerImage> {
    let mut racks: BTreeMap<Option<&str>, Vec<&BrokerImage>> = BTreeMap::new();
    for broker in brokers {
        racks.entry(broker.rack.as_deref()).or_default().push(broker);
    }
    let rounds = racks.values().map(Vec::len).max().unwrap_or(0);
    (0..rounds).flat_map(|round| racks.values().filter_map(move |rack| rack.get(round).copied())).collect()
}

/// Where the broker stands that is the preferred leader of the fewest partitions; of several the first from `start` on.
fn fewest_leaders(image: &Image, brokers: &[&BrokerImage], start: usize) -> usize {
    let count = |at: &usize| image.preferred_count(brokers[*at].id);
    (0..brokers.len()).map(|at| (start + at) % brokers.len()).min_by_key(count).unwrap_or(0)
}

/// A leader and those who come after it. No rack gets another replica before each has had as many.
fn followers(brokers: &[&BrokerImage], leader: usize, shift: usize, replicas: usize) -> Vec<BrokerId> {
    let after = brokers.len().saturating_sub(1).max(1);
    let mut rest: Vec<_> = (0..brokers.len() - 1)
        .map(|nth| brokers[(leader + 1 + (shift + nth) % after) % brokers.len()])
        .collect();
    let mut chosen = vec![brokers[leader]];
    while chosen.len() < replicas {
        let on_rack = |broker: &&BrokerImage| chosen.iter().filter(|other| other.rack == broker.rack).count();
        let fewest = rest.iter().map(on_rack).min().unwrap_or(0);
        let next = rest.iter().position(|broker| on_rack(broker) == fewest).unwrap_or(0);
        chosen.push(rest.remove(next));
    }
    chosen.iter().map(|broker| broker.id).collect()
}

/// Where the round of a topic begins (FNV-1a of its name: the same on every controller).
pub(super) fn start_of(topic: &str) -> usize {
    let hash =
        topic.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash as usize % (1 << 16)
}

/// Checks replicas that the asker chose. Those that are there already may be where new ones may not.
pub(super) fn check_manual(
    image: &Image,
    replicas: &[BrokerId],
    present: &[BrokerId],
) -> Result<(), Failure> {
    let refuse = |message: String| Err(failure(ErrorCode::InvalidReplicaAssignment, message));
    if replicas.is_empty() {
        return refuse("a partition needs at least one replica".to_owned());
    }
    for (index, broker) in replicas.iter().enumerate() {
        if replicas[..index].contains(broker) {
            return refuse(format!("broker {broker} is named twice for one partition"));
        }
        if image.broker(*broker).is_none() {
            return refuse(format!("broker {broker} is not registered"));
        }
        if !present.contains(broker) && image.is_cordoned(*broker) {
            return refuse(format!("broker {broker} is cordoned: it takes no new replica"));
        }
    }
    Ok(())
}
