//! The catalogue of topic and broker configurations (key, type, default, validator, synonyms, who may change it), what
//! a set of overrides resolves to, and the shape of `broker.yaml`. Knows nothing of the wire or of who stores a value.

mod broker;
mod catalogue;
mod definition;
mod describe;
mod error;
mod layers;
mod nearest;
pub mod node;
mod topic;
mod validate;

pub use broker::BrokerConfig;
pub use catalogue::{broker_definition, broker_definitions, topic_definition, topic_definitions};
pub use definition::{ConfigDef, Importance, Kind, Support, Update};
pub use describe::{Described, Source, SynonymValue, describe_broker, describe_topic};
pub use error::ConfigError;
pub use layers::{BrokerLayers, Overrides};
pub use nearest::nearest;
pub use topic::{CleanupPolicy, CompressionType, TimestampType, TopicConfig};
pub use validate::{
    split_list, validate_broker_override, validate_static_broker, validate_topic_override,
    validate_topic_overrides,
};
