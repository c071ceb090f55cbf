//! What must hold whatever happens: one file each. What clients see while the simulation runs is judged by
//! [`History`](crate::history::History) as it comes in.

pub mod acknowledged;
pub mod compacted;
pub mod metadata_equal;
pub mod no_panic;
pub mod one_leader;
pub mod replicas_equal;
pub mod trimmed;
