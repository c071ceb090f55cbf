//! What a KafkaCluster becomes, as YAML that a person can read. `UPDATE_GOLDEN=1` writes the files.

use std::path::Path;

use resources::KafkaCluster;
use serde_json::{Value, json};

use super::{Moment, build};
use crate::cluster::listeners::Told;
use crate::cluster::validate::validate;

fn rendered(storage: &Value) -> String {
    let cluster: KafkaCluster = serde_json::from_value(json!({
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
    }))
    .expect("a KafkaCluster");
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
