//! One partition as the controller has committed it.

use types::{BrokerId, LeaderEpoch, PartitionEpoch};

/// Who leads, who replicates, who is in sync. A later state has a higher partition epoch, whether it comes with the
/// metadata image or with the answer to an AlterPartition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Counts the changes of this state.
    pub partition_epoch: PartitionEpoch,
    /// Counts the leaders.
    pub leader_epoch: LeaderEpoch,
    /// The leader; `None` while there is none.
    pub leader: Option<BrokerId>,
    /// All replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// The replicas in sync.
    pub isr: Vec<BrokerId>,
}

impl PartitionState {
    /// A partition whose only replica is its leader.
    pub fn single(
        leader: BrokerId,
        leader_epoch: LeaderEpoch,
        partition_epoch: PartitionEpoch,
    ) -> PartitionState {
        PartitionState {
            partition_epoch,
            leader_epoch,
            leader: Some(leader),
            replicas: vec![leader],
            isr: vec![leader],
        }
    }
}
