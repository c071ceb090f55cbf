//! AlterPartition: what this node's leaders propose goes to the controller, all that was proposed meanwhile at once, and
//! its answers come back.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use metadata::{
    AlterPartition, AlteredPartition, Command, PartitionAlteration, PartitionImage, ProposedReplica, Response,
};
use replication::{CommittedIsr, IsrProposal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use types::{BrokerEpoch, ErrorCode, TopicPartition};

use crate::partitions::Partitions;
use crate::quorum::MetadataHandle;
use crate::seams::Wall;

/// How long an answer is waited for; then it counts as lost, and the leader asks again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// When leaders whose proposal failed are asked to look again.
const RETRY: Duration = Duration::from_millis(50);

/// The way to the active controller.
pub(crate) trait ControllerChannel: Debug + Send + Sync {
    /// Has the controller change in-sync replicas; the answers are in the order of the request.
    fn alter_partition(
        &self,
        request: AlterPartition,
    ) -> BoxFuture<'_, Result<Vec<AlteredPartition>, ErrorCode>>;
}

impl ControllerChannel for MetadataHandle {
    fn alter_partition(
        &self,
        request: AlterPartition,
    ) -> BoxFuture<'_, Result<Vec<AlteredPartition>, ErrorCode>> {
        Box::pin(async move {
            match self.submit(Command::AlterPartition(request)).await {
                Ok(Response::AlteredPartitions(altered)) => Ok(altered),
                Ok(_) => Err(ErrorCode::UnknownServerError),
                Err(error) => Err(error.code()),
            }
        })
    }
}

/// The task that carries proposals to the controller.
#[derive(Debug)]
pub(crate) struct IsrProposals {
    /// Whose leaders propose.
    pub(crate) partitions: Arc<Partitions>,
    /// Who decides.
    pub(crate) controller: Arc<dyn ControllerChannel>,
    /// This node's registration.
    pub(crate) registration: watch::Receiver<Option<BrokerEpoch>>,
    /// The clocks.
    pub(crate) wall: Wall,
    /// Ends it.
    pub(crate) stopping: CancellationToken,
}

impl IsrProposals {
    /// Runs until the node stops.
    pub(crate) async fn run(self) {
        let mut failed = BTreeSet::new();
        loop {
            tokio::select! {
                proposals = self.partitions.errands().proposals.take() => {
                    tokio::select! {
                        more = self.propose(proposals) => failed.extend(more),
                        () = self.stopping.cancelled() => return,
                    }
                }
                () = tokio::time::sleep(RETRY), if !failed.is_empty() => {
                    let again = std::mem::take(&mut failed);
                    let partitions = again.into_iter().filter_map(|id| self.partitions.get(id));
                    partitions.for_each(|partition| partition.tick(self.wall.now()));
                }
                () = self.stopping.cancelled() => return,
            }
        }
    }

    /// Gives back whose proposals were not taken.
    async fn propose(&self, proposals: Vec<(TopicPartition, IsrProposal)>) -> Vec<TopicPartition> {
        let altered = self.ask(&proposals).await;
        let mut failed = Vec::new();
        for (index, (id, proposal)) in proposals.into_iter().enumerate() {
            let answer = altered.as_ref().map(|altered| altered.get(index));
            let result = match answer {
                Ok(Some(AlteredPartition { result: Ok(state), .. })) => Ok(committed(state)),
                Ok(Some(AlteredPartition { result: Err(error), .. })) => Err(*error),
                Ok(None) => Err(ErrorCode::UnknownServerError),
                Err(error) => Err(*error),
            };
            if let Err(error) = &result {
                tracing::info!(partition = %id, ?error, "the controller did not change the in-sync replicas");
                failed.push(id);
            }
            if let Some(partition) = self.partitions.get(id) {
                partition.isr_answered(self.wall.now(), proposal.id, result);
            }
        }
        failed
    }

    async fn ask(
        &self,
        proposals: &[(TopicPartition, IsrProposal)],
    ) -> Result<Vec<AlteredPartition>, ErrorCode> {
        let epoch = self.registration.borrow().ok_or(ErrorCode::BrokerNotAvailable)?;
        let broker = self.partitions.errands().settings.me;
        let partitions = proposals.iter().map(|(id, proposal)| alteration(*id, proposal)).collect();
        let request = AlterPartition { broker, epoch, partitions };
        match tokio::time::timeout(ANSWER_TIMEOUT, self.controller.alter_partition(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(ErrorCode::RequestTimedOut),
        }
    }
}

fn alteration(id: TopicPartition, proposal: &IsrProposal) -> PartitionAlteration {
    let replica =
        |member: &replication::InSync| ProposedReplica { broker: member.broker, epoch: member.broker_epoch };
    PartitionAlteration {
        id,
        leader_epoch: proposal.leader_epoch,
        partition_epoch: proposal.partition_epoch,
        isr: proposal.isr.iter().map(replica).collect(),
        is_recovering: false,
    }
}

fn committed(state: &PartitionImage) -> CommittedIsr {
    CommittedIsr {
        leader_epoch: state.leader_epoch,
        partition_epoch: state.partition_epoch,
        isr: state.isr.clone(),
    }
}
