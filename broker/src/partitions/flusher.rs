//! Group commit: makes partitions durable whose flush settings ask for it, all that asked meanwhile in one go.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::Partition;

/// Who waits for an fsync. A partition stands here at most once, so the queue is bounded by their number.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    requested: Mutex<Vec<Arc<Partition>>>,
    wake: Notify,
}

impl Flusher {
    /// Asks for an fsync of a partition that is not in the queue yet.
    pub(crate) fn request(&self, partition: Arc<Partition>) {
        self.requested.lock().unwrap_or_else(PoisonError::into_inner).push(partition);
        self.wake.notify_one();
    }

    /// Waits until somebody asked, and takes all who did.
    pub(crate) async fn take(&self) -> Vec<Arc<Partition>> {
        loop {
            let taken = mem::take(&mut *self.requested.lock().unwrap_or_else(PoisonError::into_inner));
            if !taken.is_empty() {
                return taken;
            }
            self.wake.notified().await;
        }
    }
}
