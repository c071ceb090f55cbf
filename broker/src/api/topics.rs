//! What the topic APIs share: a topic as responses describe it.

use metadata::{BrokerImage, Image, PartitionImage, TopicImage};
use protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use types::{BrokerId, ErrorCode, LeaderEpoch};

use super::RequestContext;
use crate::node::Node;
use crate::partitions::{TopicRef, is_internal};

/// "Not asked for", where a response may hold the operations that the asker is allowed.
pub(super) const NO_OPERATIONS: i32 = i32::MIN;

/// The brokers that live, as the asker reaches them; when none does, all that there are. A cluster that is down as a whole may
/// be back in a moment, and librdkafka, told of no broker, forgets even those that it was configured with until five minutes
/// are over.
pub(super) fn brokers(image: &Image, context: &RequestContext) -> Vec<MetadataResponseBroker> {
    let is_down = image.brokers().all(|broker| broker.is_fenced);
    let listed = image.brokers().filter(|broker| is_down || !broker.is_fenced);
    listed.filter_map(|broker| described_broker(broker, context)).collect()
}

/// A broker as the asker reaches it; `None` if it does not listen there.
pub(super) fn described_broker(
    broker: &BrokerImage,
    context: &RequestContext,
) -> Option<MetadataResponseBroker> {
    let endpoint = broker.endpoints.iter().find(|endpoint| *endpoint.listener == *context.peer.listener)?;
    Some(MetadataResponseBroker {
        node_id: broker.id.0,
        host: endpoint.host.as_str().into(),
        port: endpoint.port.into(),
        rack: broker.rack.as_deref().map(Into::into),
        ..Default::default()
    })
}

/// Whom clients may ask for what the controller does: it, if it is a broker too, or any broker, which passes it on.
pub(super) fn controller(node: &Node, image: &Image) -> i32 {
    let is_live = |id: &i32| image.broker(BrokerId(*id)).is_some_and(|broker| !broker.is_fenced);
    match node.quorum.status().leader {
        Some(leader) => Some(leader).filter(is_live).unwrap_or(node.config.node_id),
        None => -1,
    }
}

/// Who leads a partition, for a client that asked the wrong broker (KIP-951); nothing if that is not known better.
pub(super) fn leader_elsewhere(
    node: &Node,
    image: &Image,
    topic: TopicRef<'_>,
    partition: i32,
) -> Option<(BrokerId, LeaderEpoch)> {
    let topic = match topic {
        TopicRef::Id(id) => image.topic(id),
        TopicRef::Name(name) => image.topic_named(name),
    };
    let partition = topic?.partitions.get(usize::try_from(partition).ok()?)?;
    let leader = partition.leader.filter(|leader| leader.0 != node.config.node_id)?;
    Some((leader, partition.leader_epoch))
}

/// Whether an error means that the client has to look for the leader.
pub(super) fn is_leader_elsewhere(error_code: i16) -> bool {
    [ErrorCode::NotLeaderOrFollower, ErrorCode::FencedLeaderEpoch]
        .iter()
        .any(|error| error.code() == error_code)
}

/// A topic that is there.
pub(super) fn described(image: &Image, topic: &TopicImage) -> MetadataResponseTopic {
    // Kafka's tools call a partition under-replicated or unavailable by what is offline.
    let is_offline = |id: &&BrokerId| image.broker(**id).is_none_or(|broker| broker.is_fenced);
    let partition = |(index, partition): (i32, &PartitionImage)| MetadataResponsePartition {
        error_code: match partition.leader {
            Some(_) => ErrorCode::None.code(),
            None => ErrorCode::LeaderNotAvailable.code(),
        },
        partition_index: index,
        leader_id: partition.leader.map_or(-1, |leader| leader.0),
        leader_epoch: partition.leader_epoch.0,
        replica_nodes: partition.replicas.iter().map(|id| id.0).collect(),
        isr_nodes: partition.isr.iter().map(|id| id.0).collect(),
        offline_replicas: partition.replicas.iter().filter(is_offline).map(|id| id.0).collect(),
        ..Default::default()
    };
    MetadataResponseTopic {
        name: Some((&*topic.name).into()),
        topic_id: topic.id.0,
        is_internal: is_internal(&topic.name),
        partitions: (0..).zip(&topic.partitions).map(partition).collect(),
        topic_authorized_operations: NO_OPERATIONS,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use metadata::{Endpoint, MetadataRecord};
    use types::{BrokerEpoch, Uuid};

    use super::*;
    use crate::api::Peer;

    fn image(fenced: [bool; 2]) -> Image {
        let mut image = Image::default();
        for (id, is_fenced) in (0..).zip(fenced) {
            let endpoint = Endpoint { listener: "plain".to_owned(), host: "host".to_owned(), port: 9092 };
            image.apply(&MetadataRecord::RegisterBroker(BrokerImage {
                id: BrokerId(id),
                epoch: BrokerEpoch(7),
                is_fenced,
                incarnation: Uuid::ZERO,
                endpoints: vec![endpoint],
                rack: None,
                directories: Vec::new(),
                cordoned: Vec::new(),
                is_in_controlled_shutdown: false,
            }));
        }
        image
    }

    #[test]
    fn clients_are_told_who_lives_and_never_nobody() {
        let peer = Peer::new(([127, 0, 0, 1], 1).into(), "plain".into());
        let context = RequestContext { peer, api_version: 12, client_id: None };
        let listed = |fenced| {
            let brokers = brokers(&image(fenced), &context);
            brokers.iter().map(|broker| broker.node_id).collect::<Vec<_>>()
        };
        assert_eq!(listed([false, false]), [0, 1]);
        assert_eq!(listed([true, false]), [1]);
        assert_eq!(listed([true, true]), [0, 1], "any of them may be the first that is back");
    }
}
