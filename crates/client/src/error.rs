//! What can go wrong between a client and a cluster, in sentences that say what to do. Knows nothing of who reads them.

use std::time::Duration;

use protocol::{DecodeError, EncodeError, Utf8Bytes};
use types::ErrorCode;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address that is not `host:port`.
    #[error("{address:?} is not host:port, for example localhost:9092")]
    InvalidAddress {
        /// What was given.
        address: String,
    },
    /// None of the bootstrap servers could be reached.
    #[error("no broker answers at {tried}: {reason}; check that it runs and that the address is right")]
    NoBrokerReachable {
        /// The addresses, as given.
        tried: String,
        /// What the last attempt met.
        reason: String,
    },
    /// A connection could not be opened.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Where.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// The connection broke while a request was under way.
    #[error("the connection to {address} broke: {reason}")]
    Disconnected {
        /// Where.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// No answer in time.
    #[error("{address} did not answer {api} within {} ms", after.as_millis())]
    Timeout {
        /// Where.
        address: String,
        /// The API that was asked.
        api: &'static str,
        /// How long the client waited.
        after: Duration,
    },
    /// The broker does not serve the API in a version that this client speaks.
    #[error("{address} does not serve {api} in a version that this client speaks ({served})")]
    UnsupportedVersion {
        /// Where.
        address: String,
        /// The API.
        api: &'static str,
        /// What the broker serves.
        served: String,
    },
    /// The answer is not a Kafka message.
    #[error(
        "{address} answered {api} with something else than Kafka's protocol: {source}; is it a Kafka broker?"
    )]
    Malformed {
        /// Where.
        address: String,
        /// The API that was asked.
        api: &'static str,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The request cannot be written, which is a bug here or a value that no version has a place for.
    #[error("{api} cannot carry this request: {source}")]
    Unencodable {
        /// The API.
        api: &'static str,
        /// What is wrong with it.
        source: EncodeError,
    },
    /// The broker refused.
    #[error("{what}: {source}")]
    Refused {
        /// What was attempted.
        what: String,
        /// Its answer.
        source: BrokerError,
    },
    /// The topic is not in the cluster.
    #[error("topic {topic} does not exist; `taffrail topics list` shows those that do")]
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has no partition {partition}: it has {count}, counted from 0")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition asked for.
        partition: i32,
        /// How many there are.
        count: usize,
    },
    /// The partition has no leader now.
    #[error("partition {topic}-{partition} has no leader: is its broker down?")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// A record or an answer that this client cannot use.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// A refusal, with what was attempted.
    pub fn refused(what: impl Into<String>, source: BrokerError) -> Error {
        Error::Refused { what: what.into(), source }
    }

    /// Whether the same request may succeed later.
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::NoBrokerReachable { .. }
            | Error::Connect { .. }
            | Error::Disconnected { .. }
            | Error::Timeout { .. }
            | Error::NoLeader { .. } => true,
            Error::Refused { source, .. } => source.code.is_retriable(),
            Error::InvalidAddress { .. }
            | Error::UnsupportedVersion { .. }
            | Error::Malformed { .. }
            | Error::Unencodable { .. }
            | Error::UnknownTopic { .. }
            | Error::UnknownPartition { .. }
            | Error::Invalid(_) => false,
        }
    }

    /// The broker's code, if it was the broker that refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Refused { source, .. } => Some(source.code),
            _ => None,
        }
    }
}

/// A broker's answer to a part of a request that it refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerError {
    /// The code.
    pub code: ErrorCode,
    /// The broker's words, if it has any.
    pub message: Option<String>,
}

impl BrokerError {
    /// `Ok` for the code 0. A number that Kafka does not define counts as UNKNOWN_SERVER_ERROR.
    pub fn check(code: i16, message: Option<&Utf8Bytes>) -> Result<(), BrokerError> {
        if code == 0 {
            return Ok(());
        }
        let message = message.filter(|text| !text.is_empty()).map(|text| text.as_str().to_owned());
        Err(BrokerError {
            code: ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError),
            message,
        })
    }
}

impl std::fmt::Display for BrokerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{message} ({})", self.code),
            None => write!(f, "{}", self.code),
        }
    }
}

impl std::error::Error for BrokerError {}
