//! What the scenarios on kind stand on: a cluster that is made for them, the image that was built here, kubectl and helm as
//! people use them, and a folder with all there is to know when a scenario fails.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test says what it does")]

mod acks;
mod bed;
mod cluster;
mod conditions;
mod layout;
mod load;
mod wait;

pub use acks::{Acks, Written, fill};
pub use bed::{Bed, IMAGE, NAMESPACE, Namespaced, OPERATOR_NAMESPACE};
pub use cluster::Cluster;
pub use conditions::{condition, says};
pub use layout::{WORKERS, ZONE};
pub use load::{Lives, Load, PodWatch};
pub use wait::{MINUTE, wait};
