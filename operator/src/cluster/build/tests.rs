//! What a KafkaCluster becomes, as YAML that a person can read. `UPDATE_GOLDEN=1` writes the files.

use std::path::Path;

use resources::KafkaCluster;
use serde_json::{Value, json};

use super::{Moment, build};
use crate::cluster::listeners::Told;
use crate::cluster::validate::validate;

fn rendered(storage: &Value) -> String {
    rendered_with(storage, |_| {})
}

fn rendered_with(storage: &Value, change: impl FnOnce(&mut Value)) -> String {
    let mut body = json!({
        "apiVersion": "taffrail.dev/v1alpha1",
        "kind": "KafkaCluster",
        "metadata": { "name": "demo", "namespace": "kafka", "uid": "u-1" },
        "spec": {
            "brokers": {
                "replicas": 1,
                "storage": storage,
                "resources": { "requests": { "cpu": "100m", "memory": "256Mi" } },
            },
            "config": { "num.partitions": 3 },
        },
    });
    change(&mut body);
    let cluster: KafkaCluster = serde_json::from_value(body).expect("a KafkaCluster");
    let valid = validate(&cluster, None, "taffrail:1").expect("is valid");
    let documents =
        build(&valid, Moment { replicas: 1, controllers: 3, spread: 1, is_closed: false }, &Told::default())
            .into_iter()
            .map(|resource| serde_yaml::to_string(&resource.body).expect("plain data"));
    documents.collect::<Vec<_>>().join("---\n")
}

#[track_caller]
fn compare(name: &str, rendered: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("is writable");
        std::fs::write(&file, rendered).expect("is writable");
    }
    let golden = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        golden == rendered,
        "{} differs; if that is meant, UPDATE_GOLDEN=1 writes it:\n{rendered}",
        file.display()
    );
}

#[test]
fn children_on_volumes() {
    compare(
        "persistent.yaml",
        &rendered(&json!({ "persistent": { "size": "10Gi", "storageClass": "fast" } })),
    );
}

#[test]
fn children_without_volumes() {
    compare("ephemeral.yaml", &rendered(&json!({ "ephemeral": { "sizeLimit": "1Gi" } })));
}

#[test]
fn children_with_templates() {
    let change = |body: &mut Value| {
        body["spec"]["brokers"]["rack"] = json!({ "topologyKey": "topology.kubernetes.io/zone" });
        body["spec"]["brokers"]["template"] = json!({ "pod": {
            "metadata": { "labels": { "team": "orders" }, "annotations": { "example.com/cost": "7" } },
            "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "disk", "operator": "In", "values": ["fast"] }] }],
            } } },
            "tolerations": [{ "key": "kafka", "operator": "Exists", "effect": "NoSchedule" }],
            "nodeSelector": { "kubernetes.io/os": "linux" },
            "priorityClassName": "high",
            "securityContext": { "fsGroup": 2000, "supplementalGroups": [3000] },
            "terminationGracePeriodSeconds": 120,
        } });
        body["spec"]["controllers"] = json!({
            "replicas": 3,
            "storage": { "ephemeral": {} },
            "template": { "pod": { "topologySpreadConstraints": [{
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "DoNotSchedule",
            }] } },
        });
    };
    compare("templates.yaml", &rendered_with(&json!({ "ephemeral": {} }), change));
}
