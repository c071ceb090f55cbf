//! What the operator asks brokers, over the Kafka protocol like everybody else.

use std::collections::BTreeMap;

use client::admin::{ConfigAlteration, ConfigResource, NewTopic, Operation, Reassignment};
use client::{Admin, Error, PartitionMetadata};

use super::plan::{Found, Step};
use super::replicas::Partition;

/// The source of a value that was set for the topic itself, in DescribeConfigs' numbers.
const OF_THE_TOPIC: i8 = 1;

/// The topic as the cluster has it. `usual` is the number of replicas that it is known to have: then nothing more is asked, if
/// it has.
pub(super) async fn find(admin: &Admin, name: &str, usual: Option<i32>) -> Result<Option<Found>, Error> {
    let metadata = admin.describe_topics(&[name]).await?;
    let Ok(topic) = metadata.topic(name) else { return Ok(None) };
    let configs = admin.describe_configs(&ConfigResource::Topic(name.to_owned())).await?;
    let configs = configs.into_iter().filter(|entry| entry.source.0 == OF_THE_TOPIC);
    let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let usual = usual.and_then(|usual| usize::try_from(usual).ok());
    let is_usual = topic.partitions.iter().all(|partition| Some(partition.replicas.len()) == usual);
    let (assignment, is_changing) = match is_usual {
        true => (topic.partitions.iter().map(|one| partition(one, &[])).collect(), false),
        false => look_at_moves(admin, name, count).await?,
    };
    let current = assignment.first().map_or(0, |first: &Partition| first.current);
    Ok(Some(Found {
        topic_id: topic.topic_id.0.to_string(),
        partitions: count,
        replicas: i32::try_from(current).unwrap_or(i32::MAX),
        configs: configs.filter_map(|entry| Some((entry.name, entry.value?))).collect(),
        assignment,
        is_changing,
        brokers: metadata.brokers.keys().copied().collect(),
    }))
}

/// The partitions with what is on its way, and whether that changed while it was looked at: two requests do not see the same
/// moment.
async fn look_at_moves(admin: &Admin, name: &str, count: i32) -> Result<(Vec<Partition>, bool), Error> {
    let before = admin.reassignments(name, count).await?;
    let metadata = admin.describe_topics(&[name]).await?;
    let moving = admin.reassignments(name, count).await?;
    let partitions = metadata.topic(name).map(|topic| topic.partitions.clone()).unwrap_or_default();
    Ok((partitions.iter().map(|one| partition(one, &moving)).collect(), before != moving))
}

/// What a partition is to have and what it has differ while it moves, because of the number of replicas or for another reason.
fn partition(one: &PartitionMetadata, moving: &[Reassignment]) -> Partition {
    let moving = moving.iter().find(|moving| moving.partition == one.index);
    let (adding, removing) = moving.map_or((&[][..], &[][..]), |moving| (&moving.adding, &moving.removing));
    let replicas: Vec<_> = one.replicas.iter().copied().filter(|id| !removing.contains(id)).collect();
    let current = one.replicas.iter().filter(|id| !adding.contains(id)).count();
    Partition { index: one.index, leader: one.leader, replicas, current, isr: one.isr.clone() }
}

/// Does what a plan says of the topic itself.
pub(super) async fn execute(admin: &Admin, name: &str, step: &Step) -> Result<(), Error> {
    match step {
        Step::CreateTopic { partitions, replicas, configs, .. } => {
            let topic = NewTopic {
                name: name.to_owned(),
                partitions: Some(*partitions),
                replication_factor: Some(i16::try_from(*replicas).unwrap_or(i16::MAX)),
                configs: configs.clone(),
            };
            admin.create_topic(&topic).await.map(drop)
        }
        Step::CreatePartitions { to, .. } => admin.create_partitions(name, *to, false).await,
        Step::AlterConfigs { set, delete } => {
            let resource = ConfigResource::Topic(name.to_owned());
            admin.alter_configs(&resource, &alterations(set, delete), false).await
        }
        Step::Reassign { replicas, .. } => admin.reassign_partitions(name, replicas).await,
        Step::DeleteTopic => admin.delete_topic(name).await,
        Step::AddFinalizer | Step::RemoveFinalizer => Ok(()),
    }
}

fn alterations(set: &BTreeMap<String, String>, delete: &[String]) -> Vec<ConfigAlteration> {
    let set = set.iter().map(|(name, value)| (name, Operation::Set(value.clone())));
    let delete = delete.iter().map(|name| (name, Operation::Delete));
    set.chain(delete).map(|(name, operation)| ConfigAlteration { name: name.clone(), operation }).collect()
}
