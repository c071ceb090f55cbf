//! How many requests wait: Kafka's purgatories.

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

use super::register;

/// Requests that wait, by what they do.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// For the high watermark or an fsync.
    pub(crate) produce: IntGauge,
    /// For records.
    pub(crate) fetch: IntGauge,
}

/// Counts one that waits, until it is dropped.
#[derive(Debug)]
pub(crate) struct Waits<'a>(&'a IntGauge);

impl Waiting {
    pub(super) fn new(registry: &Registry) -> Waiting {
        let options = Opts::new("taffrail_purgatory_size", "Requests that wait, by API.");
        let sizes = register(registry, IntGaugeVec::new(options, &["api"]));
        Waiting { produce: sizes.with_label_values(&["Produce"]), fetch: sizes.with_label_values(&["Fetch"]) }
    }
}

impl Waits<'_> {
    /// One more.
    pub(crate) fn for_more(gauge: &IntGauge) -> Waits<'_> {
        gauge.inc();
        Waits(gauge)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
