//! The node process: core and storage wired to sockets, openraft and disks.

mod admin;
mod advertised;
mod api;
mod coordinators;
mod embedded;
mod heartbeat;
mod lifecycle;
mod metrics;
mod net;
mod node;
mod partitions;
mod peers;
mod publisher;
mod quorum;
#[cfg(feature = "sabotage")]
pub mod sabotage;
#[cfg(not(feature = "sabotage"))]
#[allow(unreachable_pub, reason = "exported only where rules are broken")]
mod sabotage;
pub mod seams;

pub use embedded::{EmbeddedNode, Replica};
pub use lifecycle::{RunError, run};
