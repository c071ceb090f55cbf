//! The metadata quorum and what the controller sees of the brokers, read when Prometheus asks.

use metadata::{ElectionKind, Image};

use super::scrape::{Gauges, JMX, flag};
use crate::node::Node;

/// All about the quorum, as this node sees it.
pub(super) fn gather(node: &Node, image: &Image, gauges: &Gauges) -> prometheus::Result<()> {
    let status = node.quorum.status();
    let committed = node.metadata().committed().borrow().end;
    let leader = status.leader.map_or(-1.0, f64::from);
    for (name, help, value) in [
        ("taffrail_quorum_term", "The controller epoch.", status.term as f64),
        ("taffrail_quorum_leader", "Node id of the active controller, -1 if none is known.", leader),
        ("taffrail_quorum_log_end", "Index after the last entry of the metadata log.", status.log_end as f64),
        ("taffrail_quorum_commit_index", "Index after the last committed entry.", committed as f64),
        ("taffrail_quorum_applied_index", "Index after the last applied entry.", status.applied as f64),
        (
            "taffrail_quorum_published_index",
            "Index after the last entry whose changes this node has carried out.",
            node.metadata().published_end() as f64,
        ),
        (
            "taffrail_quorum_unapplied_entries",
            "Entries that are not applied yet.",
            status.log_end.saturating_sub(status.applied) as f64,
        ),
        ("taffrail_quorum_voters", "Voters of the metadata quorum.", status.voters as f64),
        ("taffrail_active_controller", "1 on the active controller.", flag(status.is_leader)),
    ] {
        gauges.single(name, help, value)?;
    }
    gauges.single("kafka_controller_kafkacontroller_activecontrollercount", JMX, flag(status.is_leader))?;
    lags(node, committed, gauges)?;
    elections(node, gauges)?;
    brokers(image, gauges)
}

/// Of the voters on their leader; of the others on the voter that they follow.
fn lags(node: &Node, committed: u64, gauges: &Gauges) -> prometheus::Result<()> {
    let lag = gauges.family(
        "taffrail_quorum_lag_entries",
        "Entries of the metadata log that a node lacks, as the one sees it that it has them from.",
        &["node", "role"],
    )?;
    let (description, tailing) = node.quorum.describe_own_part();
    let voters = description.iter().flat_map(|description| &description.voters);
    for voter in voters {
        let behind = node.quorum.status().log_end.saturating_sub(voter.log_end);
        lag.with_label_values(&[&voter.node.to_string(), "voter"]).set(behind as f64);
    }
    for observer in tailing {
        let behind = committed.saturating_sub(observer.log_end);
        lag.with_label_values(&[&observer.node.to_string(), "observer"]).set(behind as f64);
    }
    Ok(())
}

fn elections(node: &Node, gauges: &Gauges) -> prometheus::Result<()> {
    let Some(facts) = node.quorum.facts() else { return Ok(()) };
    let by_kind = gauges.counters(
        "taffrail_leader_elections_total",
        "Elections of partitions' leaders, counted by the active controller.",
        &["kind"],
    )?;
    for (kind, count) in facts.leader_elections() {
        by_kind.with_label_values(&[kind.name()]).inc_by(count as f64);
        if kind == ElectionKind::Unclean {
            let name = "kafka_controller_controllerstats_uncleanleaderelections_total";
            gauges.single_counter(name, JMX, count as f64)?;
        }
    }
    let (elections, time) = facts.elections();
    gauges.single_counter(
        "taffrail_quorum_elections_total",
        "Elections of the active controller that this voter saw.",
        elections as f64,
    )?;
    gauges.single_counter(
        "taffrail_quorum_election_seconds_total",
        "How long they took together.",
        time.as_secs_f64(),
    )
}

fn brokers(image: &Image, gauges: &Gauges) -> prometheus::Result<()> {
    let count = |is: &dyn Fn(&metadata::BrokerImage) -> bool| {
        image.brokers().filter(|broker| is(broker)).count() as f64
    };
    let active = count(&|broker| !broker.is_fenced);
    let fenced = count(&|broker| broker.is_fenced);
    let (mut without_leader, mut partitions, mut not_preferred) = (0usize, 0usize, 0usize);
    for partition in image.topics().flat_map(|topic| &topic.partitions) {
        partitions += 1;
        without_leader += usize::from(partition.leader.is_none());
        not_preferred += usize::from(partition.leader != partition.replicas.first().copied());
    }
    for (name, help, value) in [
        ("taffrail_brokers_active", "Registered brokers that are not fenced.", active),
        ("taffrail_brokers_fenced", "Registered brokers that are fenced.", fenced),
        (
            "taffrail_brokers_cordoned",
            "Brokers with a directory that takes no new replica.",
            count(&|broker| !broker.cordoned.is_empty()),
        ),
        (
            "taffrail_brokers_shutting_down",
            "Brokers that hand their partitions over, to stop.",
            count(&|broker| broker.is_in_controlled_shutdown),
        ),
        ("taffrail_partitions_offline", "Partitions of the cluster without a leader.", without_leader as f64),
        ("kafka_controller_kafkacontroller_offlinepartitionscount", JMX, without_leader as f64),
        ("kafka_controller_kafkacontroller_preferredreplicaimbalancecount", JMX, not_preferred as f64),
        ("kafka_controller_kafkacontroller_activebrokercount", JMX, active),
        ("kafka_controller_kafkacontroller_fencedbrokercount", JMX, fenced),
        ("kafka_controller_kafkacontroller_globaltopiccount", JMX, image.topics().len() as f64),
        ("kafka_controller_kafkacontroller_globalpartitioncount", JMX, partitions as f64),
    ] {
        gauges.single(name, help, value)?;
    }
    Ok(())
}
