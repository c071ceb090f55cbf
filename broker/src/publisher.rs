//! From the committed image to this node's replicas: what to open, lead, follow, reconfigure and delete. Says when it is done, so
//! that whoever changed the metadata finds the change in effect.

use std::sync::Arc;

use config::{BrokerLayers, TopicConfig};
use futures::future::join_all;
use futures::stream::{self, StreamExt};
use metadata::{ConfigResource, Delta, Image, PartitionImage, TopicImage};
use replication::PartitionState;
use tokio::sync::watch;
use types::{BrokerId, PartitionId, TopicPartition};

use crate::node::Node;
use crate::partitions::{Assignment, OpenPartition};
use crate::quorum::Committed;

/// How many logs of a topic are opened at a time, beyond what the threads for it can do.
const OPENING_MAX: usize = 64;

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
    let brokers_changed = !current.brokers().eq(next.brokers());
    if delta.is_empty() && !brokers_changed {
        return;
    }
    for topic in &delta.deleted_topics {
        delete(node, topic).await;
    }
    // Before who is in sync: that was decided under this `min.insync.replicas`.
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
    // An image that does not know this life of the node says what was, and asks for nothing.
    if is_registered(node, next) {
        let changed: Vec<_> = match brokers_changed {
            true => next.topics().cloned().collect(),
            false => delta.changed_topics,
        };
        join_all(changed.iter().map(|topic| assign(node, next, topic))).await;
    }
}

fn is_registered(node: &Node, image: &Image) -> bool {
    let me = image.broker(BrokerId(node.config.node_id));
    me.is_some_and(|broker| broker.incarnation == node.incarnation)
}

/// Opens the replicas that this node is to have, gives up those that it is not to have, and tells all what the image says.
async fn assign(node: &Arc<Node>, image: &Arc<Image>, topic: &Arc<TopicImage>) {
    let me = BrokerId(node.config.node_id);
    let config = Arc::new(topic_config(node, image, topic));
    let mut opening = Vec::new();
    let mut leaving = Vec::new();
    for (id, state) in partitions_of(topic).zip(&topic.partitions) {
        match (node.partitions.get(id), state.replicas.contains(&me)) {
            (Some(partition), true) => partition.apply(node.wall.now(), assignment(image, state)),
            (Some(_), false) => leaving.push(id),
            (None, true) => opening.push(OpenPartition {
                topic_name: Arc::clone(&topic.name),
                id,
                assignment: assignment(image, state),
                config: Arc::clone(&config),
            }),
            (None, false) => {}
        }
    }
    if !leaving.is_empty() {
        give_up(node, leaving).await;
    }
    // Not all at once: what thousands of them need while they wait for a thread is never given back.
    stream::iter(opening).for_each_concurrent(OPENING_MAX, |opening| open(node, opening)).await;
    node.groups.topic_opened(node, topic);
}

/// What a replica has to know of its partition.
pub(crate) fn assignment(image: &Image, partition: &PartitionImage) -> Assignment {
    let eligible = |id: &BrokerId| {
        let broker = image.broker(*id).filter(|broker| broker.is_active());
        (*id, broker.map(|broker| broker.epoch))
    };
    Assignment {
        state: PartitionState {
            partition_epoch: partition.partition_epoch,
            leader_epoch: partition.leader_epoch,
            leader: partition.leader,
            replicas: partition.replicas.clone(),
            isr: partition.isr.clone(),
        },
        eligible: partition.replicas.iter().map(eligible).collect(),
    }
}

async fn open(node: &Arc<Node>, open: OpenPartition) {
    let (partitions, now) = (Arc::clone(&node.partitions), node.wall.now());
    node.blocking
        .run(move || {
            let label = format!("{}-{}", open.topic_name, open.id.partition);
            if let Err(error) = partitions.open(now, open) {
                tracing::error!(partition = label, %error, "cannot open a log: the partition is offline");
            }
        })
        .await;
}

async fn give_up(node: &Arc<Node>, ids: Vec<TopicPartition>) {
    let (partitions, now) = (Arc::clone(&node.partitions), node.wall.now());
    node.blocking
        .run(move || {
            for id in ids {
                if let Err(error) = partitions.delete(now, id) {
                    tracing::error!(partition = %id, %error, "cannot delete a log");
                }
            }
        })
        .await;
}

async fn delete(node: &Arc<Node>, topic: &TopicImage) {
    give_up(node, partitions_of(topic).collect()).await;
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
