//! What is counted of replication: what this node copies from others, and what they copy from it.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use types::BrokerId;

use super::register;

/// The counters of replication; a clone counts into the same.
#[derive(Clone, Debug)]
pub(crate) struct Copying {
    records_in: IntCounter,
    bytes_in: IntCounter,
    bytes_out: IntCounter,
    failures: IntCounterVec,
}

impl Copying {
    pub(super) fn new(registry: &Registry) -> Copying {
        let counter = |name: &str, help: &str| register(registry, IntCounter::new(name, help));
        let failures = Opts::new("taffrail_fetcher_failures_total", "Fetches that a leader did not answer.");
        Copying {
            records_in: counter("taffrail_replication_records_in_total", "Records copied from leaders."),
            bytes_in: counter("taffrail_replication_bytes_in_total", "Bytes of batches copied from leaders."),
            bytes_out: counter(
                "taffrail_replication_bytes_out_total",
                "Bytes of batches given to followers.",
            ),
            failures: register(registry, IntCounterVec::new(failures, &["leader"])),
        }
    }

    /// Came from a leader.
    pub(crate) fn took_in(&self, records: u64, bytes: u64) {
        self.records_in.inc_by(records);
        self.bytes_in.inc_by(bytes);
    }

    /// Went to a follower.
    pub(crate) fn gave(&self, bytes: u32) {
        self.bytes_out.inc_by(u64::from(bytes));
    }

    /// A leader did not answer.
    pub(crate) fn failed(&self, leader: BrokerId) {
        self.failures.with_label_values(&[leader.to_string()]).inc();
    }
}
