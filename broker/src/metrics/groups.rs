//! Groups, read when Prometheus asks: members, what they have read and how far that is behind, under kafka_exporter's
//! names.

use std::collections::BTreeMap;

use prometheus::proto::MetricFamily;

use super::scrape::Gauges;
use crate::node::Node;

const EXPORTER: &str = "As kafka_exporter has it.";

/// A group as its coordinator has it at this moment.
struct Seen {
    group: String,
    members: usize,
    offsets: Vec<(String, i32, i64)>,
}

/// Everything about the groups that this node coordinates.
pub(super) fn gather(node: &Node) -> prometheus::Result<Vec<MetricFamily>> {
    let gauges = Gauges::new();
    let (groups, states) = look(node);
    let by_state = gauges.family("taffrail_groups", "Groups, by state.", &["state"])?;
    for (state, count) in states {
        by_state.with_label_values(&[state]).set(count as f64);
    }
    offsets(node, &gauges, &groups)?;
    Ok(gauges.gather())
}

/// Takes the coordinators' locks for as long as copying takes.
fn look(node: &Node) -> (Vec<Seen>, BTreeMap<&'static str, usize>) {
    let (mut groups, mut states) = (Vec::new(), BTreeMap::new());
    node.groups.for_each(|coordinator| {
        for (state, count) in coordinator.count_by_state() {
            *states.entry(state).or_default() += count;
        }
        coordinator.for_each_group(|group, members, offsets| {
            let offsets = offsets.map(|(topic, partition, offset)| (topic.to_owned(), partition, offset));
            groups.push(Seen { group: group.to_owned(), members, offsets: offsets.collect() });
        });
    });
    (groups, states)
}

fn offsets(node: &Node, gauges: &Gauges, groups: &[Seen]) -> prometheus::Result<()> {
    let of_group = &["consumergroup"];
    let of_topic = &["consumergroup", "topic"];
    let of_partition = &["consumergroup", "topic", "partition"];
    let members = gauges.family("kafka_consumergroup_members", EXPORTER, of_group)?;
    let current = gauges.family("kafka_consumergroup_current_offset", EXPORTER, of_partition)?;
    let current_sum = gauges.family("kafka_consumergroup_current_offset_sum", EXPORTER, of_topic)?;
    let lag = gauges.family("kafka_consumergroup_lag", EXPORTER, of_partition)?;
    let lag_sum = gauges.family("kafka_consumergroup_lag_sum", EXPORTER, of_topic)?;
    let ends: BTreeMap<_, _> = node
        .partitions
        .all()
        .iter()
        .map(|one| ((one.topic_name().to_string(), one.id().partition.0), one.bounds().high_watermark.0))
        .collect();
    for Seen { group, members: count, offsets } in groups {
        members.with_label_values(&[group]).set(*count as f64);
        for (topic, partition, offset) in offsets {
            let index = partition.to_string();
            current.with_label_values(&[group, topic, &index]).set(*offset as f64);
            current_sum.with_label_values(&[group, topic]).add(*offset as f64);
            // Its partition is gone, or was never here: nobody can say how far behind that is.
            let Some(end) = ends.get(&(topic.clone(), *partition)) else { continue };
            let behind = (end - offset).max(0) as f64;
            lag.with_label_values(&[group, topic, &index]).set(behind);
            lag_sum.with_label_values(&[group, topic]).add(behind);
        }
    }
    Ok(())
}
