//! Giving partitions other replicas.

use protocol::Utf8Bytes;
use protocol::messages::AlterPartitionReassignmentsRequest;
use protocol::messages::ListPartitionReassignmentsRequest;
use protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;

use super::{Admin, text};
use crate::{BrokerError, Error};

/// A partition whose replicas are changing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// Its topic.
    pub topic: String,
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
        let topics = vec![ListPartitionReassignmentsTopics {
            name: Utf8Bytes::from(topic),
            partition_indexes: (0..partitions).collect(),
            ..Default::default()
        }];
        self.list_reassignments(Some(topics), || format!("listing the reassignments of topic {topic}")).await
    }

    /// What of all partitions is being given other replicas.
    pub async fn all_reassignments(&self) -> Result<Vec<Reassignment>, Error> {
        self.list_reassignments(None, || "listing all reassignments".to_owned()).await
    }

    async fn list_reassignments(
        &self,
        topics: Option<Vec<ListPartitionReassignmentsTopics>>,
        what: impl Fn() -> String,
    ) -> Result<Vec<Reassignment>, Error> {
        let timeout_ms = self.timeout_ms();
        let request = ListPartitionReassignmentsRequest { timeout_ms, topics, ..Default::default() };
        let response = self.client.retry(|| self.client.ask(&request)).await?;
        BrokerError::check(response.error_code, response.error_message.as_ref())
            .map_err(|error| Error::refused(what(), error))?;
        let mut found = Vec::new();
        for topic in response.topics {
            let name = text(&topic.name);
            found.extend(topic.partitions.into_iter().map(|partition| Reassignment {
                topic: name.clone(),
                partition: partition.partition_index,
                adding: partition.adding_replicas,
                removing: partition.removing_replicas,
            }));
        }
        Ok(found)
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
