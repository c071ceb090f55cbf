//! Clients that other people wrote, and that tell the ledger what they are told: librdkafka in this process, and Kafka's own
//! verifiable producer and consumer beside it.

pub mod java;
pub mod librdkafka;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A topic whose records are replicated before they are acknowledged.
pub const PLAIN: &str = "plain";
/// A topic whose records are synced too.
pub const FLUSHED: &str = "flushed";
/// Partitions of each.
pub const PARTITIONS: i32 = 4;
/// The group of librdkafka's consumers, which reads both topics.
pub const LIBRDKAFKA: &str = "librdkafka";
/// The group of the Java consumer, which reads [`PLAIN`].
pub const JAVA: &str = "java";

/// Tells threads to come to an end.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Now.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was told.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A thread that ends when it is told.
#[derive(Debug)]
pub struct Client {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Starts it.
    pub fn start(run: impl FnOnce(&Stop) + Send + 'static) -> Client {
        let stop = Stop::default();
        let told = stop.clone();
        Client { stop, thread: Some(std::thread::spawn(move || run(&told))) }
    }

    /// Waits for its end, which was told before.
    pub fn join(mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a client does not panic");
        }
    }

    /// Waits for its end for a while. What does not end by then is left behind: librdkafka's consumers sometimes do not close
    /// after their group has moved, although the group is empty and has read everything by then.
    pub fn leave(self, patience: Duration) {
        self.stop.set();
        let begin = Instant::now();
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            if begin.elapsed() > patience {
                return println!("    a reader did not close, and was left behind");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.join();
    }

    /// Tells it to come to an end, and does not wait.
    pub fn stop(&self) {
        self.stop.set();
    }
}
