//! Giving partitions other replicas.

use protocol::Utf8Bytes;
use protocol::messages::AlterPartitionReassignmentsRequest;
use protocol::messages::ListPartitionReassignmentsRequest;
use protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;

use super::Admin;
use crate::{BrokerError, Error};

/// A partition whose replicas are changing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// Its index.
    pub partition: i32,
    /// Replicas that it is being given.
    pub adding: Vec<i32>,
    /// Replicas that it is giving up.
    pub removing: Vec<i32>,
}

impl Admin {
    /// What of a topic's partitions is being given other replicas.
    pub async fn reassignments(&self, topic: &str, partitions: i32) -> Result<Vec<Reassignment>, Error> {
        let request = ListPartitionReassignmentsRequest {
            timeout_ms: self.timeout_ms(),
            topics: Some(vec![ListPartitionReassignmentsTopics {
                name: Utf8Bytes::from(topic),
                partition_indexes: (0..partitions).collect(),
                ..Default::default()
            }]),
            ..Default::default()
        };
        let response = self.client.retry(|| self.client.ask(&request)).await?;
        BrokerError::check(response.error_code, response.error_message.as_ref())
            .map_err(|error| Error::refused(format!("listing the reassignments of topic {topic}"), error))?;
        let partitions = response.topics.into_iter().flat_map(|topic| topic.partitions);
        let one = partitions.map(|partition| Reassignment {
            partition: partition.partition_index,
            adding: partition.adding_replicas,
            removing: partition.removing_replicas,
        });
        Ok(one.collect())
    }

    /// Begins to give partitions of a topic these replicas, the preferred leader first. Ends by itself: the topic's metadata
    /// tells how far it is. Asking for the same again changes nothing.
    pub async fn reassign_partitions(&self, topic: &str, replicas: &[(i32, Vec<i32>)]) -> Result<(), Error> {
        let partition = |(index, replicas): &(i32, Vec<i32>)| ReassignablePartition {
            partition_index: *index,
            replicas: Some(replicas.clone()),
            ..Default::default()
        };
        let request = AlterPartitionReassignmentsRequest {
            timeout_ms: self.timeout_ms(),
            topics: vec![ReassignableTopic {
                name: Utf8Bytes::from(topic),
                partitions: replicas.iter().map(partition).collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let response = self.client.retry(|| self.client.ask(&request)).await?;
        let what = || format!("giving topic {topic} other replicas");
        BrokerError::check(response.error_code, response.error_message.as_ref())
            .map_err(|error| Error::refused(what(), error))?;
        for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
            BrokerError::check(partition.error_code, partition.error_message.as_ref())
                .map_err(|error| Error::refused(what(), error))?;
        }
        Ok(())
    }
}
