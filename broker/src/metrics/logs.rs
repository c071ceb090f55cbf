//! The cleaner and the directories, under the names that Strimzi's rules for the JMX exporter give to Kafka's gauges.

use super::scrape::Gauges;
use crate::node::Node;

const JMX: &str = "As Strimzi's JMX rules name it.";

/// What the cleaner says of itself.
pub(super) fn cleaner(node: &Node, gauges: &Gauges) -> prometheus::Result<()> {
    let facts = node.partitions.cleaner().facts();
    let round = facts.last_round;
    let recopied = match round.bytes_before {
        0 => 0.0,
        before => 100.0 * round.bytes_after as f64 / before as f64,
    };
    let since_look =
        facts.last_look.map_or(0.0, |last| node.wall.now().monotonic.since(last).as_secs_f64() * 1000.0);
    for (name, value) in [
        ("kafka_log_logcleaner_cleaner_recopy_percent", recopied.floor()),
        ("kafka_log_logcleaner_max_buffer_utilization_percent", (100.0 * round.buffer_utilization).floor()),
        ("kafka_log_logcleaner_max_clean_time_secs", facts.last_duration.as_secs_f64().floor()),
        ("kafka_log_logcleaner_max_compaction_delay_secs", facts.max_delay.as_secs_f64().floor()),
        // A panic in the cleaner ends the node.
        ("kafka_log_logcleaner_deadthreadcount", 0.0),
        ("kafka_log_logcleanermanager_max_dirty_percent", (100.0 * facts.max_dirty_ratio).floor()),
        ("kafka_log_logcleanermanager_time_since_last_run_ms", since_look.floor()),
    ] {
        gauges.single(name, JMX, value)?;
    }
    let offline = f64::from(u8::from(node.partitions.is_disk_failed()));
    gauges.single("kafka_log_logmanager_offlinelogdirectorycount", JMX, offline)?;
    let directory = node.partitions.data_dir().path().to_string_lossy();
    let uncleanable = facts.uncleanable.values().sum::<u64>();
    for (name, value) in [
        ("kafka_log_logcleanermanager_uncleanable_partitions_count", facts.uncleanable.len() as f64),
        ("kafka_log_logcleanermanager_uncleanable_bytes", uncleanable as f64),
    ] {
        gauges.family(name, JMX, &["logDirectory"])?.with_label_values(&[&*directory]).set(value);
    }
    Ok(())
}
