//! Administration: one method per operation, each with retries. What a request asks for many items answers for each item.

mod cluster;
mod configs;
mod groups;
mod log_dirs;
mod offsets;
mod quorum;
mod reassign;
mod records;
mod topics;

pub use cluster::{BrokerDescription, ClusterDescription};
pub use configs::{ConfigAlteration, ConfigEntry, ConfigResource, ConfigSource, ConfigSynonym, Operation};
pub use groups::{GroupDescription, GroupListing, GroupMember};
pub use log_dirs::ReplicaSize;
pub use offsets::{Committed, OffsetSpec, OffsetToCommit, PartitionOffset, TopicPartitionName};
pub use quorum::{QuorumDescription, QuorumReplica};
pub use reassign::Reassignment;
pub use topics::{CreatedTopic, NewTopic};

pub(crate) use groups::decode_assignment;
pub(crate) use offsets::commit_request;

use protocol::Utf8Bytes;

use crate::{BrokerError, Client, Error};

/// An answer for each item of a request, by the item's name.
pub type Outcomes<T> = Vec<(String, Result<T, BrokerError>)>;

/// The administration of one cluster.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
}

impl Admin {
    /// Administers through this client.
    pub fn new(client: Client) -> Admin {
        Admin { client }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What brokers are told to wait at most.
    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.client.request_timeout().as_millis()).unwrap_or(i32::MAX)
    }
}

/// The only answer to a request about one item.
fn only<T>(what: String, outcomes: Outcomes<T>) -> Result<T, Error> {
    match outcomes.into_iter().next() {
        Some((_, outcome)) => outcome.map_err(|error| Error::refused(what, error)),
        None => Err(Error::Invalid(format!("{what}: the broker's answer leaves it out"))),
    }
}

fn text(value: &Utf8Bytes) -> String {
    value.as_str().to_owned()
}

fn optional_text(value: &Option<Utf8Bytes>) -> Option<String> {
    value.as_ref().map(text)
}
