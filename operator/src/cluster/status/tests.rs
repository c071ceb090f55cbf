//! What is said of a cluster in each situation.

use client::node::{ClusterState, NodeState};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    AT_REST, Blocked, Broker, Gate, KafkaCluster, Observed, Plan, STALLED, ScaleStep, Step, Time, UNDER_WAY,
    ValidCluster, again, status,
};
use crate::cluster::validate::validate;

fn cluster() -> KafkaCluster {
    serde_json::from_value(json!({
        "apiVersion": "taffrail.dev/v1alpha1",
        "kind": "KafkaCluster",
        "metadata": { "name": "demo", "namespace": "kafka", "uid": "u-1", "generation": 4 },
        "spec": { "brokers": { "replicas": 1, "storage": { "ephemeral": {} } } },
        "status": { "clusterId": "old" },
    }))
    .expect("a KafkaCluster")
}

fn valid() -> ValidCluster {
    validate(&cluster(), None, "taffrail:1").expect("is valid")
}

fn observed(pod: Option<Value>, node: Result<(&str, Option<&str>), &str>) -> Observed {
    let pod = pod.map(|status| {
        let body = json!({
            "metadata": { "name": "demo-broker-0", "annotations": { "taffrail.dev/pod-hash": valid().pod_hash } },
            "status": status,
        });
        serde_json::from_value::<Pod>(body).expect("a Pod")
    });
    let node = node.map_err(str::to_owned).map(|(status, cluster_id)| NodeState {
        node_id: 0,
        directory_id: "dir".to_owned(),
        cluster_id: cluster_id.map(str::to_owned),
        status: status.to_owned(),
        version: "0.1.0".to_owned(),
        cluster: None,
    });
    Observed {
        stateful_set: None,
        controller_set: None,
        controllers: Vec::new(),
        racks: std::collections::BTreeMap::new(),
        config_maps: Vec::new(),
        children: Vec::new(),
        has_secret: true,
        brokers: vec![Broker { id: 0, pod, node, gate: Gate::Open }],
        claims: Vec::new(),
        voters: None,
        irreplaceable: std::collections::BTreeMap::new(),
        bytes_left: None,
        unreadable_namespaces: None,
        now: Timestamp::UNIX_EPOCH,
    }
}

/// Each condition as `Type=Status Reason: message`.
fn conditions(outcome: Result<&[Step], &Blocked>, observed: &Observed) -> Vec<String> {
    let now = Time(Timestamp::UNIX_EPOCH);
    let valid = valid();
    let plan = Plan { steps: outcome.unwrap_or_default().to_vec(), ..Plan::default() };
    let status = status(&cluster(), outcome.map(|_| (&valid, &plan)), observed, &now);
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(4)));
    let text = |one: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        format!("{}={} {}: {}", one.type_, one.status, one.reason, one.message)
    };
    status.conditions.iter().map(text).collect()
}

fn running() -> Option<Value> {
    Some(json!({ "conditions": [{ "type": "Ready", "status": "True" }] }))
}

#[test]
fn a_cluster_that_serves_is_ready() {
    let expected = [
        "Ready=True Running: every broker runs this generation and is ready",
        "Available=True Serving: the quorum has a leader, and every partition takes writes",
        "Reconciling=False Done: ",
        "Stalled=False NotStalled: ",
        "ListenersAdvertised=True Advertised: clients are told every listener",
    ];
    assert_eq!(conditions(Ok(&[]), &observed(running(), Ok(("ready", Some("old"))))), expected);
}

#[test]
fn ready_names_the_pod_and_the_reason() {
    let unscheduled = json!({ "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: Insufficient memory",
    }] });
    let crashing = json!({ "containerStatuses": [{
        "name": "broker", "image": "", "imageID": "", "ready": false, "restartCount": 3,
        "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 40s" } },
    }] });
    let not_yet = json!({ "conditions": [{ "type": "Ready", "status": "False" }] });
    let silent = Err("its container does not run");
    for (pod, node, ready) in [
        (None, silent, "Ready=False PodMissing: Pod demo-broker-0 is not there yet"),
        (
            Some(unscheduled),
            silent,
            "Ready=False Unschedulable: Pod demo-broker-0: 0/1 nodes: Insufficient memory",
        ),
        (Some(crashing), silent, "Ready=False CrashLoopBackOff: Pod demo-broker-0: back-off 40s"),
        (Some(not_yet.clone()), Ok(("unformatted", None)), "Ready=False Founding: broker 0 is founded"),
        (Some(not_yet.clone()), Ok(("starting", Some("old"))), "Ready=False Starting: broker 0 is starting"),
        (
            Some(not_yet),
            Ok(("ready", Some("old"))),
            "Ready=False Starting: Pod demo-broker-0 is not ready yet",
        ),
    ] {
        let said = conditions(Ok(&[]), &observed(pod, node));
        assert_eq!(said[0], ready);
        assert!(said[2].starts_with("Reconciling=True"), "{said:?}");
    }
}

#[test]
fn a_spec_that_cannot_be_carried_out_stalls_and_the_cluster_serves_on() {
    let blocked = Blocked { reason: "InvalidConfig", message: "spec.config.x: is unknown".to_owned() };
    let expected = [
        "Ready=False InvalidConfig: spec.config.x: is unknown",
        "Available=True Serving: the quorum has a leader, and every partition takes writes",
        "Reconciling=False Stalled: ",
        "Stalled=True InvalidConfig: spec.config.x: is unknown",
    ];
    assert_eq!(conditions(Err(&blocked), &observed(running(), Ok(("ready", Some("old"))))), expected);
}

#[test]
fn a_new_id_is_in_the_status_before_the_cluster_is_founded() {
    let mut new = cluster();
    new.status = None;
    let steps = [Step::WriteClusterId { cluster_id: "new".to_owned() }];
    let valid = valid();
    let seen = observed(None, Ok(("unformatted", None)));
    let plan = Plan { steps: steps.to_vec(), ..Plan::default() };
    let status = status(&new, Ok((&valid, &plan)), &seen, &Time(Timestamp::UNIX_EPOCH));
    assert_eq!(status.cluster_id.as_deref(), Some("new"));
    assert_eq!(status.version, None, "a node without a cluster does not count as one that ran");
}

#[test]
fn a_cluster_that_spreads_replicas_is_ready_and_one_that_shrinks_is_not() {
    let said = |next: ScaleStep| {
        let (valid, now) = (valid(), Time(Timestamp::UNIX_EPOCH));
        let plan = Plan { scaling: Some(next), ..Plan::default() };
        let seen = observed(running(), Ok(("ready", Some("old"))));
        let status = status(&cluster(), Ok((&valid, &plan)), &seen, &now);
        let text = |at: usize| format!("{} {}", status.conditions[at].status, status.conditions[at].reason);
        (text(0), text(2))
    };
    let spreading = said(ScaleStep::Moving { off: Vec::new(), left: 3 });
    assert_eq!(spreading, ("True Running".to_owned(), "True Rebalancing".to_owned()));
    let shrinking = said(ScaleStep::Moving { off: vec![3], left: 3 });
    assert_eq!(shrinking, ("False Scaling".to_owned(), "True Scaling".to_owned()));
}

#[test]
fn what_is_left_to_move_is_told_while_it_moves() {
    let mut seen = observed(running(), Ok(("ready", Some("old"))));
    seen.bytes_left = Some(4096);
    let left = |seen: &Observed| {
        let (valid, plan) = (valid(), Plan::default());
        let status = status(&cluster(), Ok((&valid, &plan)), seen, &Time(Timestamp::UNIX_EPOCH));
        status.rebalance.map(|rebalance| (rebalance.partitions_left, rebalance.bytes_left))
    };
    let mut state: ClusterState = serde_json::from_value(json!({
        "brokers": [],
        "reassigning": 2,
        "rebalance": { "isActive": true, "partitionsLeft": 3, "partitionsBlocked": 0 },
    }))
    .expect("a state");
    seen.brokers[0].node.as_mut().expect("answers").cluster = Some(state.clone());
    assert_eq!(left(&seen), Some((3, Some(4096))));
    state.rebalance.is_active = false;
    seen.brokers[0].node.as_mut().expect("answers").cluster = Some(state);
    assert_eq!(left(&seen), None);
}

#[test]
fn a_cluster_is_available_while_its_quorum_has_a_leader_and_every_partition_takes_writes() {
    let said = |controller: Option<i32>, offline: usize, under_min_isr: usize| {
        let mut seen = observed(running(), Ok(("ready", Some("old"))));
        let cluster = json!({
            "controller": controller,
            "brokers": [],
            "partitions": { "total": 9, "offline": offline, "underMinIsr": under_min_isr },
            "reassigning": 0,
            "rebalance": { "isActive": false, "partitionsLeft": 0, "partitionsBlocked": 0 },
        });
        let cluster = serde_json::from_value(cluster).expect("a state");
        seen.brokers[0].node.as_mut().expect("answers").cluster = Some(cluster);
        conditions(Ok(&[]), &seen).swap_remove(1)
    };
    for (seen, expected) in [
        ((Some(0), 0, 0), "True Serving: the quorum has a leader, and every partition takes writes"),
        (
            (None, 0, 0),
            "False NoController: the metadata quorum has no leader: a majority of its voters has to run",
        ),
        ((Some(0), 2, 3), "False OfflinePartitions: 2 of 9 partitions have no leader"),
        (
            (Some(0), 0, 3),
            "False UnderMinIsr: 3 of 9 partitions have fewer replicas in sync than min.insync.replicas",
        ),
    ] {
        let (controller, offline, under_min_isr) = seen;
        assert_eq!(said(controller, offline, under_min_isr), format!("Available={expected}"));
    }
}

#[test]
fn ready_speaks_of_the_pod_that_is_down_and_not_of_those_that_wait_for_it() {
    let mut seen = observed(running(), Ok(("ready", Some("old"))));
    let mut other = observed(None, Err("its container does not run")).brokers.remove(0);
    seen.brokers[0].pod.as_mut().expect("is there").metadata.annotations = None;
    seen.brokers[0].gate = Gate::Refused("orders-0".to_owned());
    other.id = 1;
    seen.brokers.push(other);
    assert_eq!(conditions(Ok(&[]), &seen)[0], "Ready=False PodMissing: Pod demo-broker-1 is not there yet");
}

#[test]
fn a_stalled_cluster_is_looked_at_again_soon_because_its_cause_may_go_without_an_edit() {
    let blocked = Blocked { reason: "ScaleDownBlocked", message: "topic orders has 5 replicas".to_owned() };
    let (valid, seen, now) =
        (valid(), observed(running(), Ok(("ready", Some("old")))), Time(Timestamp::UNIX_EPOCH));
    let stalled = status(&cluster(), Err(&blocked), &seen, &now);
    let plan = Plan::default();
    let settled = status(&cluster(), Ok((&valid, &plan)), &seen, &now);
    assert_eq!(again(true, &stalled), STALLED);
    assert_eq!(again(true, &settled), AT_REST);
    assert_eq!(again(false, &settled), UNDER_WAY);
}
