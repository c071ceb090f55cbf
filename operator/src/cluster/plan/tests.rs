//! What the operator would do in each situation.

use client::node::{
    BrokerState, ClusterState, DrainState, NodeState, PartitionsState, RebalanceState, WidestTopic,
};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use resources::{KafkaCluster, KafkaClusterStatus};
use serde_json::{Value, json};

use super::super::build::{self, Kind, Moment};
use super::super::listeners::{self, Told};
use super::super::observe::{Broker, Child, Gate, Observed};
use super::super::validate::{ValidCluster, validate};
use super::{Blocked, Plan, Resource, Step, names, plan};

mod dedicated;
mod namespaces;
mod outside;
mod templates;
mod volumes;

const NEW_ID: &str = "newnewnewnewnewnewneww";

fn cluster(change: impl FnOnce(&mut Value)) -> KafkaCluster {
    let mut body = json!({
        "apiVersion": "taffrail.dev/v1alpha1",
        "kind": "KafkaCluster",
        "metadata": { "name": "demo", "namespace": "kafka", "uid": "u-1", "generation": 1 },
        "spec": {
            "brokers": {
                "replicas": 1,
                "storage": { "persistent": { "size": "1Gi" } },
                "resources": { "requests": { "cpu": "1000m", "memory": "1Gi" } },
            },
            "config": { "auto.create.topics.enable": false },
        },
    });
    change(&mut body);
    serde_json::from_value(body).expect("a KafkaCluster")
}

fn valid(cluster: &KafkaCluster) -> ValidCluster {
    validate(cluster, None, "taffrail:1").expect("is valid")
}

fn controllers(cluster: &ValidCluster) -> i32 {
    cluster.controllers.as_ref().map_or(0, |controllers| controllers.spec.replicas)
}

/// Nothing but the KafkaCluster.
fn nothing() -> Observed {
    Observed {
        stateful_set: None,
        controller_set: None,
        controllers: Vec::new(),
        racks: std::collections::BTreeMap::new(),
        config_maps: Vec::new(),
        children: Vec::new(),
        has_secret: false,
        brokers: vec![Broker {
            id: 0,
            pod: None,
            node: Err("its container does not run".to_owned()),
            gate: Gate::Silent("no broker serves".to_owned()),
        }],
        claims: Vec::new(),
        voters: None,
        irreplaceable: std::collections::BTreeMap::new(),
        bytes_left: None,
        unreadable_namespaces: None,
        now: Timestamp::from_second(1000).expect("a time"),
    }
}

/// All that `cluster` wants, as Kubernetes gives it back, and a Pod that was made from it.
fn all_of(cluster: &ValidCluster, cluster_id: Option<&str>) -> Observed {
    let mut observed = Observed { has_secret: true, ..nothing() };
    let replicas = cluster.spec.brokers.replicas;
    let moment = Moment { replicas, controllers: controllers(cluster), spread: replicas, is_closed: false };
    let told = listeners::told(cluster, &observed, replicas);
    for resource in build::build(cluster, moment, &told) {
        let mut body = resource.body;
        body["metadata"]["uid"] = json!("given by Kubernetes");
        body["metadata"]["generation"] = json!(1);
        if resource.kind == Kind::StatefulSet {
            // Kubernetes' own form of 1000m.
            body["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("1");
            body["status"] = json!({ "observedGeneration": 1, "replicas": 1 });
            let set = Some(serde_json::from_value(body.clone()).expect("a StatefulSet"));
            match resource.name == "demo-broker" {
                true => observed.stateful_set = set,
                false => observed.controller_set = set,
            }
        }
        if resource.kind == Kind::ConfigMap {
            observed.config_maps.push(resource.name.clone());
        }
        observed.children.push(Child { kind: resource.kind, name: resource.name, body });
    }
    let broker = |id| {
        let pod = json!({
            "metadata": {
                "name": names::node_pod("demo", id),
                "uid": format!("p-{id}"),
                "resourceVersion": "7",
                "annotations": { "taffrail.dev/pod-hash": cluster.pod_hash_of(id) },
            },
            "status": {
                "conditions": [{ "type": "Ready", "status": "True" }],
                "containerStatuses": [{
                    "name": "broker", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                    "state": { "running": {} },
                }],
            },
        });
        let pod = Some(serde_json::from_value(pod).expect("a Pod"));
        let mut node =
            NodeState { node_id: id, directory_id: directory(id).1.to_string(), ..node(cluster_id) };
        node.cluster = cluster_id.map(|_| state(replicas));
        Broker { id, pod, node: Ok(node), gate: Gate::Open }
    };
    observed.brokers = (0..cluster.spec.brokers.replicas).map(broker).collect();
    observed.controllers = (1000..1000 + controllers(cluster)).map(broker).collect();
    observed.claims = vec![claim(None)];
    observed.voters = cluster_id.map(|_| cluster.first_voters().map(directory).collect());
    observed
}

fn directory(id: i32) -> resources::Directory {
    (id, types::Uuid([u8::try_from(id % 100).expect("is small") + 1 + u8::from(id >= 1000) * 100; 16]))
}

/// What each of so many brokers says of its cluster when all is well.
fn state(brokers: i32) -> ClusterState {
    let broker =
        |id| BrokerState { id, is_fenced: false, is_cordoned: false, replicas: 3, leaving: 0, leaders: 1 };
    ClusterState {
        controller: Some(0),
        brokers: (0..brokers).map(broker).collect(),
        reassigning: 0,
        rebalance: RebalanceState {
            is_active: false,
            bytes_per_second: None,
            partitions_left: 0,
            partitions_blocked: 0,
        },
        partitions: Some(PartitionsState { total: 3, offline: 0, under_min_isr: 0 }),
        widest_topic: None,
        drain: None,
    }
}

fn orders_on_three() -> Option<WidestTopic> {
    Some(WidestTopic { name: "orders".to_owned(), replicas: 3 })
}

/// Changes what all brokers say of their cluster.
fn say(observed: &mut Observed, change: impl Fn(&mut ClusterState)) {
    for broker in observed.brokers.iter_mut().chain(&mut observed.controllers) {
        if let Ok(NodeState { cluster: Some(cluster), .. }) = &mut broker.node {
            change(cluster);
        }
    }
}

/// As if this had been applied, and Kubernetes had not looked at it yet.
fn applied(observed: &mut Observed, cluster: &KafkaCluster, kind: Kind, moment: Moment) {
    let wanted = build::build(&valid(cluster), moment, &Told::default())
        .into_iter()
        .find(|resource| resource.kind == kind);
    has(observed, kind, |body| {
        let status = body["status"].take();
        *body = wanted.expect("is made").body;
        body["metadata"]["generation"] = json!(2);
        body["status"] = status;
    });
}

/// The budget is closed, and Kubernetes goes by it.
fn close(observed: &mut Observed, cluster: &KafkaCluster) {
    let replicas = cluster.spec.brokers.replicas;
    let moment =
        Moment { replicas, controllers: controllers(&valid(cluster)), spread: replicas, is_closed: true };
    applied(observed, cluster, Kind::PodDisruptionBudget, moment);
    has(observed, Kind::PodDisruptionBudget, |budget| budget["status"] = json!({ "observedGeneration": 2 }));
}

/// Changes the object of this kind as Kubernetes has it.
fn has(observed: &mut Observed, kind: Kind, change: impl FnOnce(&mut Value)) {
    let child = observed.children.iter_mut().find(|child| child.kind == kind).expect("is there");
    change(&mut child.body);
    if kind == Kind::StatefulSet {
        observed.stateful_set = Some(serde_json::from_value(child.body.clone()).expect("a StatefulSet"));
    }
}

fn claim(owner: Option<&str>) -> PersistentVolumeClaim {
    let owners =
        owner.map(|uid| json!([{ "apiVersion": "v1", "kind": "KafkaCluster", "name": "demo", "uid": uid }]));
    let body = json!({ "metadata": { "name": "data-demo-broker-0", "ownerReferences": owners } });
    serde_json::from_value(body).expect("a PersistentVolumeClaim")
}

fn node(cluster_id: Option<&str>) -> NodeState {
    NodeState {
        node_id: 0,
        directory_id: "dirdirdirdirdirdirdird".to_owned(),
        cluster_id: cluster_id.map(str::to_owned),
        status: if cluster_id.is_some() { "ready" } else { "unformatted" }.to_owned(),
        version: "0.1.0".to_owned(),
        cluster: None,
    }
}

fn status(cluster_id: Option<&str>, version: Option<&str>) -> KafkaClusterStatus {
    KafkaClusterStatus {
        cluster_id: cluster_id.map(str::to_owned),
        version: version.map(str::to_owned),
        ..KafkaClusterStatus::default()
    }
}

/// The steps as text, without the hashes in names.
fn steps(cluster: &KafkaCluster, status: &KafkaClusterStatus, observed: &Observed) -> Vec<String> {
    let planned = plan(&valid(cluster), status, observed, NEW_ID).expect("is not blocked");
    planned.steps.iter().map(|step: &Step| without_hash(&step.to_string())).collect()
}

fn without_hash(step: &str) -> String {
    match step.split_once("-config-") {
        Some((before, _)) => format!("{before}-config-#"),
        None => step.to_owned(),
    }
}

fn blocked(cluster: &KafkaCluster, status: &KafkaClusterStatus, observed: &Observed) -> Blocked {
    match plan(&valid(cluster), status, observed, NEW_ID) {
        Err(blocked) | Ok(Plan { blocked: Some(blocked), .. }) => blocked,
        Ok(plan) => panic!("is not blocked: {plan:?}"),
    }
}

#[test]
fn a_new_cluster_gets_its_children_in_the_order_in_which_they_need_each_other() {
    let expected = [
        "create Secret demo-admin",
        "apply ConfigMap demo-config-#",
        "apply ConfigMap demo-advertised",
        "apply Service demo-nodes",
        "apply Service demo-bootstrap",
        "apply PodDisruptionBudget demo",
        "apply StatefulSet demo-broker",
    ];
    assert_eq!(steps(&cluster(|_| {}), &status(None, None), &nothing()), expected);
}

#[test]
fn an_empty_node_is_founded_once_under_the_id_that_was_written_first() {
    let wanted = cluster(|_| {});
    let observed = all_of(&valid(&wanted), None);
    let expected = [format!("write cluster id {NEW_ID}"), format!("found cluster {NEW_ID} with voters 0")];
    assert_eq!(steps(&wanted, &status(None, None), &observed), expected);
    // The operator was stopped between the two.
    assert_eq!(steps(&wanted, &status(Some("old"), None), &observed), ["found cluster old with voters 0"]);
    // And after both, before it saw the answer.
    let founded = all_of(&valid(&wanted), Some("old"));
    assert_eq!(steps(&wanted, &status(Some("old"), None), &founded), [""; 0]);
}

#[test]
fn a_cluster_as_it_should_be_is_left_alone() {
    let wanted = cluster(|_| {});
    let observed = all_of(&valid(&wanted), Some("old"));
    assert_eq!(steps(&wanted, &status(Some("old"), Some("0.1.0")), &observed), [""; 0]);
}

#[test]
fn a_volume_that_has_a_cluster_id_is_adopted_and_never_founded() {
    let wanted = cluster(|_| {});
    let observed = all_of(&valid(&wanted), Some("kept"));
    assert_eq!(steps(&wanted, &status(None, None), &observed), ["write cluster id kept"]);
    let conflict = blocked(&wanted, &status(Some("other"), None), &observed);
    assert_eq!(conflict.reason, "ClusterIdConflict");
    assert_eq!(conflict.message, "node 0 belongs to cluster kept, not to other");
}

#[test]
fn an_empty_volume_in_a_founded_cluster_is_a_loss_unless_it_was_ephemeral() {
    let wanted = cluster(|_| {});
    let observed = all_of(&valid(&wanted), None);
    let lost = blocked(&wanted, &status(Some("old"), Some("0.1.0")), &observed);
    assert_eq!(lost.reason, "DataLost");
    assert!(lost.message.contains("volumes of all voters are empty"), "{}", lost.message);

    let ephemeral = cluster(|body| body["spec"]["brokers"]["storage"] = json!({ "ephemeral": {} }));
    let observed = Observed { claims: Vec::new(), ..all_of(&valid(&ephemeral), None) };
    let founded = steps(&ephemeral, &status(Some("old"), Some("0.1.0")), &observed);
    assert_eq!(founded, ["found cluster old with voters 0"]);
}

#[test]
fn what_somebody_changed_or_deleted_is_put_right() {
    let wanted = cluster(|_| {});
    let settled = status(Some("old"), Some("0.1.0"));
    let mut observed = all_of(&valid(&wanted), Some("old"));
    observed.children.retain(|child| child.name != "demo-bootstrap");
    let nodes = observed.children.iter_mut().find(|child| child.name == "demo-nodes").expect("is there");
    nodes.body["spec"]["ports"][0]["port"] = json!(1);
    assert_eq!(
        steps(&wanted, &settled, &observed),
        ["apply Service demo-nodes", "apply Service demo-bootstrap"]
    );
}

#[test]
fn a_new_configuration_reaches_the_pod_step_by_step() {
    let settled = status(Some("old"), Some("0.1.0"));
    let before = valid(&cluster(|_| {}));
    let wanted = cluster(|body| body["spec"]["config"]["num.partitions"] = json!(3));

    let mut observed = all_of(&before, Some("old"));
    let first = steps(&wanted, &settled, &observed);
    assert_eq!(first, ["apply ConfigMap demo-config-#", "apply StatefulSet demo-broker"]);

    // Both are applied; the Pod is the old one. It is granted its restart, and nobody else may evict one meanwhile.
    let old_maps = observed.config_maps.clone();
    let old_pod = observed.brokers[0].pod.take();
    observed = all_of(&valid(&wanted), Some("old"));
    observed.brokers[0].pod.clone_from(&old_pod);
    observed.config_maps.extend(old_maps);
    let second = steps(&wanted, &settled, &observed);
    assert_eq!(second, ["apply PodDisruptionBudget demo", "drain broker 0"]);

    // It goes with its exact version, once Kubernetes goes by the closed budget.
    say(&mut observed, |cluster| cluster.drain = Some(DrainState { node: 0, until_ms: 1_100_000 }));
    close(&mut observed, &wanted);
    let unseen = |budget: &mut Value| budget["status"] = json!({ "observedGeneration": 1 });
    has(&mut observed, Kind::PodDisruptionBudget, unseen);
    assert_eq!(steps(&wanted, &settled, &observed), [""; 0]);
    close(&mut observed, &wanted);
    let third = steps(&wanted, &settled, &observed);
    assert_eq!(third, ["delete Pod demo-broker-0: its image, configuration, resources or template changed"]);

    // Kubernetes made the new one; nobody reads the old ConfigMap any more, and the budget opens.
    observed.brokers = all_of(&valid(&wanted), Some("old")).brokers;
    let last = steps(&wanted, &settled, &observed);
    assert_eq!(last, ["apply PodDisruptionBudget demo", "delete ConfigMap demo-config-#"]);
}

#[test]
fn a_pod_is_not_deleted_before_its_stateful_set_would_make_the_right_one() {
    let before = valid(&cluster(|_| {}));
    let wanted = cluster(|body| body["spec"]["image"] = json!("taffrail:2"));
    let mut observed = all_of(&valid(&wanted), Some("old"));
    observed.brokers = all_of(&before, Some("old")).brokers;
    let set = observed.stateful_set.as_mut().expect("is there");
    set.metadata.generation = Some(2);
    assert_eq!(steps(&wanted, &status(Some("old"), None), &observed), [""; 0]);
}

fn three() -> KafkaCluster {
    cluster(|body| body["spec"]["brokers"]["replicas"] = json!(3))
}

#[test]
fn a_cluster_of_three_is_founded_when_all_its_voters_are_there() {
    let mut observed = all_of(&valid(&three()), None);
    observed.brokers[1].node = Err("its container does not run".to_owned());
    assert_eq!(steps(&three(), &status(None, None), &observed), [""; 0]);
    observed = all_of(&valid(&three()), None);
    assert_eq!(
        steps(&three(), &status(None, None), &observed),
        ["write cluster id newnewnewnewnewnewneww", "found cluster newnewnewnewnewnewneww with voters 0,1,2"]
    );
    // One that is empty joins the others.
    observed.brokers[2].node = Ok(NodeState { node_id: 2, ..node(Some("old")) });
    assert_eq!(steps(&three(), &status(Some("old"), None), &observed), [""; 0]);
    observed.brokers[0].node = Ok(node(Some("another")));
    assert_eq!(blocked(&three(), &status(Some("old"), None), &observed).reason, "ClusterIdConflict");
}

/// Three brokers of the image before.
fn outdated() -> (KafkaCluster, Observed) {
    let mut wanted = three();
    let before = all_of(&valid(&wanted), Some("old")).brokers;
    wanted.spec.image = Some("taffrail:2".to_owned());
    let observed = Observed { brokers: before, ..all_of(&valid(&wanted), Some("old")) };
    (wanted, observed)
}

fn rolls(change: impl FnOnce(&mut Observed)) -> Vec<String> {
    let (wanted, mut observed) = outdated();
    change(&mut observed);
    steps(&wanted, &status(Some("old"), Some("0.1.0")), &observed)
}

#[test]
fn pods_are_restarted_one_by_one_while_the_cluster_can_bear_it() {
    const CLOSE: &str = "apply PodDisruptionBudget demo";
    assert_eq!(rolls(|_| {}), [CLOSE, "drain broker 2"]);
    // The active controller is the last one.
    let by_controller = |observed: &mut Observed| say(observed, |cluster| cluster.controller = Some(2));
    assert_eq!(rolls(by_controller), [CLOSE, "drain broker 1"]);
    assert_eq!(rolls(|seen| seen.brokers[1].pod = None), [""; 0], "one is on its way");
    // Not while the cluster says no; and nobody else may evict it, either.
    let refused = |seen: &mut Observed| seen.brokers[2].gate = Gate::Refused("orders-0".to_owned());
    assert_eq!(rolls(refused), [CLOSE]);
    assert_eq!(rolls(|seen| seen.brokers[2].gate = Gate::Silent("no answer".to_owned())), [""; 0]);
    // A grant that is about to lapse is asked for again.
    let lapses = |seen: &mut Observed| {
        say(seen, |cluster| cluster.drain = Some(DrainState { node: 1, until_ms: 1_020_000 }));
    };
    assert_eq!(rolls(lapses), [CLOSE, "drain broker 2"]);
}

#[test]
fn only_a_pod_whose_process_does_not_serve_need_not_ask() {
    let unready = |seen: &mut Observed, since: &str| {
        let body = json!({ "conditions": [{ "type": "Ready", "status": "False", "lastTransitionTime": since }],
            "containerStatuses": [{ "name": "broker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": { "running": {} } }] });
        let status = serde_json::from_value(body).expect("a status");
        seen.brokers[0].pod.as_mut().expect("is there").status = Some(status);
        seen.brokers[0].node = Err("does not answer".to_owned());
    };
    // A second in which nobody answers is nothing yet.
    assert_eq!(rolls(|seen| seen.brokers[0].node = Err("does not answer".to_owned())).len(), 2);
    // And nobody else goes while it is not ready.
    assert_eq!(rolls(|seen| unready(seen, "1970-01-01T00:16:30Z")), [""; 0]);
    let silent = rolls(|seen| unready(seen, "1970-01-01T00:16:00Z"));
    assert_eq!(silent, ["delete Pod demo-broker-0: it has not answered for a while"]);
    let stopped = |seen: &mut Observed| {
        let pod = seen.brokers[0].pod.as_mut().expect("is there");
        pod.status.as_mut().expect("has one").container_statuses = None;
        seen.brokers[0].node = Err("its container does not run".to_owned());
    };
    assert_eq!(rolls(stopped), ["delete Pod demo-broker-0: it does not run"]);
}

#[test]
fn brokers_are_added_and_get_their_share() {
    let settled = status(Some("old"), Some("0.1.0"));
    let mut observed = all_of(&valid(&cluster(|_| {})), Some("old"));
    assert_eq!(steps(&three(), &settled, &observed), ["apply StatefulSet demo-broker"]);
    // They are there; replicas were spread over one broker so far.
    observed = all_of(&valid(&three()), Some("old"));
    has(&mut observed, Kind::StatefulSet, |set| {
        set["metadata"]["annotations"]["taffrail.dev/spread-over"] = json!("1");
    });
    observed.voters = Some(vec![directory(0)]);
    assert_eq!(steps(&three(), &settled, &observed), ["add voter 1"]);
    observed.voters = Some((0..3).map(directory).collect());
    assert_eq!(steps(&three(), &settled, &observed), ["rebalance", "apply StatefulSet demo-broker"]);
    let mut off = three();
    off.spec.brokers.rebalance.mode = resources::RebalanceMode::Off;
    assert_eq!(steps(&off, &settled, &observed), ["apply StatefulSet demo-broker"]);
}

#[test]
fn brokers_are_removed_when_nothing_is_on_them() {
    let settled = status(Some("old"), Some("0.1.0"));
    let five = cluster(|body| body["spec"]["brokers"]["replicas"] = json!(5));
    let mut observed = all_of(&valid(&five), Some("old"));
    say(&mut observed, |cluster| cluster.widest_topic = orders_on_three());
    // What is noted first is that replicas will stand on three.
    assert_eq!(steps(&three(), &settled, &observed), ["apply StatefulSet demo-broker", "cordon brokers 3,4"]);
    has(&mut observed, Kind::StatefulSet, |set| {
        set["metadata"]["annotations"]["taffrail.dev/spread-over"] = json!("3");
    });
    say(&mut observed, |cluster| {
        cluster.brokers.iter_mut().skip(3).for_each(|broker| broker.is_cordoned = true);
    });
    assert_eq!(steps(&three(), &settled, &observed), ["rebalance"]);
    say(&mut observed, |cluster| cluster.rebalance.is_active = true);
    assert_eq!(steps(&three(), &settled, &observed), [""; 0]);
    // Raised again on the way: the cordon goes, and what has left already comes back.
    assert_eq!(steps(&five, &settled, &observed), ["cordon no broker"]);

    say(&mut observed, |cluster| cluster.brokers.iter_mut().skip(3).for_each(|broker| broker.replicas = 0));
    assert_eq!(steps(&three(), &settled, &observed), ["apply StatefulSet demo-broker"]);
    let moment = Moment { replicas: 3, controllers: 0, spread: 3, is_closed: false };
    applied(&mut observed, &three(), Kind::StatefulSet, moment);
    assert_eq!(steps(&three(), &settled, &observed), [""; 0], "their Pods are still stopping");
    observed.brokers.truncate(3);
    assert_eq!(steps(&three(), &settled, &observed), ["unregister broker 4"]);
}

#[test]
fn the_volumes_of_removed_brokers_stay_unless_they_are_not_to() {
    let settled = status(Some("old"), Some("0.1.0"));
    let delete = cluster(|body| {
        body["spec"]["brokers"]["replicas"] = json!(3);
        body["spec"]["brokers"]["storage"]["persistent"]["whenScaled"] = json!("Delete");
    });
    let mut observed = all_of(&valid(&three()), Some("old"));
    let mut surplus = claim(None);
    surplus.metadata.name = Some("data-demo-broker-3".to_owned());
    observed.claims.push(surplus);
    assert_eq!(steps(&three(), &settled, &observed), [""; 0]);
    assert_eq!(steps(&delete, &settled, &observed), ["delete PersistentVolumeClaim data-demo-broker-3"]);
    // Not before the cluster has forgotten its broker.
    say(&mut observed, |cluster| *cluster = ClusterState { drain: None, ..state(4) });
    assert!(!steps(&delete, &settled, &observed).iter().any(|step| step.contains("delete")));
}

#[test]
fn fewer_brokers_than_a_topic_has_replicas_are_refused_with_its_name() {
    let mut observed = all_of(&valid(&three()), Some("old"));
    say(&mut observed, |cluster| cluster.widest_topic = orders_on_three());
    let two = cluster(|body| body["spec"]["brokers"]["replicas"] = json!(2));
    let refused = blocked(&two, &status(Some("old"), None), &observed);
    assert_eq!(refused.reason, "ScaleDownBlocked");
    assert!(refused.message.starts_with("spec.brokers.replicas: topic orders has 3"), "{}", refused.message);
}

#[test]
fn a_roll_that_wants_approval_waits_for_its_revision() {
    let rolls = |approve: Option<&str>| {
        let (mut wanted, observed) = outdated();
        wanted.spec.rollout.approval = resources::Approval::Manual;
        let revision = valid(&wanted).pod_hash;
        let approved = approve.map(|text| text.replace("REVISION", &revision));
        wanted.annotations_mut().extend(approved.map(|text| (names::APPROVE.to_owned(), text)));
        steps(&wanted, &status(Some("old"), Some("0.1.0")), &observed)
    };
    assert_eq!(rolls(None), [""; 0]);
    assert_eq!(rolls(Some("another")), [""; 0]);
    assert_eq!(rolls(Some("REVISION")).len(), 2);
}

#[test]
fn a_pod_is_restarted_and_replaced_on_its_annotation() {
    let settled = status(Some("old"), Some("0.1.0"));
    let annotated = |key: &str, change: &dyn Fn(&mut Observed)| {
        let mut observed = all_of(&valid(&three()), Some("old"));
        let mut claim = claim(None);
        claim.metadata.name = Some("data-demo-broker-1".to_owned());
        observed.claims = vec![claim];
        let pod = observed.brokers[1].pod.as_mut().expect("is there");
        pod.annotations_mut().insert(key.to_owned(), "yes".to_owned());
        change(&mut observed);
        steps(&three(), &settled, &observed)
    };
    assert_eq!(annotated(names::RESTART, &|_| {})[1..], ["drain broker 1"]);
    let granted = |seen: &mut Observed| {
        say(seen, |cluster| cluster.drain = Some(DrainState { node: 1, until_ms: 1_100_000 }));
        close(seen, &three());
    };
    let expected = [
        "delete PersistentVolumeClaim data-demo-broker-1",
        "delete Pod demo-broker-1: it is annotated taffrail.dev/delete-pod-and-pvc",
    ];
    assert_eq!(annotated(names::REPLACE, &granted), expected);
    // Not where something has no other replica in sync.
    let alone = |seen: &mut Observed| {
        granted(seen);
        seen.irreplaceable.insert(1, "orders".to_owned());
    };
    assert_eq!(annotated(names::REPLACE, &alone), [""; 0]);
}

#[test]
fn brokers_are_told_their_rack_before_they_register() {
    let racks = cluster(|body| body["spec"]["brokers"]["rack"] = json!({ "topologyKey": "zone" }));
    let mut observed = all_of(&valid(&racks), None);
    observed.brokers[0].node = Err("does not answer".to_owned());
    observed.racks.insert(0, Ok("west".to_owned()));
    assert_eq!(steps(&racks, &status(None, None), &observed), ["tell Pod demo-broker-0 its rack west"]);
    observed.racks.insert(0, Err("no label".to_owned()));
    assert_eq!(steps(&racks, &status(None, None), &observed), [""; 0]);
}
