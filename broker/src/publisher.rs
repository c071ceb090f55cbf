//! From the committed image to this node's partitions: what to open, to reconfigure, to delete. Says when it is done, so
//! that whoever changed the metadata finds the change in effect.

use std::sync::Arc;

use config::{BrokerLayers, TopicConfig};
use futures::future::join_all;
use metadata::{ConfigResource, Delta, Image, TopicImage};
use tokio::sync::watch;
use types::{BrokerId, PartitionId, TopicPartition};

use crate::node::Node;
use crate::partitions::OpenPartition;
use crate::quorum::Committed;

/// Runs until the quorum ends or the node stops.
pub(crate) async fn run(
    node: Arc<Node>,
    mut committed: watch::Receiver<Committed>,
    published: watch::Sender<Committed>,
) {
    loop {
        let next = committed.borrow_and_update().clone();
        let current = published.borrow().image.clone();
        act(&node, &current, &next.image).await;
        published.send_replace(next);
        tokio::select! {
            changed = committed.changed() => if changed.is_err() { return },
            () = node.stopping.cancelled() => return,
        }
    }
}

/// A topic's configuration with all that it inherits.
pub(crate) fn topic_config(node: &Node, image: &Image, topic: &TopicImage) -> TopicConfig {
    let layers = BrokerLayers {
        broker: image.config(&ConfigResource::Broker(BrokerId(node.config.node_id))),
        cluster: image.config(&ConfigResource::Cluster),
        fixed: &node.static_config,
    };
    TopicConfig::resolve(image.config(&ConfigResource::Topic(topic.id)), &layers)
}

async fn act(node: &Arc<Node>, current: &Image, next: &Arc<Image>) {
    let delta = Delta::between(current, next);
    if delta.is_empty() {
        return;
    }
    for topic in &delta.deleted_topics {
        delete(node, topic).await;
    }
    join_all(delta.changed_topics.iter().map(|topic| open(node, next, topic))).await;
    let configured: Vec<_> = match delta.defaults_changed {
        true => next.topics().map(|topic| topic.id).collect(),
        false => delta.configured_topics,
    };
    for topic in configured.into_iter().filter_map(|id| next.topic(id)) {
        let config = Arc::new(topic_config(node, next, topic));
        for partition in partitions_of(topic).filter_map(|id| node.partitions.get(id)) {
            partition.configure(node.wall.now(), Arc::clone(&config));
        }
    }
}

/// Opens the partitions that this node leads and has not open. What an image says of a former life of the node is history:
/// that life's leader epochs are over.
async fn open(node: &Arc<Node>, image: &Arc<Image>, topic: &Arc<TopicImage>) {
    let config = Arc::new(topic_config(node, image, topic));
    let id = BrokerId(node.config.node_id);
    let is_alive = image.broker(id).is_some_and(|broker| broker.incarnation == node.incarnation);
    let mine = Some(id).filter(|_| is_alive);
    let opening = partitions_of(topic)
        .zip(&topic.partitions)
        .filter(|(_, partition)| partition.leader.is_some() && partition.leader == mine);
    let opening = opening.filter(|(id, _)| node.partitions.get(*id).is_none()).map(|(id, partition)| {
        let open = OpenPartition {
            topic_name: Arc::clone(&topic.name),
            id,
            leader_epoch: partition.leader_epoch,
            isr: partition.isr.clone(),
            config: Arc::clone(&config),
        };
        let (partitions, now) = (Arc::clone(&node.partitions), node.wall.now());
        node.blocking.run(move || {
            let label = format!("{}-{}", open.topic_name, open.id.partition);
            if let Err(error) = partitions.open(now, open) {
                tracing::error!(partition = label, %error, "cannot open a log: the partition is offline");
            }
        })
    });
    join_all(opening).await;
    node.groups.topic_opened(node, topic);
}

async fn delete(node: &Arc<Node>, topic: &TopicImage) {
    let (partitions, now) = (Arc::clone(&node.partitions), node.wall.now());
    let ids: Vec<_> = partitions_of(topic).collect();
    node.blocking
        .run(move || {
            for id in ids {
                if let Err(error) = partitions.delete(now, id) {
                    tracing::error!(partition = %id, %error, "cannot delete a log");
                }
            }
        })
        .await;
    node.groups.topic_deleted(topic);
    node.metrics.forget_topic(&topic.name);
}

fn partitions_of(topic: &TopicImage) -> impl Iterator<Item = TopicPartition> + use<> {
    let (topic, count) = (topic.id, topic.partitions.len());
    (0..count).map(move |index| TopicPartition {
        topic,
        partition: PartitionId(i32::try_from(index).unwrap_or(i32::MAX)),
    })
}
