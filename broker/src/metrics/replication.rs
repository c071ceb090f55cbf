//! Replication, read when Prometheus asks: what this broker leads and how well that is replicated, how far its followers
//! are behind. Reads only what replicas publish: no lock that a request waits for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metadata::{Image, PartitionImage};
use types::{BrokerId, Monotonic};

use super::scrape::{Gauges, JMX, PARTITION};
use crate::node::Node;
use crate::partitions::Partition;

/// What this broker leads, counted.
#[derive(Default)]
struct Led {
    count: usize,
    under_replicated: usize,
    under_min_isr: usize,
    at_min_isr: usize,
    reassigning: usize,
}

/// How far a follower is behind at most.
#[derive(Clone, Copy, Default)]
struct Lag {
    records: i64,
    time: Duration,
}

/// All about the replicas of this broker.
pub(super) fn gather(node: &Node, image: &Image, gauges: &Gauges) -> prometheus::Result<()> {
    let all = node.partitions.all();
    let offline = all.iter().filter(|partition| !partition.is_online()).count();
    let led: Vec<_> =
        all.iter().filter(|partition| partition.is_leading() && partition.is_online()).collect();
    let counts = count(image, &led, gauges)?;
    let errands = node.partitions.errands();
    let shrinks = errands.isr_shrinks.load(Ordering::Relaxed);
    let expands = errands.isr_expands.load(Ordering::Relaxed);
    for (name, jmx, help, value) in [
        (
            "taffrail_replicas",
            "kafka_server_replicamanager_partitioncount",
            "Replicas on this broker.",
            all.len(),
        ),
        (
            "taffrail_replicas_leading",
            "kafka_server_replicamanager_leadercount",
            "Those that lead their partition.",
            counts.count,
        ),
        (
            "taffrail_replicas_offline",
            "kafka_server_replicamanager_offlinereplicacount",
            "Those whose log failed.",
            offline,
        ),
        (
            "taffrail_partitions_under_replicated",
            "kafka_server_replicamanager_underreplicatedpartitions",
            "Partitions led here with replicas that are not in sync.",
            counts.under_replicated,
        ),
        (
            "taffrail_partitions_under_min_isr",
            "kafka_server_replicamanager_underminisrpartitioncount",
            "Partitions led here that refuse acks=all.",
            counts.under_min_isr,
        ),
        (
            "taffrail_partitions_at_min_isr",
            "kafka_server_replicamanager_atminisrpartitioncount",
            "Partitions led here that would, with one replica less in sync.",
            counts.at_min_isr,
        ),
        (
            "taffrail_partitions_reassigning",
            "kafka_server_replicamanager_reassigningpartitions",
            "Partitions led here that get other replicas.",
            counts.reassigning,
        ),
    ] {
        gauges.single(name, help, value as f64)?;
        gauges.single(jmx, JMX, value as f64)?;
    }
    for (name, jmx, help, value) in [
        (
            "taffrail_isr_shrinks_total",
            "kafka_server_replicamanager_isrshrinks_total",
            "Times that replicas of a partition led here fell out of sync.",
            shrinks,
        ),
        (
            "taffrail_isr_expands_total",
            "kafka_server_replicamanager_isrexpands_total",
            "Times that they came back.",
            expands,
        ),
    ] {
        gauges.single_counter(name, help, value as f64)?;
        gauges.single_counter(jmx, JMX, value as f64)?;
    }
    followers(&led, node.wall.now().monotonic, gauges)
}

/// How many replicas in sync producers with acks=all need. Kafka: `Partition.effectiveMinIsr`.
fn needed(partition: &Partition, state: &PartitionImage) -> usize {
    partition.min_insync_replicas().min(state.replicas.len())
}

fn count(image: &Image, led: &[&Arc<Partition>], gauges: &Gauges) -> prometheus::Result<Led> {
    let at = gauges.family("kafka_cluster_partition_atminisr", JMX, PARTITION)?;
    let under = gauges.family("kafka_cluster_partition_underminisr", JMX, PARTITION)?;
    let mut counts = Led { count: led.len(), ..Led::default() };
    for partition in led {
        let Some(state) = image.partition(partition.id()) else { continue };
        let (in_sync, needed) = (state.isr.len(), needed(partition, state));
        let index = partition.id().partition.to_string();
        let label = [&**partition.topic_name(), index.as_str()];
        at.with_label_values(&label).set(f64::from(u8::from(in_sync == needed)));
        under.with_label_values(&label).set(f64::from(u8::from(in_sync < needed)));
        counts.under_replicated += usize::from(in_sync < state.replicas.len());
        counts.under_min_isr += usize::from(in_sync < needed);
        counts.at_min_isr += usize::from(in_sync == needed);
        counts.reassigning += usize::from(!state.adding.is_empty() || !state.removing.is_empty());
    }
    Ok(counts)
}

/// By follower: a series for each broker that copies something from this one.
fn followers(led: &[&Arc<Partition>], now: Monotonic, gauges: &Gauges) -> prometheus::Result<()> {
    let mut lags: BTreeMap<BrokerId, Lag> = BTreeMap::new();
    for partition in led {
        let Some(followers) = partition.followers() else { continue };
        let bounds = partition.bounds();
        for follower in followers.iter() {
            let (records, time) = follower.lag(now, bounds.log_start, bounds.log_end);
            let lag = lags.entry(follower.broker).or_default();
            *lag = Lag { records: lag.records.max(records), time: lag.time.max(time) };
        }
    }
    let of = &["follower"];
    let records = gauges.family(
        "taffrail_follower_lag_records_max",
        "Records that a follower lacks of a partition led here, at most.",
        of,
    )?;
    let seconds = gauges.family(
        "taffrail_follower_lag_seconds_max",
        "Since a follower had all of a partition led here, at most; 0 if it has.",
        of,
    )?;
    for (broker, lag) in lags {
        let broker = broker.to_string();
        records.with_label_values(&[&broker]).set(lag.records as f64);
        seconds.with_label_values(&[&broker]).set(lag.time.as_secs_f64());
    }
    Ok(())
}
