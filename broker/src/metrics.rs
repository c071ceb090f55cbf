//! What is counted, in one registry per node. Counters are moved where things happen; gauges are read when Prometheus
//! asks.

mod copying;
mod dashboards;
mod groups;
mod logs;
mod quorum;
mod replication;
mod scrape;
mod waiting;

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};
use protocol::ApiKey;
use types::ErrorCode;

pub(crate) use copying::Copying;
pub(crate) use waiting::{Waiting, Waits};

use crate::node::Node;

/// Buckets of request times: from a tenth of a millisecond, which is a produce into the page cache, to a long poll.
const SECONDS_BUCKETS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The counters of a node.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_errors: IntCounterVec,
    request_seconds: HistogramVec,
    request_bytes: IntCounterVec,
    response_bytes: IntCounterVec,
    topic_records_in: IntCounterVec,
    topic_bytes_in: IntCounterVec,
    topic_bytes_out: IntCounterVec,
    topic_produces: IntCounterVec,
    topic_produces_failed: IntCounterVec,
    topic_fetches: IntCounterVec,
    topic_fetches_failed: IntCounterVec,
    connections: IntGaugeVec,
    connections_opened: IntCounter,
    connections_refused: IntCounter,
    /// Of replication.
    pub(crate) copying: Copying,
    /// Requests that wait.
    pub(crate) waiting: Waiting,
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Metrics {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let api = &["api"];
        let topic = &["topic"];
        let buckets = HistogramOpts::new(
            "taffrail_request_duration_seconds",
            "Time from a request's last byte in to its response's first byte out.",
        )
        .buckets(SECONDS_BUCKETS.to_vec());
        Metrics {
            requests: counters(
                "taffrail_requests_total",
                "Requests, by API and version.",
                &["api", "version"],
            ),
            request_errors: counters(
                "taffrail_request_errors_total",
                "Errors in responses.",
                &["api", "error"],
            ),
            request_seconds: register(&registry, HistogramVec::new(buckets, api)),
            request_bytes: counters("taffrail_request_bytes_total", "Bytes of requests.", api),
            response_bytes: counters("taffrail_response_bytes_total", "Bytes of responses.", api),
            topic_records_in: counters("taffrail_topic_records_in_total", "Records produced.", topic),
            topic_bytes_in: counters("taffrail_topic_bytes_in_total", "Bytes of batches produced.", topic),
            topic_bytes_out: counters("taffrail_topic_bytes_out_total", "Bytes of batches fetched.", topic),
            topic_produces: counters("taffrail_topic_produces_total", "Batches that came.", topic),
            topic_produces_failed: counters(
                "taffrail_topic_produces_failed_total",
                "Batches that were refused.",
                topic,
            ),
            topic_fetches: counters("taffrail_topic_fetches_total", "Partitions that were asked for.", topic),
            topic_fetches_failed: counters(
                "taffrail_topic_fetches_failed_total",
                "Partitions that were asked for and could not be given.",
                topic,
            ),
            connections: register(
                &registry,
                IntGaugeVec::new(Opts::new("taffrail_connections", "Open connections."), &["listener"]),
            ),
            connections_opened: register(
                &registry,
                IntCounter::new("taffrail_connections_opened_total", "Connections that were accepted."),
            ),
            connections_refused: register(
                &registry,
                IntCounter::new("taffrail_connections_refused_total", "Connections refused by a limit."),
            ),
            copying: Copying::new(&registry),
            waiting: Waiting::new(&registry),
            registry,
        }
    }

    /// A request was answered.
    pub(crate) fn request(
        &self,
        api: ApiKey,
        version: i16,
        elapsed: Duration,
        bytes_in: usize,
        bytes_out: usize,
    ) {
        let name = &[api.name()];
        self.requests
            .with_label_values(&[
                api.name(),
                VERSIONS.get(usize::from(version.unsigned_abs())).unwrap_or(&"?"),
            ])
            .inc();
        self.request_seconds.with_label_values(name).observe(elapsed.as_secs_f64());
        self.request_bytes.with_label_values(name).inc_by(bytes_in as u64);
        self.response_bytes.with_label_values(name).inc_by(bytes_out as u64);
    }

    /// A response holds an error.
    pub(crate) fn error(&self, api: ApiKey, code: i16) {
        let error = ErrorCode::from_code(code).map_or("?", ErrorCode::name);
        self.request_errors.with_label_values(&[api.name(), error]).inc();
    }

    /// A batch was produced to a topic.
    pub(crate) fn produced(&self, topic: &str, records: i32, bytes: u32) {
        self.topic_records_in.with_label_values(&[topic]).inc_by(u64::from(records.unsigned_abs()));
        self.topic_bytes_in.with_label_values(&[topic]).inc_by(u64::from(bytes));
    }

    /// A batch came for a topic, and was taken or not.
    pub(crate) fn produce(&self, topic: &str, is_taken: bool) {
        self.topic_produces.with_label_values(&[topic]).inc();
        if !is_taken {
            self.topic_produces_failed.with_label_values(&[topic]).inc();
        }
    }

    /// A partition of a topic was asked for, and so much of it was given.
    pub(crate) fn fetched(&self, topic: &str, bytes: u32, error: ErrorCode) {
        self.topic_bytes_out.with_label_values(&[topic]).inc_by(u64::from(bytes));
        self.topic_fetches.with_label_values(&[topic]).inc();
        if !error.is_none() {
            self.topic_fetches_failed.with_label_values(&[topic]).inc();
        }
    }

    /// A topic is gone, and its series with it.
    pub(crate) fn forget_topic(&self, topic: &str) {
        for counters in self.by_topic() {
            // It is not there if nothing was ever counted.
            counters.remove_label_values(&[topic]).ok();
        }
    }

    fn by_topic(&self) -> [&IntCounterVec; 7] {
        [
            &self.topic_records_in,
            &self.topic_bytes_in,
            &self.topic_bytes_out,
            &self.topic_produces,
            &self.topic_produces_failed,
            &self.topic_fetches,
            &self.topic_fetches_failed,
        ]
    }

    /// A connection was accepted.
    pub(crate) fn connection_opened(&self, listener: &str) {
        self.connections.with_label_values(&[listener]).inc();
        self.connections_opened.inc();
    }

    /// A connection ended.
    pub(crate) fn connection_closed(&self, listener: &str) {
        self.connections.with_label_values(&[listener]).dec();
    }

    /// A connection was refused by a limit.
    pub(crate) fn connection_refused(&self) {
        self.connections_refused.inc();
    }
}

/// Versions as text, so that counting a request allocates nothing.
const VERSIONS: [&str; 20] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18",
    "19",
];

fn register<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let collector = made.expect("names and labels are constants that are legal");
    registry.register(Box::new(collector.clone())).expect("every name is used once");
    collector
}

/// The text that Prometheus scrapes.
pub(crate) fn render(node: &Node) -> prometheus::Result<String> {
    let mut families = node.metrics.registry.gather();
    families.extend(dashboards::gather(&families));
    families.extend(scrape::gather(node)?);
    families.extend(groups::gather(node)?);
    families.sort_by(|a, b| a.name().cmp(b.name()));
    TextEncoder::new().encode_to_string(&families)
}
