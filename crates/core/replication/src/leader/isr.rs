//! The in-sync replicas as a leader sees them: what the controller has committed, and what was asked of it and may
//! have been committed unheard (KIP-497).

use std::time::Duration;

use types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Monotonic, PartitionEpoch};

use crate::rule::{Rule, is_broken};

/// How long a proposal rests that the controller did not take.
pub(crate) const PROPOSAL_BACKOFF: Duration = Duration::from_millis(50);

/// Names one proposal of one leader; it stays the same when the proposal is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProposalId(pub u64);

/// A replica in sync, for the controller to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InSync {
    /// Which.
    pub broker: BrokerId,
    /// Its registration as its fetches said; `None` (-1 on the wire) if it has not fetched in this epoch. The
    /// controller refuses a replica that was registered anew since: it may have lost what it had (KIP-903).
    pub broker_epoch: Option<BrokerEpoch>,
}

/// What AlterPartition asks. The controller commits it only if both epochs are its own, and then raises the partition
/// epoch, also where the in-sync replicas stay what they are: such a proposal shuts out earlier ones on their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrProposal {
    /// Comes back with the answer.
    pub id: ProposalId,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The state that it builds on.
    pub partition_epoch: PartitionEpoch,
    /// The replicas that shall be in sync.
    pub isr: Vec<InSync>,
}

/// What the controller's answer says of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedIsr {
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The state's epoch.
    pub partition_epoch: PartitionEpoch,
    /// The replicas in sync.
    pub isr: Vec<BrokerId>,
}

/// Committed and proposed in-sync replicas.
#[derive(Debug)]
pub(crate) struct Isr {
    committed: Vec<BrokerId>,
    pending: Option<Pending>,
    /// No new proposal before.
    rests_until: Monotonic,
    next_id: u64,
}

#[derive(Debug)]
struct Pending {
    proposal: IsrProposal,
    /// When to send it again; `None` while its answer is on the way, or the metadata image has to decide.
    retry_at: Option<Monotonic>,
    /// It was sent more than once, so that a refusal of one says nothing of the other.
    was_repeated: bool,
    /// Members that an earlier refused proposal may yet bring in.
    lingering: Vec<BrokerId>,
}

impl Isr {
    pub(crate) fn new(committed: Vec<BrokerId>) -> Isr {
        Isr { committed, pending: None, rests_until: Monotonic::default(), next_id: 0 }
    }

    /// What the controller has committed, as far as is known here.
    pub(crate) fn committed(&self) -> &[BrokerId] {
        &self.committed
    }

    /// Whether a replica is in sync, or may be without this leader having heard: the high watermark waits for both.
    pub(crate) fn may_contain(&self, broker: BrokerId) -> bool {
        if is_broken(Rule::PendingShrinkDoesNotCount)
            && let Some(pending) = &self.pending
        {
            return pending.contains(broker);
        }
        let is_pending = self.pending.as_ref().is_some_and(|pending| pending.contains(broker));
        self.committed.contains(&broker) || (is_pending && !is_broken(Rule::PendingAdditionCounts))
    }

    /// Whether this is the proposal whose answer is awaited.
    pub(crate) fn is_pending(&self, id: ProposalId) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.proposal.id == id)
    }

    /// Whether a new proposal may be made.
    pub(crate) fn is_free(&self, now: Monotonic) -> bool {
        self.pending.is_none() && self.rests_until <= now
    }

    /// When [`Isr::is_free`] can become true by time alone, or a proposal is due to be repeated.
    pub(crate) fn next_deadline(&self) -> Option<Monotonic> {
        self.pending.as_ref().and_then(|pending| pending.retry_at)
    }

    /// The earliest time for the next proposal; `None` while one is pending.
    pub(crate) fn free_at(&self) -> Option<Monotonic> {
        self.pending.is_none().then_some(self.rests_until)
    }

    /// Takes over what was committed.
    pub(crate) fn commit(&mut self, isr: Vec<BrokerId>) {
        self.committed = isr;
        self.pending = None;
    }

    /// Begins a proposal.
    pub(crate) fn propose(
        &mut self,
        leader_epoch: LeaderEpoch,
        partition_epoch: PartitionEpoch,
        isr: Vec<InSync>,
    ) -> IsrProposal {
        self.begin(leader_epoch, partition_epoch, isr, Vec::new())
    }

    /// The pending proposal again, if its rest is over.
    pub(crate) fn repeat(&mut self, now: Monotonic) -> Option<IsrProposal> {
        let pending = self.pending.as_mut()?;
        pending.retry_at.take_if(|at| *at <= now)?;
        pending.was_repeated = true;
        Some(pending.proposal.clone())
    }

    /// The controller did not commit a proposal; gives back what to propose instead. Kafka:
    /// `Partition.handleAlterPartitionError`.
    pub(crate) fn refused(
        &mut self,
        now: Monotonic,
        id: ProposalId,
        error: ErrorCode,
    ) -> Option<IsrProposal> {
        let pending = self.pending.as_mut().filter(|pending| pending.proposal.id == id)?;
        if waits_for_metadata(error) {
            return None;
        }
        if !is_refusal(error) {
            pending.retry_at = Some(now.plus(PROPOSAL_BACKOFF));
            return None;
        }
        self.rests_until = now.plus(PROPOSAL_BACKOFF);
        let pending = self.pending.take()?;
        if !pending.was_repeated && pending.lingering.is_empty() {
            return None;
        }
        // The other copy may arrive later and find the replica eligible. Asking for what is committed already raises
        // the partition epoch, and only then is it certain that the copy comes too late.
        let mut lingering = pending.lingering;
        lingering.extend(pending.proposal.isr.iter().map(|member| member.broker));
        let isr = pending.proposal.isr.into_iter().filter(|member| self.committed.contains(&member.broker));
        let (leader_epoch, partition_epoch) =
            (pending.proposal.leader_epoch, pending.proposal.partition_epoch);
        let isr = isr.collect();
        Some(self.begin(leader_epoch, partition_epoch, isr, lingering))
    }

    fn begin(
        &mut self,
        leader_epoch: LeaderEpoch,
        partition_epoch: PartitionEpoch,
        isr: Vec<InSync>,
        lingering: Vec<BrokerId>,
    ) -> IsrProposal {
        let id = ProposalId(self.next_id);
        self.next_id += 1;
        let proposal = IsrProposal { id, leader_epoch, partition_epoch, isr };
        let pending = Pending { proposal: proposal.clone(), retry_at: None, was_repeated: false, lingering };
        self.pending = Some(pending);
        proposal
    }
}

impl Pending {
    fn contains(&self, broker: BrokerId) -> bool {
        self.lingering.contains(&broker) || self.proposal.isr.iter().any(|member| member.broker == broker)
    }
}

/// The controller has looked at the proposal and will not have it; nothing has changed.
fn is_refusal(error: ErrorCode) -> bool {
    matches!(error, ErrorCode::IneligibleReplica | ErrorCode::OperationNotAttempted)
}

/// The controller's state is ahead of ours and arrives with the metadata image; until then the proposal may be part
/// of it.
fn waits_for_metadata(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::InvalidUpdateVersion
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::NewLeaderElected
            | ErrorCode::UnknownTopicId
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::InvalidRequest
    )
}
