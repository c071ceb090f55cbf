//! Volumes: whose they are, and how they grow.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use resources::KafkaCluster;
use serde_json::json;

use super::{
    Kind, NEW_ID, Observed, Step, all_of, blocked, claim, cluster, has, plan, status, steps, three, valid,
};

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

/// The volume claim of the broker, of this size.
fn claim_of(size: &str) -> PersistentVolumeClaim {
    let mut claim = claim(None);
    let spec = json!({ "resources": { "requests": { "storage": size } } });
    claim.spec = Some(serde_json::from_value(spec).expect("a spec"));
    claim
}

fn sized(size: &str) -> KafkaCluster {
    cluster(|body| body["spec"]["brokers"]["storage"]["persistent"]["size"] = json!(size))
}

#[test]
fn volumes_grow_and_the_stateful_set_is_made_again_around_its_pods() {
    let settled = status(Some("old"), Some("0.1.0"));
    let mut observed = all_of(&valid(&sized("1Gi")), Some("old"));
    observed.claims = vec![claim_of("1Gi")];
    // The next broker's volume comes from the StatefulSet, whose claims Kubernetes does not let change.
    assert_eq!(
        steps(&sized("2Gi"), &settled, &observed),
        [
            "delete StatefulSet demo-broker, and keep its Pods",
            "grow PersistentVolumeClaim data-demo-broker-0 to 2Gi",
        ],
        "a class that refuses holds nothing else up"
    );
    observed.claims = vec![claim_of("2Gi")];
    // Kubernetes lets its Pods go first.
    has(&mut observed, Kind::StatefulSet, |set| {
        set["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:16:00Z");
    });
    assert_eq!(steps(&sized("2Gi"), &settled, &observed), [""; 0]);
    observed.children.retain(|child| child.kind != Kind::StatefulSet);
    observed.stateful_set = None;
    assert_eq!(steps(&sized("2Gi"), &settled, &observed), ["apply StatefulSet demo-broker"]);
    // Meanwhile no Pod is forgotten: there are three, and one is wanted.
    observed.brokers = all_of(&valid(&three()), Some("old")).brokers;
    let done = plan(&valid(&sized("2Gi")), &settled, &observed, NEW_ID).expect("can be done");
    let set = done.steps.iter().find_map(|step| match step {
        Step::Apply(resource) if resource.kind == Kind::StatefulSet => Some(&resource.body),
        _ => None,
    });
    assert_eq!(set.expect("is applied")["spec"]["replicas"], 3);
}

#[test]
fn a_volume_that_is_larger_than_asked_for_stays_so() {
    let mut observed = all_of(&valid(&sized("1Gi")), Some("old"));
    observed.claims = vec![claim_of("5Gi")];
    assert_eq!(steps(&sized("1Gi"), &status(Some("old"), None), &observed), [""; 0]);
}

#[test]
fn storage_does_not_change_under_a_cluster() {
    let mut observed = all_of(&valid(&sized("2Gi")), Some("old"));
    observed.claims = vec![claim_of("2Gi")];
    for (storage, says) in [
        (json!({ "persistent": { "size": "1Gi" } }), "do not shrink: write size: 2Gi"),
        (json!({ "persistent": { "size": "2Gi", "storageClass": "fast" } }), "persistent: {size: 2Gi}"),
        (json!({ "ephemeral": {} }), "persistent: {size: 2Gi}"),
    ] {
        let wanted = cluster(|body| body["spec"]["brokers"]["storage"] = storage);
        let blocked = blocked(&wanted, &status(Some("old"), None), &observed);
        assert_eq!(blocked.reason, "StorageImmutable");
        assert!(blocked.message.contains(says), "{}", blocked.message);
    }
}
