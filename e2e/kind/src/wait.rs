//! Waiting for what a cluster does in its own time.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What limits are counted in.
pub const MINUTE: Duration = Duration::from_secs(60);

/// Asks until there is an answer. An error is asked again: what is being waited for is often not there yet. Gives up
/// after `limit`, with what was said last.
pub fn wait<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        let last = match ask() {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => "not yet".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        if begun.elapsed() > limit {
            bail!("waited {} s for {what}: {last}", limit.as_secs());
        }
        sleep(Duration::from_millis(500));
    }
}
