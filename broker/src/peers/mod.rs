//! Requests to other nodes: fetching what they lead, and asking the controller. With `api` the only part of the broker
//! that knows both the wire and a state machine.

mod alter_partition;
mod connection;
mod fetch_session;
mod fetcher;
mod replica_fetchers;
mod suspects;
mod throttle;

pub(crate) use alter_partition::IsrProposals;
pub(crate) use connection::RegisteredBrokers;
pub(crate) use replica_fetchers::{FetcherSettings, ReplicaFetchers};
pub(crate) use suspects::Suspects;
pub(crate) use throttle::{Limits, Side, Throttle};
