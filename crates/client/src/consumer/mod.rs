//! Consuming: fetching assigned partitions from given offsets, and simple membership in a classic group.

mod assignor;
mod fetcher;
mod group;

pub use fetcher::{ConsumedRecord, FetchConfig, Fetcher, OffsetReset};
pub use group::{GroupConfig, GroupConsumer};
