//! Compaction: of each key the last record stays. What is decided is pure (`plan`, `key_map`, `filter`,
//! `transactions`); `round` reads and writes files, and `replace` puts them in the place of the old ones.

mod filter;
mod key_map;
mod plan;
mod replace;
mod round;
#[cfg(test)]
mod tests;
mod transactions;

pub use plan::{Backlog, CompactionRules, filthiest};
pub(crate) use replace::complete_swaps;
pub use round::{CleanedGroup, Compacted, CompactionError, CompactionRound, CompactionSettings, Pace};
