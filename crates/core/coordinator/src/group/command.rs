//! What is asked of groups, and what is answered.

use bytes::Bytes;
use types::{ErrorCode, Monotonic, Timestamp};

use super::{CommittedOffset, GroupRecord, GroupState};

/// Names a request that waits; the shell gives them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WaiterId(pub u64);

/// Names records on their way to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppendId(pub u64);

/// What somebody asks.
#[derive(Clone, Debug)]
pub enum Command {
    /// Become or stay a member.
    Join(JoinGroup),
    /// Hand in (the leader) or fetch the assignment.
    Sync(SyncGroup),
    /// Still there.
    Heartbeat {
        /// The group.
        group: String,
        /// The member.
        member: String,
        /// Its `group.instance.id`.
        instance_id: Option<String>,
        /// The generation that it knows.
        generation: i32,
    },
    /// Leave.
    Leave {
        /// The group.
        group: String,
        /// Who leaves.
        members: Vec<LeavingMember>,
    },
    /// Note how far members have come.
    Commit(CommitOffsets),
    /// How far has the group come?
    FetchOffsets {
        /// The group.
        group: String,
        /// Topics and their partitions; `None` asks for all.
        topics: Option<Vec<(String, Vec<i32>)>>,
    },
    /// Forget how far the group has come in some partitions.
    DeleteOffsets {
        /// The group.
        group: String,
        /// Topics and their partitions.
        topics: Vec<(String, Vec<i32>)>,
    },
    /// Topics are gone: nobody has come anywhere in them.
    ForgetTopic {
        /// The topic.
        topic: String,
    },
    /// Delete a group without members.
    Delete {
        /// The group.
        group: String,
    },
    /// What is the group?
    Describe {
        /// The group.
        group: String,
    },
    /// Which groups are there?
    List {
        /// Only these states, by name; empty for all.
        states: Vec<String>,
    },
}

/// To become or stay a member.
#[derive(Clone, Debug)]
pub struct JoinGroup {
    /// The group.
    pub group: String,
    /// The member; empty for a new one.
    pub member: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// An id for a new member, unique; this crate has no randomness.
    pub fresh_member: String,
    /// Whether a new member is first told its id and has to come back with it (KIP-394).
    pub requires_known_member: bool,
    /// Whether the leader of a stable group may be told to skip the assignment (KIP-814).
    pub can_skip_assignment: bool,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// How long the group waits for it in a rebalance.
    pub rebalance_timeout_ms: i32,
    /// `consumer` for consumers.
    pub protocol_type: String,
    /// The assignors that it knows, the preferred first, with its subscription.
    pub protocols: Vec<(String, Bytes)>,
}

/// To hand in or fetch the assignment.
#[derive(Clone, Debug)]
pub struct SyncGroup {
    /// The group.
    pub group: String,
    /// The member.
    pub member: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// The generation that it knows.
    pub generation: i32,
    /// What it takes the group's protocol type to be.
    pub protocol_type: Option<String>,
    /// What it takes the group's protocol to be.
    pub protocol: Option<String>,
    /// From the leader: the assignment of each member.
    pub assignments: Vec<(String, Bytes)>,
}

/// A member that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingMember {
    /// Its id; empty if only the instance is known.
    pub member: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
}

/// To note how far a group has come.
#[derive(Clone, Debug)]
pub struct CommitOffsets {
    /// The group.
    pub group: String,
    /// The member; empty from a consumer that assigns itself.
    pub member: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// The generation that it knows; negative from a consumer that assigns itself.
    pub generation: i32,
    /// Topics and their partitions.
    pub topics: Vec<(String, Vec<OffsetToCommit>)>,
}

/// How far somebody has come in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetToCommit {
    /// The partition.
    pub partition: i32,
    /// The next record to read.
    pub offset: i64,
    /// The epoch of the last record that was read; -1 if unknown.
    pub leader_epoch: i32,
    /// What the client wants to remember.
    pub metadata: String,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// To `Join`.
    Joined(JoinedGroup),
    /// To `Sync`.
    Synced(SyncedGroup),
    /// To `Heartbeat` and `Delete`.
    Done(ErrorCode),
    /// To `Leave`: for the whole, and for each member.
    Left(ErrorCode, Vec<(LeavingMember, ErrorCode)>),
    /// To `Commit` and `DeleteOffsets`: for the whole, and for each partition in the order of the request.
    Offsets(ErrorCode, Vec<(String, Vec<(i32, ErrorCode)>)>),
    /// To `FetchOffsets`.
    Fetched(Vec<PartitionOffsets>),
    /// To `Describe`; `None` for a group that is not there.
    Described(Option<GroupDescription>),
    /// To `List`.
    Listed(Vec<ListedGroup>),
}

/// The answer to `Join`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JoinedGroup {
    /// Why not; the rest has no meaning then, the member's id excepted.
    pub error: Option<ErrorCode>,
    /// The group's generation.
    pub generation: i32,
    /// The group's protocol type.
    pub protocol_type: Option<String>,
    /// The assignor that the members agreed on.
    pub protocol: Option<String>,
    /// The member that assigns.
    pub leader: String,
    /// The asker's id.
    pub member: String,
    /// Whether the leader has nothing to assign.
    pub skip_assignment: bool,
    /// For the leader: id, instance and subscription of each member.
    pub members: Vec<(String, Option<String>, Bytes)>,
}

/// The answer to `Sync`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncedGroup {
    /// Why not; the rest has no meaning then.
    pub error: Option<ErrorCode>,
    /// The group's protocol type.
    pub protocol_type: Option<String>,
    /// The assignor that the members agreed on.
    pub protocol: Option<String>,
    /// What the asker is assigned.
    pub assignment: Bytes,
}

/// How far a group has come in the partitions of a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionOffsets {
    /// The topic.
    pub topic: String,
    /// Each partition; `None` where nothing is committed.
    pub partitions: Vec<(i32, Option<CommittedOffset>)>,
}

/// A group for people.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupDescription {
    /// Its state.
    pub state: GroupState,
    /// `consumer` for consumers; empty for consumers that assign themselves.
    pub protocol_type: String,
    /// The assignor, while the group is stable.
    pub protocol: String,
    /// Its members.
    pub members: Vec<MemberDescription>,
}

/// A member for people.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberDescription {
    /// Its id.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// Its subscription, while the group is stable.
    pub subscription: Bytes,
    /// Its assignment, while the group is stable.
    pub assignment: Bytes,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedGroup {
    /// The group.
    pub group: String,
    /// Its protocol type.
    pub protocol_type: String,
    /// Its state.
    pub state: GroupState,
}

/// What the shell does for a coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write these records, all or none, and report `committed` or `append_failed`. Never empty.
    Append {
        /// Names them.
        id: AppendId,
        /// In order.
        records: Vec<GroupRecord>,
    },
    /// Answer a request.
    Complete {
        /// Which.
        waiter: WaiterId,
        /// With what.
        response: Response,
    },
}

/// The time that a command is decided at, as far as groups need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) monotonic: Monotonic,
    pub(super) wall: Timestamp,
}

impl JoinedGroup {
    pub(super) fn refused(error: ErrorCode, member: &str) -> Response {
        let member = member.to_owned();
        Response::Joined(JoinedGroup { error: Some(error), generation: -1, member, ..JoinedGroup::default() })
    }
}

impl SyncedGroup {
    pub(super) fn refused(error: ErrorCode) -> Response {
        Response::Synced(SyncedGroup { error: Some(error), ..SyncedGroup::default() })
    }
}
