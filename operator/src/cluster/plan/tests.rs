//! What the operator would do in each situation.

use client::node::NodeState;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use resources::{KafkaCluster, KafkaClusterStatus};
use serde_json::{Value, json};

use super::super::build::{self, Kind};
use super::super::observe::{Broker, Child, Observed};
use super::super::validate::{ValidCluster, validate};
use super::{Blocked, Step, plan, quantity};

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

/// Nothing but the KafkaCluster.
fn nothing() -> Observed {
    Observed {
        stateful_set: None,
        config_maps: Vec::new(),
        children: Vec::new(),
        has_secret: false,
        brokers: vec![Broker {
            id: 0,
            pod: None,
            node: Err("its container does not run".to_owned()),
            restart_refusal: None,
        }],
        claims: Vec::new(),
    }
}

/// All that `cluster` wants, as Kubernetes gives it back, and a Pod that was made from it.
fn all_of(cluster: &ValidCluster, cluster_id: Option<&str>) -> Observed {
    let mut observed = Observed { has_secret: true, ..nothing() };
    for resource in build::build(cluster) {
        let mut body = resource.body;
        body["metadata"]["uid"] = json!("given by Kubernetes");
        body["metadata"]["generation"] = json!(1);
        if resource.kind == Kind::StatefulSet {
            // Kubernetes' own form of 1000m.
            body["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("1");
            body["status"] = json!({ "observedGeneration": 1, "replicas": 1 });
            observed.stateful_set = Some(serde_json::from_value(body.clone()).expect("a StatefulSet"));
        }
        if resource.kind == Kind::ConfigMap {
            observed.config_maps.push(resource.name.clone());
        }
        observed.children.push(Child { kind: resource.kind, name: resource.name, body });
    }
    let broker = |id| {
        let pod = json!({
            "metadata": {
                "name": format!("demo-broker-{id}"),
                "uid": format!("p-{id}"),
                "resourceVersion": "7",
                "annotations": { "taffrail.dev/pod-hash": cluster.pod_hash },
            },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        });
        let pod = Some(serde_json::from_value(pod).expect("a Pod"));
        Broker { id, pod, node: Ok(NodeState { node_id: id, ..node(cluster_id) }), restart_refusal: None }
    };
    observed.brokers = (0..cluster.spec.brokers.replicas).map(broker).collect();
    observed.claims = vec![claim(None)];
    observed
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
    planned.iter().map(|step: &Step| without_hash(&step.to_string())).collect()
}

fn without_hash(step: &str) -> String {
    match step.split_once("-config-") {
        Some((before, _)) => format!("{before}-config-#"),
        None => step.to_owned(),
    }
}

fn blocked(cluster: &KafkaCluster, status: &KafkaClusterStatus, observed: &Observed) -> Blocked {
    plan(&valid(cluster), status, observed, NEW_ID).expect_err("is blocked")
}

#[test]
fn a_new_cluster_gets_its_children_in_the_order_in_which_they_need_each_other() {
    let expected = [
        "create Secret demo-admin",
        "apply ConfigMap demo-config-#",
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
    assert_eq!(conflict.message, "broker 0 belongs to cluster kept, not to other");
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
fn a_new_configuration_reaches_the_pod_in_three_rounds() {
    let settled = status(Some("old"), Some("0.1.0"));
    let before = valid(&cluster(|_| {}));
    let wanted = cluster(|body| body["spec"]["config"]["num.partitions"] = json!(3));

    let mut observed = all_of(&before, Some("old"));
    let first = steps(&wanted, &settled, &observed);
    assert_eq!(first, ["apply ConfigMap demo-config-#", "apply StatefulSet demo-broker"]);

    // Both are applied; the Pod is the old one, and goes with its exact version.
    let old_maps = observed.config_maps.clone();
    let old_pod = observed.brokers[0].pod.take();
    observed = all_of(&valid(&wanted), Some("old"));
    observed.brokers[0].pod = old_pod;
    observed.config_maps.extend(old_maps);
    assert_eq!(steps(&wanted, &settled, &observed), ["delete Pod demo-broker-0"]);

    // Kubernetes made the new one; nobody reads the old ConfigMap any more.
    observed.brokers[0].pod = all_of(&valid(&wanted), Some("old")).brokers.remove(0).pod;
    assert_eq!(steps(&wanted, &settled, &observed), ["delete ConfigMap demo-config-#"]);
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

#[test]
fn pods_are_restarted_one_by_one_while_the_cluster_can_bear_it() {
    let settled = status(Some("old"), Some("0.1.0"));
    let mut wanted = three();
    let before = all_of(&valid(&wanted), Some("old")).brokers;
    wanted.spec.image = Some("taffrail:2".to_owned());
    let mut observed = all_of(&valid(&wanted), Some("old"));
    observed.brokers.clone_from(&before);
    assert_eq!(steps(&wanted, &settled, &observed), ["delete Pod demo-broker-2"]);

    // Not while another is not ready, unless that is the one.
    observed.brokers[0].pod.as_mut().expect("is there").status = None;
    assert_eq!(steps(&wanted, &settled, &observed), [""; 0]);
    observed.brokers[0].node = Err("does not answer".to_owned());
    assert_eq!(steps(&wanted, &settled, &observed), ["delete Pod demo-broker-0"]);

    observed.brokers.clone_from(&before);
    observed.brokers[2].restart_refusal = Some("orders-0 would have too few replicas in sync".to_owned());
    assert_eq!(steps(&wanted, &settled, &observed), [""; 0]);

    observed.brokers.clone_from(&before);
    observed.brokers[1].pod = None;
    assert_eq!(steps(&wanted, &settled, &observed), [""; 0], "one is on its way");
}

#[test]
fn brokers_are_added_and_not_taken_away() {
    let settled = status(Some("old"), Some("0.1.0"));
    let observed = all_of(&valid(&cluster(|_| {})), Some("old"));
    assert_eq!(steps(&three(), &settled, &observed), ["apply StatefulSet demo-broker"]);
    let observed = all_of(&valid(&three()), Some("old"));
    let refused = blocked(&cluster(|_| {}), &settled, &observed);
    assert_eq!(refused.reason, "ScaleDownBlocked");
    assert!(refused.message.ends_with("write 3"), "{}", refused.message);
}

#[test]
fn volumes_go_with_the_cluster_only_where_that_is_asked_for() {
    let settled = status(Some("old"), Some("0.1.0"));
    let retain = cluster(|_| {});
    let delete =
        cluster(|body| body["spec"]["brokers"]["storage"]["persistent"]["whenDeleted"] = json!("Delete"));
    let unowned = all_of(&valid(&delete), Some("old"));
    let owned = Observed { claims: vec![claim(Some("u-1"))], ..all_of(&valid(&delete), Some("old")) };
    assert_eq!(steps(&delete, &settled, &unowned), ["own PersistentVolumeClaim data-demo-broker-0"]);
    assert_eq!(steps(&delete, &settled, &owned), [""; 0]);
    assert_eq!(steps(&retain, &settled, &owned), ["disown PersistentVolumeClaim data-demo-broker-0"]);
}

#[test]
fn storage_does_not_change_under_a_cluster() {
    let observed = all_of(&valid(&cluster(|_| {})), Some("old"));
    for (storage, has) in [
        (json!({ "persistent": { "size": "2Gi" } }), "persistent: {size: 1Gi}"),
        (json!({ "ephemeral": {} }), "persistent: {size: 1Gi}"),
    ] {
        let wanted = cluster(|body| body["spec"]["brokers"]["storage"] = storage);
        let blocked = blocked(&wanted, &status(Some("old"), None), &observed);
        assert_eq!(blocked.reason, "StorageImmutable");
        assert!(blocked.message.contains(has), "{}", blocked.message);
    }
}

#[test]
fn quantities_are_compared_by_their_value() {
    for (one, other) in
        [("1000m", "1"), ("1Gi", "1024Mi"), ("1.5", "1500m"), ("2k", "2000"), ("0.5Gi", "512Mi")]
    {
        assert_eq!(quantity(one), quantity(other), "{one} {other}");
        assert!(quantity(one).is_some(), "{one}");
    }
    for text in ["", "m", "Gi", "taffrail:1", "1.2.3", "-1"] {
        assert_eq!(quantity(text), None, "{text:?}");
    }
}
