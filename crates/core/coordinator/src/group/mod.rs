//! Classic consumer groups (KIP-62, KIP-345, KIP-394, KIP-429, KIP-496): who is a member, who reads what, and how far
//! they have come. One coordinator holds the groups of one partition of `__consumer_offsets`.

mod command;
mod config;
mod coordinator;
mod describe;
mod expiry;
mod join;
mod leave;
mod member;
mod offsets;
mod rebalance;
mod record;
mod state;
mod sync;

pub use command::{
    AppendId, Command, CommitOffsets, Effect, GroupDescription, JoinGroup, JoinedGroup, LeavingMember,
    ListedGroup, MemberDescription, OffsetToCommit, PartitionOffsets, Response, SyncGroup, SyncedGroup,
    WaiterId,
};
pub use config::GroupConfig;
pub use coordinator::GroupCoordinator;
pub use record::{CommittedOffset, GroupRecord, StoredGroup, StoredMember};
pub use state::GroupState;

#[cfg(test)]
mod tests;
