//! What is counted, once more under the names that Strimzi's rules for the JMX exporter give to Kafka's own counters, so
//! that dashboards made for them work. Knows families of metrics, not where they come from.

use prometheus::proto::{Counter, LabelPair, Metric, MetricFamily, MetricType};

/// Our name, theirs. Kafka has each by topic, and without a topic for all of them together.
const BY_TOPIC: [(&str, &str); 7] = [
    ("taffrail_topic_records_in_total", "kafka_server_brokertopicmetrics_messagesin_total"),
    ("taffrail_topic_bytes_in_total", "kafka_server_brokertopicmetrics_bytesin_total"),
    ("taffrail_topic_bytes_out_total", "kafka_server_brokertopicmetrics_bytesout_total"),
    ("taffrail_topic_produces_total", "kafka_server_brokertopicmetrics_totalproducerequests_total"),
    ("taffrail_topic_produces_failed_total", "kafka_server_brokertopicmetrics_failedproducerequests_total"),
    ("taffrail_topic_fetches_total", "kafka_server_brokertopicmetrics_totalfetchrequests_total"),
    ("taffrail_topic_fetches_failed_total", "kafka_server_brokertopicmetrics_failedfetchrequests_total"),
];
const REQUESTS: [(&str, &str); 3] = [
    ("taffrail_requests_total", "kafka_network_requestmetrics_requests_total"),
    ("taffrail_request_errors_total", "kafka_network_requestmetrics_errors_total"),
    ("taffrail_request_duration_seconds", "kafka_network_requestmetrics_totaltimems_count"),
];
const CONNECTIONS: (&str, &str) =
    ("taffrail_connections", "kafka_server_socket_server_metrics_connection_count");
const HELP: &str = "As Strimzi's JMX rules name it.";

/// The families that dashboards look up, made of `ours`.
pub(super) fn gather(ours: &[MetricFamily]) -> Vec<MetricFamily> {
    let find = |name: &str| ours.iter().find(|family| family.name() == name);
    let mut theirs = Vec::new();
    for (name, theirs_name) in BY_TOPIC {
        let metrics = find(name).map_or(&[][..], MetricFamily::get_metric);
        let total = metrics.iter().map(|metric| metric.get_counter().get_value()).sum();
        let mut all = vec![counter(total, Vec::new())];
        all.extend(metrics.iter().cloned());
        theirs.push(family(theirs_name, MetricType::COUNTER, all));
    }
    for (name, theirs_name) in REQUESTS {
        let Some(source) = find(name) else { continue };
        let metrics = source.get_metric().iter().map(|metric| counter(count(metric), request_labels(metric)));
        theirs.push(family(theirs_name, MetricType::COUNTER, metrics.collect()));
    }
    if let Some(source) = find(CONNECTIONS.0) {
        let metrics = source.get_metric().iter().cloned().map(|mut metric| {
            let mut labels = metric.take_label();
            // Kafka counts by network thread; all our threads serve all connections.
            labels.push(label("networkProcessor", "0"));
            metric.set_label(labels);
            metric
        });
        theirs.push(family(CONNECTIONS.1, MetricType::GAUGE, metrics.collect()));
    }
    theirs
}

fn count(metric: &Metric) -> f64 {
    match metric.get_histogram().get_sample_count() {
        0 => metric.get_counter().get_value(),
        samples => samples as f64,
    }
}

/// What we call an API is a request there.
fn request_labels(metric: &Metric) -> Vec<LabelPair> {
    let renamed = metric.get_label().iter().map(|pair| match pair.name() {
        "api" => label("request", pair.value()),
        _ => pair.clone(),
    });
    renamed.collect()
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}

fn counter(value: f64, labels: Vec<LabelPair>) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::from_label(labels);
    metric.set_counter(counter);
    metric
}

fn family(name: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(HELP.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}
