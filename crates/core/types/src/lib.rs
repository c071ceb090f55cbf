//! Ids, units, limits and error codes that every other crate speaks in. Knows nothing of the wire, the disk or the
//! network.

mod error_code;
mod ids;
mod leader_epochs;
pub mod limits;
mod shard;
mod time;
mod topic_name;
mod uuid;

pub use error_code::ErrorCode;
pub use ids::{
    BrokerEpoch, BrokerId, ControllerEpoch, LeaderEpoch, Offset, PartitionEpoch, PartitionId, ProducerEpoch,
    ProducerId, Sequence, TopicId, TopicPartition,
};
pub use leader_epochs::LeaderEpochs;
pub use shard::{Decision, Shard};
pub use time::{Monotonic, Now, Timestamp};
pub use topic_name::{InvalidTopicName, validate_topic_name};
pub use uuid::{ParseUuidError, Uuid};
