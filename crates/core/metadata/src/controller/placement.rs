//! Which brokers hold a partition.

use types::{BrokerId, ErrorCode};

use super::{Failure, failure};
use crate::Image;

/// Places `count` partitions: leaders go round the brokers, starting where the topic's name falls, so that topics of one
/// partition do not all land on the first broker; followers come after their leader, shifted from round to round.
pub(super) fn place(
    image: &Image,
    start: usize,
    count: usize,
    replication_factor: i16,
) -> Result<Vec<Vec<BrokerId>>, Failure> {
    let brokers: Vec<_> =
        image.brokers().filter(|broker| !broker.is_fenced).map(|broker| broker.id).collect();
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
    let followers = brokers.len().saturating_sub(1).max(1);
    let partition = |index: usize| {
        let leader = (start + index) % brokers.len();
        let round = (start + index) / brokers.len();
        let follower = |nth: usize| (leader + 1 + (round + nth) % followers) % brokers.len();
        std::iter::once(leader).chain((0..replicas - 1).map(follower)).map(|at| brokers[at]).collect()
    };
    Ok((0..count).map(partition).collect())
}

/// Where the round of a topic begins (FNV-1a of its name: the same on every controller).
pub(super) fn start_of(topic: &str) -> usize {
    let hash =
        topic.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash as usize % (1 << 16)
}

/// Checks replicas that the asker chose.
pub(super) fn check_manual(image: &Image, replicas: &[BrokerId]) -> Result<(), Failure> {
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
    }
    Ok(())
}
