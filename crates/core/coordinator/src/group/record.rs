//! What the log keeps of a group.

use bytes::Bytes;
use types::Timestamp;

/// A change of what is kept. An absent value is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// A group's members and what they were assigned.
    Group {
        /// The group.
        group: String,
        /// Its state; `None` when it is gone.
        value: Option<StoredGroup>,
    },
    /// How far a group has come in a partition.
    Offset {
        /// The group.
        group: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// How far; `None` when it is forgotten.
        value: Option<CommittedOffset>,
    },
}

/// A group after a rebalance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredGroup {
    /// `consumer` for consumers.
    pub protocol_type: String,
    /// Counts the rebalances.
    pub generation: i32,
    /// The assignor that the members agreed on.
    pub protocol: Option<String>,
    /// The member that assigns.
    pub leader: Option<String>,
    /// When it came into its state.
    pub state_timestamp: Timestamp,
    /// Its members.
    pub members: Vec<StoredMember>,
}

/// A member of a stored group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredMember {
    /// Its id.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// How long the group waits for it in a rebalance.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// What it subscribes to, in the form of the agreed protocol.
    pub subscription: Bytes,
    /// What it was assigned.
    pub assignment: Bytes,
}

/// How far a group has come in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next record to read.
    pub offset: i64,
    /// The epoch of the last record that was read; -1 if unknown.
    pub leader_epoch: i32,
    /// What the client wanted to remember.
    pub metadata: String,
    /// When it was committed.
    pub committed: Timestamp,
}
