//! Why a configuration is refused, in the words that Kafka's tools show.

use types::ErrorCode;

/// A configuration that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No topic configuration has this name.
    #[error("Unknown topic config name: {key}{}", hint(.nearest))]
    UnknownTopicKey {
        /// What was given.
        key: String,
        /// The known name that it resembles.
        nearest: Option<&'static str>,
    },
    /// No broker configuration has this name.
    #[error("Unknown broker config name: {key}{}", hint(.nearest))]
    UnknownBrokerKey {
        /// What was given.
        key: String,
        /// The known name that it resembles.
        nearest: Option<&'static str>,
    },
    /// The value is not one of the key's type or range.
    #[error("Invalid value {value} for configuration {key}: {reason}")]
    InvalidValue {
        /// The key.
        key: String,
        /// What was given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A list names one value twice.
    #[error("Configuration '{key}' values must not be duplicated.")]
    Duplicated {
        /// The key.
        key: String,
    },
    /// Two values contradict each other.
    #[error("{0}")]
    Conflict(String),
    /// A topic configuration was set to null.
    #[error("Null value not supported for topic configs: {0}")]
    NullTopicValue(String),
    /// A broker configuration that only a restart changes.
    #[error("Cannot update these configs dynamically: Set({0})")]
    NotDynamic(String),
    /// A broker configuration that `broker.yaml` has another field for.
    #[error("{key} does not belong under `config`: set `{field}` instead")]
    OwnField {
        /// The key.
        key: String,
        /// The field of `broker.yaml`.
        field: &'static str,
    },
    /// The stored value is longer than a record of it may be.
    #[error(
        "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes."
    )]
    ValueTooLong,
}

impl ConfigError {
    /// The error code on the wire.
    pub fn code(&self) -> ErrorCode {
        match self {
            ConfigError::NotDynamic(_) => ErrorCode::InvalidRequest,
            ConfigError::UnknownTopicKey { .. }
            | ConfigError::UnknownBrokerKey { .. }
            | ConfigError::InvalidValue { .. }
            | ConfigError::Duplicated { .. }
            | ConfigError::Conflict(_)
            | ConfigError::NullTopicValue(_)
            | ConfigError::OwnField { .. }
            | ConfigError::ValueTooLong => ErrorCode::InvalidConfig,
        }
    }
}

fn hint(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default()
}
