//! What is read when Prometheus asks: partitions, quorum, process, under our own names and under those that dashboards
//! made for kafka_exporter and for Strimzi's JMX exporter rules look up.

use metadata::Image;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, GaugeVec, Opts, Registry};

use crate::node::Node;

const EXPORTER: &str = "As kafka_exporter has it.";
pub(super) const JMX: &str = "As Strimzi's JMX rules name it.";
pub(super) const PARTITION: &[&str] = &["topic", "partition"];

/// Gauges that live for one scrape.
pub(super) struct Gauges {
    registry: Registry,
}

/// All gauges of a node.
pub(super) fn gather(node: &Node) -> prometheus::Result<Vec<MetricFamily>> {
    let gauges = Gauges::new();
    partitions(node, &gauges)?;
    cluster(node, &gauges)?;
    super::logs::cleaner(node, &gauges)?;
    // Under the names that every Prometheus client library uses.
    gauges.registry.register(Box::new(ProcessCollector::for_self()))?;
    Ok(gauges.gather())
}

impl Gauges {
    /// None yet.
    pub(super) fn new() -> Gauges {
        Gauges { registry: Registry::new() }
    }

    /// All of them, with their values.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// One more.
    pub(super) fn family(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        let family = GaugeVec::new(Opts::new(name, help), labels)?;
        self.registry.register(Box::new(family.clone()))?;
        Ok(family)
    }

    /// One more, of what only rises.
    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<CounterVec> {
        let family = CounterVec::new(Opts::new(name, help), labels)?;
        self.registry.register(Box::new(family.clone()))?;
        Ok(family)
    }

    /// One without labels, of what only rises.
    pub(super) fn single_counter(&self, name: &str, help: &str, value: f64) -> prometheus::Result<()> {
        self.counters(name, help, &[])?.with_label_values::<&str>(&[]).inc_by(value);
        Ok(())
    }

    /// One without labels, with its value.
    pub(super) fn single(&self, name: &str, help: &str, value: f64) -> prometheus::Result<()> {
        self.family(name, help, &[])?.with_label_values::<&str>(&[]).set(value);
        Ok(())
    }
}

/// 1 if it is so.
pub(super) fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn number(value: i64) -> f64 {
    value as f64
}

fn partitions(node: &Node, gauges: &Gauges) -> prometheus::Result<()> {
    let labels = &["topic", "partition"];
    let by_partition = |name: &str, help: &str| gauges.family(name, help, labels);
    let start = by_partition("taffrail_partition_log_start_offset", "First offset that is there.")?;
    let end = by_partition("taffrail_partition_log_end_offset", "Offset of the next record.")?;
    let high_watermark = by_partition("taffrail_partition_high_watermark", "Consumers read up to here.")?;
    let size = by_partition("taffrail_partition_size_bytes", "Bytes of all log files.")?;
    let segments = by_partition("taffrail_partition_segments", "Segments.")?;
    let producers =
        by_partition("taffrail_partition_producers", "Idempotent producers that are remembered.")?;
    let exporter_current = by_partition("kafka_topic_partition_current_offset", "As kafka_exporter has it.")?;
    let exporter_oldest = by_partition("kafka_topic_partition_oldest_offset", "As kafka_exporter has it.")?;
    let jmx_size = by_partition("kafka_log_log_size", "As Strimzi's JMX rules name it.")?;
    let jmx_start = by_partition("kafka_log_log_logstartoffset", "As Strimzi's JMX rules name it.")?;
    let jmx_end = by_partition("kafka_log_log_logendoffset", "As Strimzi's JMX rules name it.")?;
    for partition in node.partitions.all() {
        let index = partition.id().partition.to_string();
        let label = [&**partition.topic_name(), index.as_str()];
        let (bounds, reader) = (partition.bounds(), partition.reader());
        let bytes = reader.size_bytes() as f64;
        for (family, value) in [
            (&start, number(bounds.log_start.0)),
            (&end, number(bounds.log_end.0)),
            (&high_watermark, number(bounds.high_watermark.0)),
            (&size, bytes),
            (&segments, reader.segment_count() as f64),
            (&producers, partition.producer_count() as f64),
            (&jmx_size, bytes),
            (&jmx_start, number(bounds.log_start.0)),
            (&jmx_end, number(bounds.log_end.0)),
        ] {
            family.with_label_values(&label).set(value);
        }
        // kafka_exporter asks leaders; a follower's word would stand beside theirs.
        if partition.is_leading() {
            exporter_current.with_label_values(&label).set(number(bounds.high_watermark.0));
            exporter_oldest.with_label_values(&label).set(number(bounds.log_start.0));
        }
    }
    Ok(())
}

/// What concerns the node or the cluster as a whole.
fn cluster(node: &Node, gauges: &Gauges) -> prometheus::Result<()> {
    let image = node.metadata().image();
    brokers(&image, gauges)?;
    replicas(&image, gauges)?;
    super::replication::gather(node, &image, gauges)?;
    super::quorum::gather(node, &image, gauges)?;
    for (name, help, value) in [
        ("kafka_brokers", EXPORTER, image.brokers().len() as f64),
        ("taffrail_ready", "1 once the node serves clients.", flag(node.is_ready())),
        ("taffrail_fetch_sessions", "Fetch sessions.", node.fetch_sessions.lock().len() as f64),
        (
            "taffrail_disk_low",
            "1 while produce is refused because the disk is almost full.",
            flag(node.partitions.log_dirs().online().any(|dir| dir.data_dir().is_low_on_space())),
        ),
    ] {
        gauges.single(name, help, value)?;
    }
    Ok(())
}

fn brokers(image: &Image, gauges: &Gauges) -> prometheus::Result<()> {
    let addresses =
        gauges.family("kafka_broker_info", "As kafka_exporter has it: the id.", &["id", "address"])?;
    for broker in image.brokers() {
        if let Some(endpoint) = broker.endpoints.first() {
            let address = format!("{}:{}", endpoint.host, endpoint.port);
            let id = broker.id.0.to_string();
            addresses.with_label_values(&[&id, &address]).set(f64::from(broker.id.0));
        }
    }
    Ok(())
}

/// What the metadata say of each partition.
fn replicas(image: &Image, gauges: &Gauges) -> prometheus::Result<()> {
    let exporter = |name: &str| gauges.family(name, EXPORTER, PARTITION);
    let jmx = |name: &str| gauges.family(name, JMX, PARTITION);
    let leader = exporter("kafka_topic_partition_leader")?;
    let replicas = exporter("kafka_topic_partition_replicas")?;
    let in_sync = exporter("kafka_topic_partition_in_sync_replica")?;
    let preferred = exporter("kafka_topic_partition_leader_is_preferred")?;
    let under = exporter("kafka_topic_partition_under_replicated_partition")?;
    let jmx_replicas = jmx("kafka_cluster_partition_replicascount")?;
    let jmx_in_sync = jmx("kafka_cluster_partition_insyncreplicascount")?;
    let jmx_under = jmx("kafka_cluster_partition_underreplicated")?;
    let counts = gauges.family("kafka_topic_partitions", EXPORTER, &["topic"])?;
    for topic in image.topics() {
        counts.with_label_values(&[&*topic.name]).set(topic.partitions.len() as f64);
        for (index, partition) in topic.partitions.iter().enumerate() {
            let index = index.to_string();
            let (all, isr) = (partition.replicas.len(), partition.isr.len());
            let led_by = partition.leader;
            let is_preferred = led_by.is_some() && led_by == partition.replicas.first().copied();
            for (family, value) in [
                (&leader, led_by.map_or(-1.0, |leader| f64::from(leader.0))),
                (&preferred, f64::from(u8::from(is_preferred))),
                (&replicas, all as f64),
                (&jmx_replicas, all as f64),
                (&in_sync, isr as f64),
                (&jmx_in_sync, isr as f64),
                (&under, f64::from(u8::from(isr < all))),
                (&jmx_under, f64::from(u8::from(isr < all))),
            ] {
                family.with_label_values(&[&*topic.name, index.as_str()]).set(value);
            }
        }
    }
    Ok(())
}
