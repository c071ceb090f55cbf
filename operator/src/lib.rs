//! The Kubernetes operator. A reconcile is a pipeline: observe (IO), validate, plan and status (pure), execute (IO). What is
//! decided needs no API server, and is tested without one; what is written goes through server-side apply, so that a
//! crash between any two steps is repaired by the next round. Talks to brokers as everybody does: over the Kafka protocol
//! and their admin endpoint.

mod backoff;
mod cluster;
mod conditions;
mod election;
mod hooks;
mod http;
mod kafka;
mod metrics;
mod names;
mod namespaces;
mod nudges;
mod pulse;
mod quantity;
mod run;
mod topic;
mod watches;

pub use election::Election;
pub use hooks::{Subject, check, retire};
pub use run::{Options, RunError, run};
