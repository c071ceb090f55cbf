//! A partition has at most one leader in a leader epoch.

use std::collections::BTreeMap;

use types::{LeaderEpoch, TopicPartition};

use crate::world::World;

/// Who was seen leading.
#[derive(Debug, Default)]
pub struct OneLeader {
    leaders: BTreeMap<(TopicPartition, LeaderEpoch), usize>,
}

impl OneLeader {
    /// Looks at all nodes.
    pub fn check(&mut self, world: &World, violations: &mut Vec<String>) {
        for (id, host) in world.hosts.iter().enumerate() {
            let Some(node) = host.node() else { continue };
            for replica in node.replicas().iter().filter(|replica| replica.is_leading) {
                let leader = *self.leaders.entry((replica.partition, replica.leader_epoch)).or_insert(id);
                if leader != id {
                    violations.push(format!(
                        "one leader: {} is led by {leader} and {id} in epoch {}",
                        replica.partition, replica.leader_epoch
                    ));
                }
            }
        }
    }
}
