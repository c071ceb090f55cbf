//! The two clocks. Mixing them up is how a stepped wall clock comes to fence a healthy node, so they are two types.

use std::fmt;
use std::time::Duration;

/// Milliseconds since the Unix epoch: for values that enter records, and for retention. -1 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// "No timestamp", as Kafka writes it.
    pub const NONE: Timestamp = Timestamp(-1);
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Time since the node started, from a clock that never steps: for deadlines, sessions and lag. Never persisted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Monotonic(pub Duration);

impl Monotonic {
    /// The instant `duration` later.
    pub const fn plus(self, duration: Duration) -> Monotonic {
        Monotonic(self.0.saturating_add(duration))
    }

    /// The time from `earlier` to this instant; zero if `earlier` is later.
    pub const fn since(self, earlier: Monotonic) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The time at which something is decided, by both clocks. Core crates take it as an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub monotonic: Monotonic,
    /// For records.
    pub wall: Timestamp,
}
