//! A process: a tokio runtime of its own whose clock stands still until it is told to go on. Dropping it is its death: no
//! task of it runs again.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, RngSeed, Runtime};
use tokio::time::{Instant, sleep_until};

use chance::Random;

/// One process.
#[derive(Debug)]
pub struct Process {
    runtime: Runtime,
    next: Instant,
}

/// How far one step goes.
pub const STEP: Duration = Duration::from_millis(1);

impl Process {
    /// With no task yet. What tokio leaves to chance follows from `random`.
    pub fn new(random: &mut Random) -> Process {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .rng_seed(RngSeed::from_bytes(&random.number().to_le_bytes()))
            .build()
            .expect("a runtime without IO needs nothing of the machine");
        let next = runtime.block_on(async { Instant::now() });
        Process { runtime, next }
    }

    /// Starts a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Runs what can run within the next millisecond of its time.
    pub fn step(&mut self) {
        self.next += STEP;
        let next = self.next;
        self.runtime.block_on(async move { sleep_until(next).await });
    }

    /// Runs one future to its end, without letting time pass for anybody else: it must not wait for others.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let _guard = self.runtime.enter();
        work()
    }
}
