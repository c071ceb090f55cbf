//! How long an object rests after it failed: twice as long each time, on its own. One that fails holds up no other.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// The failures in a row of each object, by its uid.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: Mutex<HashMap<String, u32>>,
}

impl Backoff {
    /// Notes a failure and says how long to wait.
    pub(crate) fn failed(&self, uid: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = failures.entry(uid.to_owned()).or_default();
        let wait = FIRST.saturating_mul(1 << (*count).min(10)).min(LONGEST);
        *count = count.saturating_add(1);
        wait
    }

    /// Notes a success, or that the object is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, Duration, FIRST, LONGEST};

    #[test]
    fn waits_double_up_to_a_minute_for_each_object_alone() {
        let backoff = Backoff::default();
        assert_eq!(
            [backoff.failed("a"), backoff.failed("a"), backoff.failed("a")],
            [FIRST, FIRST * 2, FIRST * 4]
        );
        assert_eq!(backoff.failed("b"), FIRST);
        let last = (0..1000).map(|_| backoff.failed("a")).last();
        assert_eq!(last, Some(LONGEST));
        backoff.forget("a");
        assert_eq!(backoff.failed("a"), Duration::from_millis(500));
    }
}
