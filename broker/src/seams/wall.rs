//! The two clocks of a node.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use types::{Monotonic, Now, Timestamp};

/// Monotonic time is tokio's, which a simulation controls; wall time is the machine's, or what a simulation says.
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    started: Instant,
    /// What the wall clock showed at the start; absent where the machine's clock is read.
    simulated: Option<Timestamp>,
}

impl Wall {
    /// The machine's own clock.
    pub fn real() -> Wall {
        Wall { started: Instant::now(), simulated: None }
    }

    /// A clock that shows `wall` now and runs with tokio's.
    pub fn simulated(wall: Timestamp) -> Wall {
        Wall { started: Instant::now(), simulated: Some(wall) }
    }

    /// The time, by both clocks.
    pub fn now(&self) -> Now {
        let elapsed = self.started.elapsed();
        let wall = match self.simulated {
            Some(origin) => Timestamp(origin.0.saturating_add(millis(elapsed))),
            None => Timestamp(millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))),
        };
        Now { monotonic: Monotonic(elapsed), wall }
    }

    /// The instant of a deadline, for tokio's timers.
    pub fn instant(&self, deadline: Monotonic) -> Instant {
        self.started + deadline.0
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
