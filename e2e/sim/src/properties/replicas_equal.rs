//! Once all faults are healed, no replica of a partition begins before its leader, all end where it does, and they are the
//! same byte by byte below the high watermark.

use std::collections::BTreeMap;

use broker::{EmbeddedNode, Replica};
use bytes::{Bytes, BytesMut};
use metadata::PartitionImage;
use record::Batches;
use types::{BrokerId, Offset, TopicPartition};

use crate::history::{Part, RecordId};
use crate::net::HostId;
use crate::workload::{all_parts, id_of, parts};
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

/// What the newest image says of a partition that is there from the beginning on.
fn placed(world: &World, part: Part) -> Option<(TopicPartition, PartitionImage)> {
    let (_, image) = world.nodes().max_by_key(|node| node.metadata().0)?.metadata();
    let topic = image.topic_named(part.0)?;
    let id = TopicPartition { topic: topic.id, partition: types::PartitionId(part.1) };
    Some((id, topic.partitions.get(usize::try_from(part.1).ok()?)?.clone()))
}

/// Those of a partition's replicas whose nodes have opened them, in the order in which the image has them.
fn open_replicas(
    world: &World,
    id: TopicPartition,
    state: &PartitionImage,
) -> Vec<(HostId, EmbeddedNode, Replica)> {
    let on = |broker: &BrokerId| {
        let host = usize::try_from(broker.0).ok()?;
        let node = world.hosts.get(host)?.node()?;
        let replica = node.replicas().into_iter().find(|replica| replica.partition == id)?;
        Some((host, node, replica))
    };
    state.replicas.iter().filter_map(on).collect()
}

/// Whether every partition has all its replicas, none is being moved, and all of them have caught up.
pub fn have_caught_up(world: &World) -> bool {
    all_parts().all(|part| {
        let Some((id, state)) = placed(world, part) else { return false };
        let replicas = open_replicas(world, id, &state);
        let Some((_, _, leader)) = replicas.iter().find(|(_, _, replica)| replica.is_leading) else {
            return false;
        };
        let is_moving = !state.adding.is_empty() || !state.removing.is_empty();
        !is_moving
            && replicas.len() == state.replicas.len()
            && leader.high_watermark == leader.log_end
            && replicas.iter().all(|(_, _, replica)| {
                replica.log_end == leader.log_end
                    && replica.high_watermark == leader.high_watermark
                    // A former leader that told nobody what it deleted begins later.
                    && replica.log_start >= leader.log_start
            })
    })
}

/// Compares all replicas, and gives what they hold.
pub fn check(world: &World, violations: &mut Vec<String>) -> BTreeMap<Part, FinalLog> {
    let mut logs = BTreeMap::new();
    for part in parts() {
        let mut first: Option<(HostId, Bytes)> = None;
        for (host, whole, start) in read_replicas(world, part, violations) {
            match &first {
                None => {
                    logs.insert(part, parse(part, &whole, start, violations));
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

/// What each replica of a partition holds between the last beginning of any and the high watermark, and where it begins.
pub fn read_replicas(
    world: &World,
    part: Part,
    violations: &mut Vec<String>,
) -> Vec<(HostId, Bytes, Offset)> {
    let Some((id, state)) = placed(world, part) else { return Vec::new() };
    let replicas = open_replicas(world, id, &state);
    let start = replicas.iter().map(|(_, _, replica)| replica.log_start).max().unwrap_or(Offset::ZERO);
    let mut read = Vec::new();
    for (host, node, replica) in replicas {
        match node.read(id, start, replica.high_watermark, u32::MAX) {
            Ok(Some(whole)) => read.push((host, whole, replica.log_start)),
            failed => {
                violations.push(format!("replicas equal: {part:?} cannot be read on node {host}: {failed:?}"))
            }
        }
    }
    read
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
