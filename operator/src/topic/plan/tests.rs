//! What the operator would do about a KafkaTopic in each situation.

use std::collections::BTreeMap;

use resources::KafkaTopic;
use serde_json::{Value, json};

use super::{Found, Partition, Plan, Sight, Verdict, keep, owner, release};

fn topic(change: impl FnOnce(&mut Value)) -> KafkaTopic {
    let mut body = json!({
        "apiVersion": "taffrail.dev/v1alpha1",
        "kind": "KafkaTopic",
        "metadata": {
            "name": "orders",
            "namespace": "kafka",
            "uid": "u-1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": ["taffrail.dev/topic"],
        },
        "spec": { "clusterRef": { "name": "demo" }, "partitions": 3, "replicas": 1 },
    });
    change(&mut body);
    serde_json::from_value(body).expect("a KafkaTopic")
}

fn found(partitions: i32, configs: &[(&str, &str)]) -> Sight {
    let configs: BTreeMap<_, _> =
        configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let partition = |index| Partition { index, leader: Some(0), replicas: vec![0], current: 1, isr: vec![0] };
    Sight::Reachable(Some(Found {
        topic_id: "id".to_owned(),
        partitions,
        replicas: 1,
        configs,
        assignment: (0..partitions).map(partition).collect(),
        is_changing: false,
        brokers: vec![0, 1, 2],
    }))
}

fn text(plan: &Plan) -> (Vec<String>, String) {
    let verdict = match &plan.verdict {
        Verdict::Ready => "ready".to_owned(),
        Verdict::Waits { reason, message } => format!("waits, {reason}: {message}"),
        Verdict::Stalled { reason, message } => format!("stalled, {reason}: {message}"),
    };
    (plan.steps.iter().map(ToString::to_string).collect(), verdict)
}

#[track_caller]
fn kept(topic: &KafkaTopic, sight: &Sight, steps: &[&str], verdict: &str) {
    let (found_steps, found_verdict) = text(&keep(topic, topic, sight));
    assert_eq!(found_steps, steps);
    assert!(found_verdict.starts_with(verdict), "{found_verdict}");
}

#[test]
fn a_topic_is_created_and_then_left_alone() {
    kept(
        &topic(|body| body["metadata"]["finalizers"] = json!([])),
        &Sight::Reachable(None),
        &["add finalizer", "create topic: 3 partitions, 1 replicas"],
        "ready",
    );
    kept(&topic(|_| {}), &found(3, &[]), &[], "ready");
}

#[test]
fn a_topic_that_was_deleted_behind_our_back_is_created_again() {
    let known = topic(|body| body["status"] = json!({ "topicId": "id" }));
    kept(&known, &Sight::Reachable(None), &["create topic again: 3 partitions, 1 replicas"], "ready");
}

#[test]
fn configurations_follow_the_resource_and_throttles_stay() {
    let wanted = topic(|body| body["spec"]["config"] = json!({ "retention.ms": 1000, "segment.ms": "7" }));
    let has = [
        ("retention.ms", "1"),
        ("segment.ms", "7"),
        ("max.message.bytes", "9"),
        ("leader.replication.throttled.replicas", "*"),
    ];
    let expected = ["alter configs: set retention.ms=1000 delete max.message.bytes"];
    kept(&wanted, &found(3, &has), &expected, "ready");
}

#[test]
fn partitions_become_more_and_never_fewer() {
    kept(&topic(|_| {}), &found(2, &[]), &["create partitions: 2 to 3"], "ready");
    let verdict =
        "stalled, NotSupported: spec.partitions: topic orders has 4 and Kafka cannot take partitions away";
    kept(&topic(|_| {}), &found(4, &[]), &[], verdict);
}

#[test]
fn replicas_become_more_where_there_are_brokers_for_them() {
    let three = topic(|body| body["spec"]["replicas"] = json!(3));
    let steps = ["reassign 3 partitions: 1 to 3 replicas"];
    kept(&three, &found(3, &[]), &steps, "waits, Reassigning: the number of replicas changes from 1 to 3");
    // They are on their way.
    let Sight::Reachable(Some(mut moving)) = found(3, &[]) else { panic!("is found") };
    moving.assignment.iter_mut().for_each(|partition| partition.replicas = vec![0, 1, 2]);
    kept(&three, &Sight::Reachable(Some(moving)), &[], "waits, Reassigning");
    let four = topic(|body| body["spec"]["replicas"] = json!(4));
    kept(&four, &found(3, &[]), &[], "waits, TooFewBrokers: spec.replicas: there are 3 brokers in service");
}

#[test]
fn a_topic_waits_for_its_cluster() {
    kept(&topic(|_| {}), &Sight::Absent, &[], "waits, ClusterNotFound: there is no KafkaCluster demo");
    kept(
        &topic(|_| {}),
        &Sight::Unreachable("it starts".to_owned()),
        &[],
        "waits, ClusterNotReady: it starts",
    );
}

#[test]
fn a_resource_that_cannot_be_carried_out_says_what_to_write() {
    let wrong = topic(|body| body["spec"]["config"] = json!({ "retention.mss": 1 }));
    kept(&wrong, &found(3, &[]), &[], "stalled, InvalidSpec: spec.config.retention.mss");
    let internal = topic(|body| body["spec"]["topicName"] = json!("__consumer_offsets"));
    kept(&internal, &found(3, &[]), &[], "stalled, InvalidSpec: spec.topicName: __consumer_offsets");
}

#[test]
fn the_oldest_resource_has_the_topic() {
    let older = topic(|_| {});
    let younger = topic(|body| {
        body["metadata"]["name"] = json!("a-second");
        body["metadata"]["uid"] = json!("u-2");
        body["metadata"]["creationTimestamp"] = json!("2026-01-02T00:00:00Z");
        body["spec"]["topicName"] = json!("orders");
    });
    let all = [younger.clone(), older.clone()];
    assert_eq!(owner(&younger, &all).metadata.uid, older.metadata.uid);
    let (steps, verdict) = text(&keep(&younger, owner(&younger, &all), &found(3, &[])));
    let expected = "stalled, NotOwner: topic orders belongs to KafkaTopic orders: delete one of the two";
    assert_eq!((steps.as_slice(), verdict.as_str()), (&[][..], expected));
}

#[test]
fn a_deleted_resource_takes_its_topic_along() {
    let deleted = topic(|body| body["metadata"]["deletionTimestamp"] = json!("2026-01-03T00:00:00Z"));
    let released = |sight: &Sight| text(&release(&deleted, &deleted, sight));
    assert_eq!(released(&found(3, &[])).0, ["delete topic", "remove finalizer"]);
    assert_eq!(released(&Sight::Reachable(None)).0, ["remove finalizer"]);
    assert_eq!(released(&Sight::Absent).0, ["remove finalizer"]);
    let (steps, verdict) = released(&Sight::Unreachable("it starts".to_owned()));
    assert!(steps.is_empty());
    assert_eq!(verdict, "waits, ClusterNotReady: topic orders cannot be deleted: it starts");
}

#[test]
fn a_deleted_resource_leaves_a_topic_that_is_retained_or_claimed_by_another() {
    let retained = topic(|body| {
        body["spec"]["deletionPolicy"] = json!("Retain");
        body["metadata"]["deletionTimestamp"] = json!("2026-01-03T00:00:00Z");
    });
    assert_eq!(text(&release(&retained, &retained, &found(3, &[]))).0, ["remove finalizer"]);

    let deleted = topic(|body| body["metadata"]["deletionTimestamp"] = json!("2026-01-03T00:00:00Z"));
    let heir = topic(|body| {
        body["metadata"]["name"] = json!("heir");
        body["metadata"]["uid"] = json!("u-2");
        body["spec"]["topicName"] = json!("orders");
    });
    // Older or not: who is being deleted owns nothing, if another claims it.
    let all = [deleted.clone(), heir.clone()];
    assert_eq!(owner(&deleted, &all).metadata.uid, heir.metadata.uid);
    assert_eq!(text(&release(&deleted, owner(&deleted, &all), &found(3, &[]))).0, ["remove finalizer"]);
}

#[test]
fn resources_of_several_namespaces_share_an_order_of_age() {
    let here = topic(|body| {
        body["metadata"]["namespace"] = json!("team");
        body["spec"]["clusterRef"]["namespace"] = json!("kafka");
        body["metadata"]["creationTimestamp"] = json!("2026-01-02T00:00:00Z");
    });
    let there = topic(|body| body["metadata"]["uid"] = json!("u-2"));
    let all = [here.clone(), there.clone()];
    assert_eq!(owner(&here, &all).metadata.uid, there.metadata.uid);
    let (steps, verdict) = text(&keep(&here, owner(&here, &all), &found(3, &[])));
    assert_eq!(steps, [""; 0]);
    let expected = "stalled, NotOwner: topic orders belongs to KafkaTopic orders of namespace kafka";
    assert!(verdict.starts_with(expected), "{verdict}");
    // A cluster of the same name in another namespace is another one.
    let elsewhere = topic(|body| {
        body["metadata"]["namespace"] = json!("team");
        body["metadata"]["uid"] = json!("u-3");
    });
    assert_eq!(owner(&elsewhere, &[there, elsewhere.clone()]).metadata.uid, elsewhere.metadata.uid);
    // The owner goes: the other one takes over, and nothing is deleted.
    let going = topic(|body| {
        body["metadata"]["uid"] = json!("u-2");
        body["metadata"]["deletionTimestamp"] = json!("2026-01-03T00:00:00Z");
    });
    let all = [here.clone(), going.clone()];
    assert_eq!(owner(&going, &all).metadata.uid, here.metadata.uid);
}

#[test]
fn a_namespace_that_the_cluster_does_not_admit_creates_and_deletes_nothing() {
    let refused = Sight::NotAdmitted("add it to spec.topicNamespaces".to_owned());
    kept(&topic(|_| {}), &refused, &[], "stalled, NotAdmitted: add it");
    let going = topic(|body| body["metadata"]["deletionTimestamp"] = json!("2026-01-03T00:00:00Z"));
    assert_eq!(text(&release(&going, &going, &refused)).0, ["remove finalizer"]);
}
