//! The rules that tests break one at a time, to prove that the simulations see each of them. Outside tests, and without the
//! feature `sabotage` that only the simulation of whole brokers turns on, none is ever broken.

/// A rule that keeps acknowledged records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The high watermark waits for the in-sync followers.
    HighWatermarkWaitsForFollowers,
    /// It waits for a replica that was proposed as in sync (KIP-497).
    PendingAdditionCounts,
    /// It waits for a replica whose removal is proposed, until that is committed (KIP-497).
    PendingShrinkDoesNotCount,
    /// It stands still below `min.insync.replicas` (KIP-966).
    HighWatermarkNeedsMinIsr,
    /// A follower's place is compared by epoch, not by offset alone.
    EpochsAreCompared,
    /// A follower joins the in-sync replicas only at the high watermark.
    JoinsAtHighWatermark,
    /// A fetch of another leader epoch counts for nothing.
    LeaderEpochIsChecked,
    /// The incarnation that fetched is the one that joins (KIP-903).
    BrokerEpochIsChecked,
}

#[cfg(not(any(test, feature = "sabotage")))]
pub(crate) const fn is_broken(_: Rule) -> bool {
    false
}

#[cfg(any(test, feature = "sabotage"))]
thread_local! {
    static BROKEN: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

#[cfg(any(test, feature = "sabotage"))]
pub(crate) fn is_broken(rule: Rule) -> bool {
    BROKEN.get() == Some(rule)
}

/// Breaks a rule on this thread, or none.
#[cfg(any(test, feature = "sabotage"))]
pub fn break_rule(rule: Option<Rule>) {
    BROKEN.set(rule);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rule_is_broken_at_a_time_and_only_on_this_thread() {
        break_rule(Some(Rule::EpochsAreCompared));
        assert!(is_broken(Rule::EpochsAreCompared) && !is_broken(Rule::LeaderEpochIsChecked));
        assert!(!std::thread::scope(|scope| scope
            .spawn(|| is_broken(Rule::EpochsAreCompared))
            .join()
            .unwrap()));
        break_rule(None);
        assert!(!is_broken(Rule::EpochsAreCompared));
    }
}
