//! What brokers are asked over the Kafka protocol: who votes, always; topics and sizes, where something depends on them.

use std::collections::{BTreeMap, BTreeSet};

use client::admin::TopicPartitionName;
use client::node::ClusterState;
use client::{Admin, Error, TopicMetadata};
use kube::ResourceExt;
use resources::Directory;

use super::Broker;
use super::copies::{self, Copy};
use crate::kafka::Kafka;
use crate::names;

/// What brokers say.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) voters: Option<Vec<Directory>>,
    pub(super) irreplaceable: BTreeMap<i32, String>,
    pub(super) bytes_left: Option<i64>,
}

/// Asks who votes; for topics where Pods are to be replaced or replicas move; and then for sizes.
pub(super) async fn ask(
    kafka: &Kafka,
    namespace: &str,
    name: &str,
    brokers: &[Broker],
) -> anyhow::Result<Asked> {
    let mut asked = Asked::default();
    let admin = kafka.admin(&names::own_servers(namespace, name))?;
    match admin.describe_quorum().await {
        Ok(quorum) => {
            let voters = quorum.voters.iter().map(|one| (one.node_id, one.directory_id));
            asked.voters = Some(voters.collect());
        }
        Err(error) => tracing::info!(namespace, name, %error, "nobody says who votes"),
    }
    let is_replaced = |broker: &Broker| {
        broker.pod.as_ref().is_some_and(|pod| pod.annotations().contains_key(names::REPLACE))
    };
    let states = brokers.iter().filter_map(|broker| broker.node.as_ref().ok()?.cluster.as_ref());
    let moving = states.clone().find(|state| state.rebalance.is_active);
    let topics = match moving.is_some() || brokers.iter().any(is_replaced) {
        true => admin.list_topics().await?,
        false => Vec::new(),
    };
    for topic in &topics {
        for partition in &topic.partitions {
            if let [only] = partition.isr[..] {
                asked.irreplaceable.insert(only, topic.name.clone());
            }
        }
    }
    if let Some(state) = moving {
        match bytes_left(&admin, &topics, state, brokers).await {
            Ok(bytes) => asked.bytes_left = Some(bytes),
            Err(error) => tracing::info!(namespace, name, %error, "nobody says how much is left to copy"),
        }
    }
    Ok(asked)
}

/// How many bytes the moves that are decided still have to copy.
async fn bytes_left(
    admin: &Admin,
    topics: &[TopicMetadata],
    state: &ClusterState,
    brokers: &[Broker],
) -> Result<i64, Error> {
    let cordoned = state.brokers.iter().filter(|broker| broker.is_cordoned).map(|broker| broker.id).collect();
    let copies = copies::copies(topics, &admin.all_reassignments().await?, &cordoned);
    let serving: BTreeSet<i32> =
        brokers.iter().filter(|broker| broker.serves()).map(|broker| broker.id).collect();
    let asked = by_broker(&copies).into_iter().filter(|(id, _)| serving.contains(id));
    let ask = async |(id, partitions): (i32, Vec<TopicPartitionName>)| {
        let sizes = admin.replica_sizes(id, &partitions).await?;
        Ok::<_, Error>(sizes.into_iter().map(move |one| ((id, one.partition), one.bytes)))
    };
    let sizes = futures::future::try_join_all(asked.map(ask)).await?.into_iter().flatten().collect();
    Ok(copies::bytes_left(&copies, &sizes))
}

/// Whom to ask for the size of what: leaders for the whole, and those that are being given it for what they have.
fn by_broker(copies: &[Copy]) -> BTreeMap<i32, Vec<TopicPartitionName>> {
    let mut asked: BTreeMap<i32, Vec<TopicPartitionName>> = BTreeMap::new();
    for copy in copies {
        for id in copy.takers.iter().chain([&copy.leader]) {
            asked.entry(*id).or_default().push(copy.partition.clone());
        }
    }
    asked
}
