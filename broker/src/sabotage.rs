//! The rules of the node itself that the simulation breaks one at a time, to prove that it sees each of them. Without the
//! feature `sabotage`, which no released binary has, none is ever broken and nothing of this is left.

/// A rule that keeps acknowledged records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The entries of the quorum's log are on the platter before they count.
    QuorumIsSynced,
    /// So is a vote.
    VoteIsSynced,
    /// With flush on, what is written counts only after an fsync.
    FlushComesFirst,
    /// A replica whose machine lost power says so when it registers, and leaves the replicas in sync.
    PowerLossIsTold,
    /// What producers have written is known again after a restart and after a truncation.
    ProducersAreRecovered,
    /// A follower cuts its log where the leader's diverges, not at the high watermark that it happens to know (KIP-101).
    CutsWhereLogsDiverge,
    /// A group's committed offset is acknowledged once the replicas in sync have it.
    OffsetsWaitForReplicas,
    /// Compaction looks only at what is committed: what is cut off later overwrites nothing.
    CompactionStopsAtHighWatermark,
}

#[cfg(not(feature = "sabotage"))]
pub(crate) const fn is_broken(_: Rule) -> bool {
    false
}

#[cfg(feature = "sabotage")]
thread_local! {
    static BROKEN: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

#[cfg(feature = "sabotage")]
pub(crate) fn is_broken(rule: Rule) -> bool {
    BROKEN.get() == Some(rule)
}

/// Breaks a rule on this thread, or none.
#[cfg(feature = "sabotage")]
pub fn break_rule(rule: Option<Rule>) {
    BROKEN.set(rule);
}
