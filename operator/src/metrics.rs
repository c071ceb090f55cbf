//! What the operator counts.

use std::time::Instant;

use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

/// The operator's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    failures: IntCounterVec,
    duration: HistogramVec,
}

/// A round that is under way; counted when it is dropped.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    metrics: &'a Metrics,
    kind: &'static str,
    begun: Instant,
}

impl Metrics {
    pub(crate) fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &["kind"]);
        let reconciles = counter("taffrail_operator_reconciles_total", "Rounds of the operator.")?;
        let failures = counter("taffrail_operator_reconcile_failures_total", "Rounds that failed.")?;
        let duration = HistogramVec::new(
            HistogramOpts::new("taffrail_operator_reconcile_duration_seconds", "How long rounds took."),
            &["kind"],
        )?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        registry.register(Box::new(reconciles.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        for kind in ["KafkaCluster", "KafkaTopic"] {
            // Present from the start, so that a rate has something to begin with.
            reconciles.with_label_values(&[kind]);
            failures.with_label_values(&[kind]);
            duration.with_label_values(&[kind]);
        }
        Ok(Metrics { registry, reconciles, failures, duration })
    }

    pub(crate) fn round(&self, kind: &'static str) -> Round<'_> {
        Round { metrics: self, kind, begun: Instant::now() }
    }

    pub(crate) fn failed(&self, kind: &'static str) {
        self.failures.with_label_values(&[kind]).inc();
    }

    /// In Prometheus' text format.
    pub(crate) fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.metrics.reconciles.with_label_values(&[self.kind]).inc();
        let seconds = self.begun.elapsed().as_secs_f64();
        self.metrics.duration.with_label_values(&[self.kind]).observe(seconds);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Metrics;

    const PAGE: &str = include_str!("../../docs/book/src/reference/operator.md");

    #[test]
    fn the_book_lists_the_metrics_that_are_served() {
        let text = Metrics::new().and_then(|metrics| metrics.render()).expect("renders");
        let text = String::from_utf8(text).expect("is text");
        let served: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let (_, tables) = PAGE.split_once("## Metrics").expect("a section");
        let written: BTreeSet<_> = tables
            .lines()
            .filter_map(|line| {
                let mut cells = line.strip_prefix("| `")?.split('|');
                Some(format!("{} {}", cells.next()?.trim().trim_matches('`'), cells.next()?.trim()))
            })
            .collect();
        assert_eq!(written.iter().map(String::as_str).collect::<BTreeSet<_>>(), served);
    }
}
