//! The cleaner and the directories, under the names that Strimzi's rules for the JMX exporter give to Kafka's gauges.

use super::scrape::{Gauges, JMX};
use crate::node::Node;
use crate::partitions::CleanerFacts;

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
    own_names(node, &facts, gauges)?;
    let failed = *node.partitions.log_dirs().failures().borrow() as f64;
    gauges.single("kafka_log_logmanager_offlinelogdirectorycount", JMX, failed)?;
    let directory = &["logDirectory"];
    let count = gauges.family("kafka_log_logcleanermanager_uncleanable_partitions_count", JMX, directory)?;
    let bytes = gauges.family("kafka_log_logcleanermanager_uncleanable_bytes", JMX, directory)?;
    for dir in node.partitions.log_dirs().all() {
        let path = dir.data_dir().path().to_string_lossy();
        count.with_label_values(&[&*path]).set(0.0);
        bytes.with_label_values(&[&*path]).set(0.0);
    }
    for (id, waiting) in &facts.uncleanable {
        let Some(partition) = node.partitions.get(*id) else { continue };
        let path = partition.log_dir().data_dir().path().to_string_lossy();
        count.with_label_values(&[&*path]).inc();
        bytes.with_label_values(&[&*path]).add(*waiting as f64);
    }
    Ok(())
}

/// The same, and what those rules have no name for.
fn own_names(node: &Node, facts: &CleanerFacts, gauges: &Gauges) -> prometheus::Result<()> {
    for (name, help, value) in [
        (
            "taffrail_cleaner_bytes_read_total",
            "Bytes of segments that compaction has read.",
            facts.bytes_before as f64,
        ),
        ("taffrail_cleaner_bytes_kept_total", "Bytes that it left of them.", facts.bytes_after as f64),
    ] {
        gauges.single_counter(name, help, value)?;
    }
    let now = node.wall.now();
    let last_run = facts.last_end.map_or(0.0, |last| {
        let ago = now.monotonic.since(last).as_secs_f64();
        now.wall.0 as f64 / 1000.0 - ago
    });
    for (name, help, value) in [
        (
            "taffrail_cleaner_dirty_ratio_max",
            "The largest part of a log that waits to be compacted, 0 to 1.",
            facts.max_dirty_ratio,
        ),
        (
            "taffrail_cleaner_last_run_timestamp_seconds",
            "When a log was compacted last, in seconds since the epoch; 0 if none was.",
            last_run,
        ),
        (
            "taffrail_cleaner_uncleanable_partitions",
            "Logs that cannot be compacted; the broker's log says why.",
            facts.uncleanable.len() as f64,
        ),
        (
            "taffrail_log_dirs_failed",
            "Log directories that are offline because their disk failed.",
            *node.partitions.log_dirs().failures().borrow() as f64,
        ),
    ] {
        gauges.single(name, help, value)?;
    }
    Ok(())
}
