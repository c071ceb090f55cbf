//! What whoever runs a cluster asks of it, under load: replicas that move, leaders that are chosen. Each chore asks once: an
//! answer that is lost leaves it done, half done or not done.

use std::time::Duration;

use client::{Admin, Client};
use protocol::Utf8Bytes;
use protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use protocol::messages::elect_leaders_request::TopicPartitions;
use protocol::messages::{AlterPartitionReassignmentsRequest, ElectLeadersRequest};

use tokio::time::sleep;
use types::Uuid;

use crate::history::Part;

const TIMEOUT_MS: i32 = 5_000;
/// The election that ElectLeaders means by this.
const PREFERRED: i8 = 0;

/// Moves a partition to these replicas; without any, takes back the move that is under way.
pub async fn reassign(client: Client, part: Part, replicas: Option<Vec<i32>>) {
    let partition = ReassignablePartition { partition_index: part.1, replicas, ..Default::default() };
    let topic = ReassignableTopic {
        name: Utf8Bytes::from(part.0),
        partitions: vec![partition],
        ..ReassignableTopic::default()
    };
    let request = AlterPartitionReassignmentsRequest {
        timeout_ms: TIMEOUT_MS,
        topics: vec![topic],
        ..AlterPartitionReassignmentsRequest::default()
    };
    let result = client.ask(&request).await;
    tracing::info!(?part, ?result, "reassigned");
}

/// Has the preferred replicas of all partitions lead.
pub async fn elect_preferred(client: Client, parts: Vec<Part>) {
    let topic = |part: &Part| TopicPartitions {
        topic: Utf8Bytes::from(part.0),
        partitions: vec![part.1],
        ..TopicPartitions::default()
    };
    let request = ElectLeadersRequest {
        election_type: PREFERRED,
        topic_partitions: Some(parts.iter().map(topic).collect()),
        timeout_ms: TIMEOUT_MS,
        ..ElectLeadersRequest::default()
    };
    let result = client.ask(&request).await;
    tracing::info!(?result, "elected");
}

/// Gives a voter's vote to its node's new directory, as whoever replaced its disk does: the old voter goes, and the new one
/// is added. Again and again until that is so.
pub async fn replace_voter(client: Client, node: i32, old: Uuid, new: Uuid) {
    let admin = Admin::new(client);
    loop {
        sleep(Duration::from_millis(200)).await;
        let Ok(quorum) = admin.describe_quorum().await else { continue };
        let is_voter = |directory: Uuid| {
            quorum.voters.iter().any(|voter| voter.node_id == node && voter.directory_id == directory)
        };
        let result = match (is_voter(old), is_voter(new)) {
            (true, _) => admin.remove_raft_voter(node, old).await,
            (false, false) => admin.add_raft_voter(node, new, &format!("n{node}"), 9093).await,
            (false, true) => return,
        };
        tracing::info!(node, ?result, "replacing a voter");
    }
}
