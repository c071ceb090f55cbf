//! DescribeQuorum: who votes on the cluster's metadata, who follows, and how far each of them is (KIP-595, KIP-853).

use std::sync::Arc;

use protocol::Utf8Bytes;
use protocol::messages::describe_quorum_request::DescribeQuorumRequest;
use protocol::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node as QuorumNode, PartitionData, ReplicaState, TopicData,
};
use types::{ErrorCode, Uuid};

use super::RequestContext;
use crate::node::Node;
use crate::quorum::{QuorumDescription, ReplicaDescription};

/// The log of the quorum, by Kafka's name.
const TOPIC: &str = "__cluster_metadata";
/// From this version on a voter is a node with a directory (KIP-853).
const FIRST_WITH_DIRECTORIES: i16 = 2;
/// The name of the controllers' listener: there is one.
const LISTENER: &str = "CONTROLLER";

/// What the leader knows, whoever is asked.
pub(crate) async fn handle(
    node: &Arc<Node>,
    context: &RequestContext,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    let is_asked = |topic: &protocol::messages::describe_quorum_request::TopicData| {
        *topic.topic_name == *TOPIC && topic.partitions.iter().any(|partition| partition.partition_index == 0)
    };
    if !request.topics.iter().any(is_asked) {
        return unknown(&request);
    }
    let description = match node.quorum.describe().await {
        Ok(description) => description,
        Err(error) => {
            return DescribeQuorumResponse {
                error_code: error.code().code(),
                error_message: Some(Utf8Bytes::from(error.to_string())),
                ..DescribeQuorumResponse::default()
            };
        }
    };
    let nodes = description.addresses.iter().map(|(node_id, host, port)| QuorumNode {
        node_id: *node_id,
        listeners: vec![Listener {
            name: LISTENER.into(),
            host: host.as_str().into(),
            port: *port,
            ..Listener::default()
        }],
        ..QuorumNode::default()
    });
    let has_directories = context.api_version >= FIRST_WITH_DIRECTORIES;
    let nodes = nodes.filter(|_| has_directories).collect();
    let topic = TopicData {
        topic_name: TOPIC.into(),
        partitions: vec![partition(&description, has_directories)],
        ..TopicData::default()
    };
    DescribeQuorumResponse { topics: vec![topic], nodes, ..DescribeQuorumResponse::default() }
}

fn partition(description: &QuorumDescription, has_directories: bool) -> PartitionData {
    let states =
        |replicas: &[ReplicaDescription]| replicas.iter().map(|one| state(one, has_directories)).collect();
    PartitionData {
        partition_index: 0,
        leader_id: description.leader,
        leader_epoch: description.leader_epoch,
        high_watermark: offset(description.high_watermark),
        current_voters: states(&description.voters),
        observers: states(&description.observers),
        ..PartitionData::default()
    }
}

fn state(replica: &ReplicaDescription, has_directories: bool) -> ReplicaState {
    ReplicaState {
        replica_id: replica.node,
        replica_directory_id: if has_directories { replica.directory } else { Uuid::ZERO },
        log_end_offset: offset(replica.log_end),
        last_fetch_timestamp: replica.last_fetch_ms,
        last_caught_up_timestamp: replica.last_caught_up_ms,
        ..ReplicaState::default()
    }
}

fn offset(end: u64) -> i64 {
    i64::try_from(end).unwrap_or(i64::MAX)
}

/// There is one log with a quorum.
fn unknown(request: &DescribeQuorumRequest) -> DescribeQuorumResponse {
    let partition = |index| PartitionData {
        partition_index: index,
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
        error_message: Some("only partition 0 of __cluster_metadata has a quorum".into()),
        ..PartitionData::default()
    };
    let topics = request.topics.iter().map(|topic| TopicData {
        topic_name: topic.topic_name.clone(),
        partitions: topic.partitions.iter().map(|asked| partition(asked.partition_index)).collect(),
        ..TopicData::default()
    });
    DescribeQuorumResponse { topics: topics.collect(), ..DescribeQuorumResponse::default() }
}
