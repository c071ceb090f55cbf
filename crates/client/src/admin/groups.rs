//! Consumer groups: list, describe, delete.

use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::messages::consumer_protocol_assignment::ConsumerProtocolAssignment;
use protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use protocol::messages::{DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest};
use protocol::{Decoder, Message, Utf8Bytes};

use super::{Admin, TopicPartitionName, optional_text, text};
use crate::{BrokerError, Error, Purpose};

/// A group, as a coordinator lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupListing {
    /// Its id.
    pub group_id: String,
    /// What kind of members it has: `consumer`, usually.
    pub protocol_type: String,
    /// Its state, empty from brokers that do not tell.
    pub state: String,
    /// Its type (`classic`, `consumer`), empty from brokers that do not tell.
    pub group_type: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
}

/// A group with its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group_id: String,
    /// Its state: `Stable`, `Empty`, `Dead`, …
    pub state: String,
    /// What kind of members it has.
    pub protocol_type: String,
    /// The assignor that it agreed on.
    pub protocol: String,
    /// Its members.
    pub members: Vec<GroupMember>,
    /// The broker that coordinates it.
    pub coordinator: i32,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub member_id: String,
    /// Its static name, if it has one.
    pub group_instance_id: Option<String>,
    /// What it calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// What it consumes.
    pub assignment: Vec<TopicPartitionName>,
}

impl Admin {
    /// The groups of every broker, by id.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, Error> {
        let metadata = self.client.retry(|| self.client.look(Some(&[]))).await?;
        let mut groups = BTreeMap::new();
        for node in metadata.brokers.values() {
            let response = self
                .client
                .retry(|| async {
                    let connection = self.client.broker(node, Purpose::Ask).await?;
                    let response = connection.send(&ListGroupsRequest::default()).await?;
                    BrokerError::check(response.error_code, None)
                        .map_err(|error| Error::refused("listing groups", error))?;
                    Ok(response)
                })
                .await?;
            for group in &response.groups {
                let listing = GroupListing {
                    group_id: text(&group.group_id),
                    protocol_type: text(&group.protocol_type),
                    state: text(&group.group_state),
                    group_type: text(&group.group_type),
                    coordinator: node.id,
                };
                groups.insert(listing.group_id.clone(), listing);
            }
        }
        Ok(groups.into_values().collect())
    }

    /// One group. A group that does not exist is `Dead` and has no members, or is refused with GROUP_ID_NOT_FOUND.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, Error> {
        let request = DescribeGroupsRequest { groups: vec![Utf8Bytes::from(group)], ..Default::default() };
        self.client
            .retry(|| async {
                let what = format!("describing group {group}");
                let response = self.client.ask_coordinator(group, &request, i16::MAX).await?;
                let described = response.groups.into_iter().next();
                let described = described
                    .ok_or_else(|| Error::Invalid(format!("{what}: the broker's answer leaves it out")))?;
                BrokerError::check(described.error_code, described.error_message.as_ref())
                    .map_err(|error| Error::refused(what, error))?;
                let coordinator = self.client.group_coordinator(group).await?.id;
                Ok(description(&described, coordinator))
            })
            .await
    }

    /// Deletes a group without members, with its committed offsets.
    pub async fn delete_group(&self, group: &str) -> Result<(), Error> {
        let request =
            DeleteGroupsRequest { groups_names: vec![Utf8Bytes::from(group)], ..Default::default() };
        self.client
            .retry(|| async {
                let response = self.client.ask_coordinator(group, &request, i16::MAX).await?;
                let code = response.results.first().map_or(0, |result| result.error_code);
                let message = response.results.first().and_then(|result| result.error_message.as_ref());
                BrokerError::check(code, message)
                    .map_err(|error| Error::refused(format!("deleting group {group}"), error))
            })
            .await
    }
}

fn description(group: &DescribedGroup, coordinator: i32) -> GroupDescription {
    GroupDescription {
        group_id: text(&group.group_id),
        state: text(&group.group_state),
        protocol_type: text(&group.protocol_type),
        protocol: text(&group.protocol_data),
        members: group.members.iter().map(member).collect(),
        coordinator,
    }
}

fn member(member: &DescribedGroupMember) -> GroupMember {
    GroupMember {
        member_id: text(&member.member_id),
        group_instance_id: optional_text(&member.group_instance_id),
        client_id: text(&member.client_id),
        client_host: text(&member.client_host),
        assignment: decode_assignment(&member.member_assignment),
    }
}

/// The partitions in a member's assignment. What is not the consumer protocol, Kafka Connect's for example, has none.
pub(crate) fn decode_assignment(bytes: &Bytes) -> Vec<TopicPartitionName> {
    let mut decoder = Decoder::new(bytes.clone());
    let Ok(version) = decoder.int16() else { return Vec::new() };
    let version = version.clamp(0, ConsumerProtocolAssignment::VERSIONS.max);
    let Ok(assignment) = ConsumerProtocolAssignment::decode(&mut decoder, version) else { return Vec::new() };
    let partitions = assignment.assigned_partitions.iter().flat_map(|topic| {
        topic.partitions.iter().map(|&partition| TopicPartitionName::new(&topic.topic, partition))
    });
    let mut partitions: Vec<_> = partitions.collect();
    partitions.sort();
    partitions
}
