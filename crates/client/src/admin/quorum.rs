//! The metadata quorum: who votes, who follows, and changes of that.

use protocol::Utf8Bytes;
use protocol::messages::add_raft_voter_request::{AddRaftVoterRequest, Listener};
use protocol::messages::describe_quorum_request::{DescribeQuorumRequest, PartitionData, TopicData};
use protocol::messages::describe_quorum_response::ReplicaState;
use protocol::messages::remove_raft_voter_request::RemoveRaftVoterRequest;
use protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use types::Uuid;

use super::{Admin, text};
use crate::{BrokerError, Error};

/// The log of the quorum, by Kafka's name.
const TOPIC: &str = "__cluster_metadata";
/// The name of the controllers' listener.
const LISTENER: &str = "CONTROLLER";

/// The metadata quorum as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumDescription {
    /// The leader's node.
    pub leader_id: i32,
    /// Counts the elections.
    pub leader_epoch: i32,
    /// The end of what is committed.
    pub high_watermark: i64,
    /// Who votes.
    pub voters: Vec<QuorumReplica>,
    /// Who follows without a vote.
    pub observers: Vec<QuorumReplica>,
    /// The controllers' addresses, by node.
    pub addresses: Vec<(i32, String)>,
}

/// A voter or an observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Its node.
    pub node_id: i32,
    /// Its directory.
    pub directory_id: Uuid,
    /// The end of its log.
    pub log_end_offset: i64,
    /// When the leader last heard of it, in milliseconds since 1970; -1 if it did not.
    pub last_fetch_ms: i64,
    /// When it last had all that the leader had.
    pub last_caught_up_ms: i64,
}

impl Admin {
    /// The metadata quorum.
    pub async fn describe_quorum(&self) -> Result<QuorumDescription, Error> {
        let topic = TopicData {
            topic_name: TOPIC.into(),
            partitions: vec![PartitionData::default()],
            ..TopicData::default()
        };
        let request = DescribeQuorumRequest { topics: vec![topic], ..DescribeQuorumRequest::default() };
        let response = self
            .client()
            .retry(|| async {
                let response = self.client().ask(&request).await?;
                BrokerError::check(response.error_code, response.error_message.as_ref())
                    .map_err(|error| Error::refused("describing the quorum", error))?;
                Ok(response)
            })
            .await?;
        let addresses = response.nodes.iter().filter_map(|node| {
            let listener = node.listeners.first()?;
            Some((node.node_id, format!("{}:{}", text(&listener.host), listener.port)))
        });
        let addresses = addresses.collect();
        let partition = response.topics.into_iter().flat_map(|topic| topic.partitions).next();
        let partition = partition
            .ok_or_else(|| Error::Invalid("the broker's answer leaves the quorum out".to_owned()))?;
        BrokerError::check(partition.error_code, partition.error_message.as_ref())
            .map_err(|error| Error::refused("describing the quorum", error))?;
        let replicas = |states: &[ReplicaState]| states.iter().map(replica).collect();
        Ok(QuorumDescription {
            leader_id: partition.leader_id,
            leader_epoch: partition.leader_epoch,
            high_watermark: partition.high_watermark,
            voters: replicas(&partition.current_voters),
            observers: replicas(&partition.observers),
            addresses,
        })
    }

    /// Gives a node with its directory a vote; `host` and `port` are its controller's. Not repeated by itself: a node that
    /// votes already is refused.
    pub async fn add_raft_voter(
        &self,
        node_id: i32,
        directory_id: Uuid,
        host: &str,
        port: u16,
    ) -> Result<(), Error> {
        let listener =
            Listener { name: LISTENER.into(), host: Utf8Bytes::from(host), port, ..Listener::default() };
        let request = AddRaftVoterRequest {
            cluster_id: None,
            timeout_ms: self.timeout_ms(),
            voter_id: node_id,
            voter_directory_id: directory_id,
            listeners: vec![listener],
            ..AddRaftVoterRequest::default()
        };
        let response = self.client().ask(&request).await?;
        BrokerError::check(response.error_code, response.error_message.as_ref())
            .map_err(|error| Error::refused(format!("adding voter {node_id}"), error))
    }

    /// Takes the vote of a node with its directory away.
    pub async fn remove_raft_voter(&self, node_id: i32, directory_id: Uuid) -> Result<(), Error> {
        let request = RemoveRaftVoterRequest {
            cluster_id: None,
            voter_id: node_id,
            voter_directory_id: directory_id,
            ..RemoveRaftVoterRequest::default()
        };
        let response = self.client().ask(&request).await?;
        BrokerError::check(response.error_code, response.error_message.as_ref())
            .map_err(|error| Error::refused(format!("removing voter {node_id}"), error))
    }

    /// Makes the cluster forget a broker that will not come back.
    pub async fn unregister_broker(&self, broker_id: i32) -> Result<(), Error> {
        let request = UnregisterBrokerRequest { broker_id, ..UnregisterBrokerRequest::default() };
        let response = self.client().ask(&request).await?;
        BrokerError::check(response.error_code, response.error_message.as_ref())
            .map_err(|error| Error::refused(format!("unregistering broker {broker_id}"), error))
    }
}

fn replica(state: &ReplicaState) -> QuorumReplica {
    QuorumReplica {
        node_id: state.replica_id,
        directory_id: state.replica_directory_id,
        log_end_offset: state.log_end_offset,
        last_fetch_ms: state.last_fetch_timestamp,
        last_caught_up_ms: state.last_caught_up_timestamp,
    }
}
