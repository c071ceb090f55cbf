//! A small asynchronous Kafka client: connections, cluster metadata, administration, producing and consuming.
//!
//! **Invariant:** every wait has an end. A request has a timeout, a retry a deadline, a queue a bound. Knows nothing of
//! brokers' insides, of files or of terminals.

pub mod admin;
mod client;
mod config;
mod connect;
mod connection;
pub mod consumer;
mod error;
mod metadata;
pub mod node;
pub mod producer;
mod versions;

pub use admin::Admin;
pub use client::{Client, Purpose};
pub use config::{AddressMap, ClientConfig};
pub use connect::{Connect, Halves};
pub use connection::Connection;
pub use error::{BrokerError, Error};
pub use metadata::{ClusterMetadata, Node, PartitionMetadata, TopicMetadata};
pub use versions::BrokerVersions;
