//! Topics that the brokers keep for themselves get more replicas as brokers join: the first broker of a cluster cannot
//! give them as many as they are to have.

use config::BrokerConfig;
use types::{BrokerId, Monotonic, TopicId};

use super::intents::MOVES_AT_ONCE_MAX;
use super::{Controller, rebalance};
use crate::MetadataRecord;

/// Where groups keep their offsets.
const OFFSETS: &str = "__consumer_offsets";

impl Controller {
    /// The next reassignments that add replicas, if any are wanting and it is time to look.
    pub(super) fn grow_internal(&mut self, now: Monotonic) -> Vec<MetadataRecord> {
        if now < self.next_balance_at() {
            return Vec::new();
        }
        let Some((topic, factor)) = self.short_internal() else { return Vec::new() };
        let under_way = self.image.reassigning().count();
        let moves = rebalance::grow(&self.image, topic, factor, MOVES_AT_ONCE_MAX.saturating_sub(under_way));
        moves.iter().flat_map(|one| self.carry_out(one, true)).collect()
    }

    /// When that is due, if any replicas are wanting.
    pub(super) fn next_growth(&self) -> Option<Monotonic> {
        self.short_internal().map(|_| self.next_balance_at())
    }

    /// An internal topic with a partition that could have more replicas, and how many it is to have.
    fn short_internal(&self) -> Option<(TopicId, usize)> {
        let topic = self.image.topic_named(OFFSETS)?;
        let takes =
            self.image.brokers().filter(|broker| broker.is_active() && !self.image.is_cordoned(broker.id));
        let takers: Vec<BrokerId> = takes.map(|broker| broker.id).collect();
        let wanted = BrokerConfig::resolve(&self.defaults.fixed).offsets_topic_replication_factor;
        let wanted = usize::try_from(wanted).unwrap_or(0);
        let is_short = topic.partitions.iter().any(|partition| {
            // A broker that is away for a moment keeps its replicas, and counts.
            let has = partition.replicas.len() - partition.removing.len();
            let can_grow = takers.iter().any(|id| !partition.replicas.contains(id));
            !partition.is_reassigning() && has < wanted && can_grow
        });
        is_short.then_some((topic.id, wanted))
    }
}
