//! The two clocks of a node.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use types::{Monotonic, Now, Timestamp};

/// Monotonic time is tokio's, which a simulation controls; wall time is the machine's, shifted by what the simulation
/// wants it to be wrong by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wall {
    started: Instant,
    offset_ms: i64,
}

impl Wall {
    /// The machine's own clock.
    pub(crate) fn real() -> Wall {
        Wall { started: Instant::now(), offset_ms: 0 }
    }

    /// The time, by both clocks.
    pub(crate) fn now(&self) -> Now {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let millis = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        Now {
            monotonic: Monotonic(self.started.elapsed()),
            wall: Timestamp(millis.saturating_add(self.offset_ms)),
        }
    }

    /// The instant of a deadline, for tokio's timers.
    pub(crate) fn instant(&self, deadline: Monotonic) -> Instant {
        self.started + deadline.0
    }
}
