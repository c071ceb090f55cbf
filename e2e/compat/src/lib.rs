//! Taffrail against real clients, real files and real crashes: `tests/` has what is shown, and here is what the tests share,
//! those of `e2e/chaos` too. `TAFFRAIL_BIN` names the binary under test.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to a terminal")]

pub mod clients;
pub mod journal;
pub mod node;
mod orders;
pub mod scenarios;

use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Waits until it is so, and panics with what did not come.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(POLL);
    }
}
