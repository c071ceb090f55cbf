//! What partitions ask of background work: an fsync, a change of their in-sync replicas. Whoever does it takes all that
//! asked meanwhile in one go.

use std::mem;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// What waits to be done. Each partition has at most one entry at a time, so the number of partitions bounds it.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    waiting: Mutex<Vec<T>>,
    wake: Notify,
}

impl<T> Default for Outbox<T> {
    fn default() -> Outbox<T> {
        Outbox { waiting: Mutex::new(Vec::new()), wake: Notify::new() }
    }
}

impl<T> Outbox<T> {
    /// Adds something to do.
    pub(crate) fn push(&self, item: T) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(item);
        self.wake.notify_one();
    }

    /// Waits until there is something to do, and takes all of it.
    pub(crate) async fn take(&self) -> Vec<T> {
        loop {
            let taken = self.take_now();
            if !taken.is_empty() {
                return taken;
            }
            self.wake.notified().await;
        }
    }

    /// Takes what there is.
    pub(crate) fn take_now(&self) -> Vec<T> {
        mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
