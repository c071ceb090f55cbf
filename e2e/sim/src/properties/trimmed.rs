//! Records that were deleted, and of which somebody was told so, stay deleted: whoever leads begins after them, and in the
//! end every replica does. Nothing else is deleted.

use metadata::Image;
use types::{PartitionId, TopicPartition};

use crate::history::{TRIMMED, Told};
use crate::properties::replicas_equal::read_replicas;
use crate::world::World;

/// Looks at where the log of the leader begins, if it leads in the epoch that the image has.
pub fn check_leader(world: &World, image: &Image, told: &Told, violations: &mut Vec<String>) {
    let Some(topic) = image.topic_named(TRIMMED) else { return };
    let Some((state, leader)) = topic.partitions.first().and_then(|state| Some((state, state.leader?)))
    else {
        return;
    };
    let host = usize::try_from(leader.0).ok().and_then(|host| world.hosts.get(host));
    let Some(node) = host.and_then(|host| host.node()) else { return };
    let id = TopicPartition { topic: topic.id, partition: PartitionId(0) };
    let done = told.trim_of((TRIMMED, 0)).done;
    let replicas = node.replicas().into_iter().filter(|replica| {
        replica.partition == id && replica.is_leading && replica.leader_epoch == state.leader_epoch
    });
    for replica in replicas.filter(|replica| replica.log_start.0 < done) {
        violations.push(format!(
            "trimmed: node {leader} leads from {} on in epoch {}, and records before {done} were deleted",
            replica.log_start, replica.leader_epoch
        ));
    }
}

/// Every replica has deleted what was said to be deleted, and nobody more than was asked for.
pub fn check(world: &World, told: &Told, violations: &mut Vec<String>) {
    let part = (TRIMMED, 0);
    let trim = told.trim_of(part);
    for (host, _, start) in read_replicas(world, part, violations) {
        if start.0 < trim.done {
            violations.push(format!(
                "trimmed: node {host} begins at {start} again, and records before {} were deleted",
                trim.done
            ));
        }
        if start.0 > trim.asked {
            violations.push(format!(
                "trimmed: node {host} begins at {start}, and nobody deleted records from {} on",
                trim.asked
            ));
        }
    }
}
