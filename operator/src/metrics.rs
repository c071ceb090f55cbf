//! What the operator counts.

use std::time::{Instant, SystemTime};

use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// The operator's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    steady: IntCounterVec,
    failures: IntCounterVec,
    duration: HistogramVec,
    watched: GaugeVec,
    rollouts: IntGaugeVec,
    pods_left: IntGaugeVec,
}

/// Why rounds fail: whom to ask.
pub(crate) const REASONS: [&str; 5] = ["Forbidden", "Conflict", "ApiServer", "Brokers", "Other"];

/// A round that is under way; counted when it is dropped.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    metrics: &'a Metrics,
    kind: &'static str,
    begun: Instant,
    is_steady: bool,
}

impl Metrics {
    pub(crate) fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &["kind"]);
        let reconciles = counter("taffrail_operator_reconciles_total", "Rounds of the operator.")?;
        let steady = counter(
            "taffrail_operator_reconciles_steady_total",
            "Rounds that found everything as it should be and wrote nothing.",
        )?;
        let failures = IntCounterVec::new(
            Opts::new("taffrail_operator_reconcile_failures_total", "Rounds that failed."),
            &["kind", "reason"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new("taffrail_operator_reconcile_duration_seconds", "How long rounds took."),
            &["kind"],
        )?;
        let watched = GaugeVec::new(
            Opts::new(
                "taffrail_operator_last_watch_event_timestamp_seconds",
                "When a watch told of something last; 0 if it has not yet.",
            ),
            &["kind"],
        )?;
        let of_cluster = |name: &str, help: &str| {
            IntGaugeVec::new(Opts::new(name, help), &["kafka_namespace", "kafka_cluster"])
        };
        let rollouts = of_cluster("taffrail_operator_rollout_in_progress", "1 while Pods are restarted.")?;
        let pods_left = of_cluster("taffrail_operator_rollout_pods_left", "Pods that have to be restarted.")?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        registry.register(Box::new(reconciles.clone()))?;
        registry.register(Box::new(steady.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(watched.clone()))?;
        registry.register(Box::new(rollouts.clone()))?;
        registry.register(Box::new(pods_left.clone()))?;
        for kind in ["KafkaCluster", "KafkaTopic"] {
            // Present from the start, so that a rate has something to begin with.
            reconciles.with_label_values(&[kind]);
            steady.with_label_values(&[kind]);
            for reason in REASONS {
                failures.with_label_values(&[kind, reason]);
            }
            duration.with_label_values(&[kind]);
        }
        for kind in ["KafkaCluster", "KafkaTopic", "Pod", "PersistentVolumeClaim"] {
            watched.with_label_values(&[kind]);
        }
        Ok(Metrics { registry, reconciles, steady, failures, duration, watched, rollouts, pods_left })
    }

    pub(crate) fn round(&self, kind: &'static str) -> Round<'_> {
        Round { metrics: self, kind, begun: Instant::now(), is_steady: false }
    }

    /// A round failed for one of [`REASONS`].
    pub(crate) fn failed(&self, kind: &'static str, reason: &'static str) {
        self.failures.with_label_values(&[kind, reason]).inc();
    }

    /// A watch told of something.
    pub(crate) fn watched(&self, kind: &str) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.watched.with_label_values(&[kind]).set(now.as_secs_f64());
    }

    /// So many Pods of a cluster have to be restarted. A rollout that has begun lasts until the cluster is settled: the last
    /// Pod has to come back, too.
    pub(crate) fn rollout(&self, namespace: &str, name: &str, pods_left: usize, is_settled: bool) {
        let labels = [namespace, name];
        let in_progress = self.rollouts.with_label_values(&labels);
        let goes_on = pods_left > 0 || (in_progress.get() == 1 && !is_settled);
        in_progress.set(i64::from(goes_on));
        self.pods_left.with_label_values(&labels).set(i64::try_from(pods_left).unwrap_or(i64::MAX));
    }

    /// A cluster is gone.
    pub(crate) fn forget(&self, namespace: &str, name: &str) {
        // There is nothing to remove of a cluster that was never looked at.
        let _ = self.rollouts.remove_label_values(&[namespace, name]);
        let _ = self.pods_left.remove_label_values(&[namespace, name]);
    }

    /// In Prometheus' text format.
    pub(crate) fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

impl Round<'_> {
    /// Everything was as it should be, and nothing was written.
    pub(crate) fn is_steady(&mut self) {
        self.is_steady = true;
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        if self.is_steady {
            self.metrics.steady.with_label_values(&[self.kind]).inc();
        }
        self.metrics.reconciles.with_label_values(&[self.kind]).inc();
        let seconds = self.begun.elapsed().as_secs_f64();
        self.metrics.duration.with_label_values(&[self.kind]).observe(seconds);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Metrics;

    #[test]
    fn a_rollout_lasts_until_the_last_pod_is_back() {
        let metrics = Metrics::new().expect("registers");
        let says = |metrics: &Metrics| {
            let text = String::from_utf8(metrics.render().expect("renders")).expect("is text");
            let of = |name: &str| {
                let start =
                    format!("taffrail_operator_rollout_{name}{{kafka_cluster=\"c\",kafka_namespace=\"n\"}} ");
                text.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
            };
            (of("in_progress"), of("pods_left"))
        };
        let pair = |a: &str, b: &str| (Some(a.to_owned()), Some(b.to_owned()));
        metrics.rollout("n", "c", 0, false);
        assert_eq!(says(&metrics), pair("0", "0"));
        metrics.rollout("n", "c", 2, false);
        assert_eq!(says(&metrics), pair("1", "2"));
        metrics.rollout("n", "c", 0, false);
        assert_eq!(says(&metrics), pair("1", "0"));
        metrics.rollout("n", "c", 0, true);
        assert_eq!(says(&metrics), pair("0", "0"));
        metrics.forget("n", "c");
        assert_eq!(says(&metrics), (None, None));
    }

    const PAGE: &str = include_str!("../../docs/book/src/reference/operator.md");

    #[test]
    fn the_book_lists_the_metrics_that_are_served() {
        let metrics = Metrics::new().expect("registers");
        metrics.rollout("n", "c", 0, true);
        let text = metrics.render().expect("renders");
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
