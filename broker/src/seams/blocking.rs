//! Work that may wait for a disk, away from the threads that serve connections.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// A bounded number of threads for blocking work.
#[derive(Clone, Debug)]
pub(crate) struct Blocking {
    permits: Arc<Semaphore>,
}

impl Blocking {
    /// At most `threads` pieces of work at a time; others wait for their turn.
    pub(crate) fn pool(threads: usize) -> Blocking {
        Blocking { permits: Arc::new(Semaphore::new(threads)) }
    }

    /// Runs `work` on a thread of the pool. A panic in it goes on in the caller.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        match task.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime shuts down; nothing that is awaited then goes on.
                Err(_) => std::future::pending().await,
            },
        }
    }
}
