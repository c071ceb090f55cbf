//! From which replica a consumer best reads (KIP-392): one in sync in its own rack, if the leader stands elsewhere.

use std::sync::Arc;

use metadata::Image;
use types::{BrokerId, TopicPartition};

use crate::node::Node;

/// Looks for replicas in the rack of one consumer.
#[derive(Debug)]
pub(super) struct Nearest {
    image: Arc<Image>,
    rack: String,
}

impl Nearest {
    /// `None` if the consumer is to stay: it names no rack, or this broker's own, or `replica.selector.class` does not ask
    /// for more.
    pub(super) fn of(node: &Node, rack: &str) -> Option<Nearest> {
        let is_elsewhere = !rack.is_empty() && node.config.rack.as_deref() != Some(rack);
        let is_asked_for = node.broker_config.is_rack_aware() && is_elsewhere;
        is_asked_for.then(|| Nearest { image: node.metadata().image(), rack: rack.to_owned() })
    }

    /// A replica in sync, and so with every record that the leader shows, in the consumer's rack.
    pub(super) fn replica(&self, id: TopicPartition) -> Option<BrokerId> {
        let index = usize::try_from(id.partition.0).ok()?;
        let partition = self.image.topic(id.topic)?.partitions.get(index)?;
        let is_near = |id: &&BrokerId| {
            let broker = self.image.broker(**id).filter(|broker| broker.is_active());
            broker.is_some_and(|broker| broker.rack.as_deref() == Some(&self.rack))
        };
        partition.isr.iter().find(is_near).copied()
    }
}
