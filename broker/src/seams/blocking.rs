//! Work that may wait for a disk, away from the threads that serve connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// Where blocking work is done.
#[derive(Clone, Debug)]
pub struct Blocking(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// A bounded number of threads.
    Pool(Arc<Semaphore>),
    /// At once, by the caller.
    Inline,
}

impl Blocking {
    /// At most `threads` pieces of work at a time; others wait for their turn.
    pub fn pool(threads: usize) -> Blocking {
        Blocking(Kind::Pool(Arc::new(Semaphore::new(threads))))
    }

    /// No threads: for a simulation, whose disk never blocks.
    pub fn inline() -> Blocking {
        Blocking(Kind::Inline)
    }

    /// Lets time pass in the middle of blocking work. There is none to pass where the caller does the work at once.
    pub fn pause(&self, duration: Duration) {
        match &self.0 {
            Kind::Pool(_) => std::thread::sleep(duration),
            Kind::Inline => {}
        }
    }

    /// Runs `work`. A panic in it goes on in the caller.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let Kind::Pool(permits) = &self.0 else {
            // Others get their turn, as they would while a thread works.
            tokio::task::yield_now().await;
            return work();
        };
        let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
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
