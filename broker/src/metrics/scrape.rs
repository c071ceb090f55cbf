//! What is read when Prometheus asks: partitions, quorum, process, under our own names and under those that dashboards
//! made for kafka_exporter and for Strimzi's JMX exporter rules look up.

use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts, Registry};
use types::TopicPartition;

use crate::node::Node;
use crate::partitions::Partition;

/// Gauges that live for one scrape.
pub(super) struct Gauges {
    registry: Registry,
}

/// All gauges of a node.
pub(super) fn gather(node: &Node) -> prometheus::Result<Vec<MetricFamily>> {
    let gauges = Gauges::new();
    partitions(node, &gauges)?;
    cluster(node, &gauges)?;
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

    fn single(&self, name: &str, help: &str, value: f64) -> prometheus::Result<()> {
        self.family(name, help, &[])?.with_label_values::<&str>(&[]).set(value);
        Ok(())
    }
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
            (&exporter_current, number(bounds.high_watermark.0)),
            (&exporter_oldest, number(bounds.log_start.0)),
            (&jmx_size, bytes),
            (&jmx_start, number(bounds.log_start.0)),
            (&jmx_end, number(bounds.log_end.0)),
        ] {
            family.with_label_values(&label).set(value);
        }
    }
    Ok(())
}

fn cluster(node: &Node, gauges: &Gauges) -> prometheus::Result<()> {
    let image = node.metadata().image();
    let labels = &["topic", "partition"];
    let leader = gauges.family("kafka_topic_partition_leader", "As kafka_exporter has it.", labels)?;
    let replicas = gauges.family("kafka_topic_partition_replicas", "As kafka_exporter has it.", labels)?;
    let in_sync =
        gauges.family("kafka_topic_partition_in_sync_replica", "As kafka_exporter has it.", labels)?;
    let preferred =
        gauges.family("kafka_topic_partition_leader_is_preferred", "As kafka_exporter has it.", labels)?;
    let under = gauges.family(
        "kafka_topic_partition_under_replicated_partition",
        "As kafka_exporter has it.",
        labels,
    )?;
    let jmx = |name: &str| gauges.family(name, "As Strimzi's JMX rules name it.", labels);
    let jmx_replicas = jmx("kafka_cluster_partition_replicascount")?;
    let jmx_in_sync = jmx("kafka_cluster_partition_insyncreplicascount")?;
    let jmx_under = jmx("kafka_cluster_partition_underreplicated")?;
    let addresses =
        gauges.family("kafka_broker_info", "As kafka_exporter has it: the id.", &["id", "address"])?;
    for broker in image.brokers() {
        if let Some(endpoint) = broker.endpoints.first() {
            let address = format!("{}:{}", endpoint.host, endpoint.port);
            let id = broker.id.0.to_string();
            addresses.with_label_values(&[&id, &address]).set(f64::from(broker.id.0));
        }
    }
    let counts = gauges.family("kafka_topic_partitions", "As kafka_exporter has it.", &["topic"])?;
    let (mut total, mut offline, mut under_replicated) = (0, 0, 0);
    for topic in image.topics() {
        counts.with_label_values(&[&*topic.name]).set(topic.partitions.len() as f64);
        for (index, partition) in topic.partitions.iter().enumerate() {
            let index = index.to_string();
            let label = [&*topic.name, index.as_str()];
            let is_under = partition.isr.len() < partition.replicas.len();
            let is_preferred =
                partition.leader.is_some() && partition.leader == partition.replicas.first().copied();
            leader.with_label_values(&label).set(partition.leader.map_or(-1.0, |leader| f64::from(leader.0)));
            replicas.with_label_values(&label).set(partition.replicas.len() as f64);
            in_sync.with_label_values(&label).set(partition.isr.len() as f64);
            preferred.with_label_values(&label).set(f64::from(u8::from(is_preferred)));
            under.with_label_values(&label).set(f64::from(u8::from(is_under)));
            jmx_replicas.with_label_values(&label).set(partition.replicas.len() as f64);
            jmx_in_sync.with_label_values(&label).set(partition.isr.len() as f64);
            jmx_under.with_label_values(&label).set(f64::from(u8::from(is_under)));
            total += 1;
            under_replicated += usize::from(is_under);
            offline += usize::from(partition.leader.is_none());
        }
    }
    let led = node.partitions.all();
    let failed = led.iter().filter(|partition| !partition.is_online()).count();
    let under_min = led.iter().filter(|partition| is_under_min_isr(&image, partition)).count();
    let status = node.quorum.status();
    let jmx = "As Strimzi's JMX rules name it.";
    let log_end_minus_applied = status.log_end.saturating_sub(status.applied) as f64;
    for (name, help, value) in [
        ("kafka_brokers", "As kafka_exporter has it.", image.brokers().len() as f64),
        ("kafka_server_replicamanager_partitioncount", jmx, led.len() as f64),
        ("kafka_server_replicamanager_leadercount", jmx, led.len() as f64),
        ("kafka_server_replicamanager_underreplicatedpartitions", jmx, under_replicated as f64),
        ("kafka_server_replicamanager_underminisrpartitioncount", jmx, under_min as f64),
        ("kafka_server_replicamanager_offlinereplicacount", jmx, failed as f64),
        (
            "kafka_controller_kafkacontroller_activecontrollercount",
            jmx,
            f64::from(u8::from(status.is_leader)),
        ),
        ("kafka_controller_kafkacontroller_offlinepartitionscount", jmx, offline as f64),
        ("kafka_controller_kafkacontroller_globaltopiccount", jmx, image.topics().len() as f64),
        ("kafka_controller_kafkacontroller_globalpartitioncount", jmx, f64::from(total)),
        ("taffrail_quorum_term", "The controller epoch.", status.term as f64),
        ("taffrail_quorum_log_end", "Index after the last entry of the metadata log.", status.log_end as f64),
        ("taffrail_quorum_unapplied_entries", "Entries that are not applied yet.", log_end_minus_applied),
        ("taffrail_quorum_voters", "Voters of the metadata quorum.", status.voters as f64),
        ("taffrail_ready", "1 once the node serves clients.", f64::from(u8::from(node.is_ready()))),
        ("taffrail_fetch_sessions", "Fetch sessions.", node.fetch_sessions.lock().len() as f64),
        (
            "taffrail_disk_low",
            "1 while produce is refused because the disk is almost full.",
            f64::from(u8::from(node.partitions.data_dir().is_low_on_space())),
        ),
    ] {
        gauges.single(name, help, value)?;
    }
    Ok(())
}

fn is_under_min_isr(image: &metadata::Image, partition: &Partition) -> bool {
    let id: TopicPartition = partition.id();
    let in_sync = image.partition(id).map_or(0, |partition| partition.isr.len());
    in_sync < usize::try_from(partition.config().min_insync_replicas).unwrap_or(0)
}
