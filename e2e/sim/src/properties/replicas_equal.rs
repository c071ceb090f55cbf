//! Once all faults are healed, the replicas of a partition are the same byte by byte below the high watermark, and reach the
//! same end.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use record::Batches;
use types::{Offset, TopicPartition};

use crate::history::{Part, RecordId};
use crate::workload::{id_of, parts};
use crate::world::World;

/// What the replicas of a partition agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinalLog {
    /// Records by offset.
    pub records: BTreeMap<i64, RecordId>,
    /// Its first offset.
    pub start: i64,
    /// The offset after its last record.
    pub end: i64,
}

/// The ids of the workload's partitions.
pub fn ids(world: &World) -> BTreeMap<Part, TopicPartition> {
    let Some(node) = world.nodes().max_by_key(|node| node.metadata().0) else { return BTreeMap::new() };
    let (_, image) = node.metadata();
    let id = |part: Part| {
        let topic = image.topic_named(part.0)?.id;
        Some((part, TopicPartition { topic, partition: types::PartitionId(part.1) }))
    };
    parts().filter_map(id).collect()
}

/// Whether every node has every replica, and all of them have caught up.
pub fn have_caught_up(world: &World) -> bool {
    let ids = ids(world);
    ids.len() == parts().count()
        && ids.values().all(|id| {
            let replicas: Vec<_> = world
                .nodes()
                .filter_map(|node| node.replicas().into_iter().find(|replica| replica.partition == *id))
                .collect();
            let Some(leader) = replicas.iter().find(|replica| replica.is_leading) else { return false };
            replicas.len() == world.hosts.len().min(3)
                && leader.high_watermark == leader.log_end
                && replicas.iter().all(|replica| {
                    replica.log_end == leader.log_end && replica.high_watermark == leader.high_watermark
                })
        })
}

/// Compares all replicas, and gives what they hold.
pub fn check(world: &World, violations: &mut Vec<String>) -> BTreeMap<Part, FinalLog> {
    let mut logs = BTreeMap::new();
    for (part, id) in ids(world) {
        let mut first: Option<(usize, Bytes)> = None;
        for (host, node) in world.hosts.iter().enumerate().filter_map(|(id, host)| Some((id, host.node()?))) {
            let Some(replica) = node.replicas().into_iter().find(|replica| replica.partition == id) else {
                continue;
            };
            let whole = node.read(id, replica.log_start, replica.high_watermark, u32::MAX);
            let Ok(Some(whole)) = whole else {
                violations.push(format!("replicas equal: {part:?} cannot be read on node {host}: {whole:?}"));
                continue;
            };
            match &first {
                None => {
                    logs.insert(part, parse(part, &whole, replica.log_start, violations));
                    first = Some((host, whole));
                }
                Some((_, bytes)) if *bytes == whole => {}
                Some((other, bytes)) => violations.push(format!(
                    "replicas equal: {part:?} differs between nodes {other} and {host} ({} and {} bytes)",
                    bytes.len(),
                    whole.len()
                )),
            }
        }
    }
    logs
}

fn parse(part: Part, bytes: &Bytes, start: Offset, violations: &mut Vec<String>) -> FinalLog {
    let mut log = FinalLog { start: start.0, end: start.0, ..FinalLog::default() };
    let whole = BytesMut::from(&bytes[..]).freeze();
    for batch in Batches::new(whole) {
        let Ok(batch) = batch else {
            violations.push(format!("replicas equal: {part:?} has a batch that cannot be read"));
            break;
        };
        if !batch.is_intact() {
            violations.push(format!("replicas equal: {part:?} has a batch with a wrong checksum"));
        }
        let records = batch.records();
        for record in records.into_iter().flatten().flatten() {
            if let Some(id) = id_of(record.value.as_ref()) {
                log.records.insert(record.offset.0, id);
            }
            log.end = record.offset.0 + 1;
        }
    }
    log
}
