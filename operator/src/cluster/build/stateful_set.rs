//! The StatefulSet of the brokers. The operator restarts Pods itself (`OnDelete`), because only it can know when.

use resources::Storage;
use serde_json::{Value, json};

use super::{Kind, Moment, Resource};
use crate::cluster::validate::ValidCluster;
use crate::names;

pub(super) fn build(cluster: &ValidCluster, moment: Moment) -> Resource {
    let storage = &cluster.spec.brokers.storage;
    let mut spec = json!({
        "serviceName": names::nodes_service(&cluster.name),
        "replicas": moment.replicas,
        "podManagementPolicy": "Parallel",
        "updateStrategy": { "type": "OnDelete" },
        "selector": { "matchLabels": names::broker_labels(&cluster.name) },
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
        "template": {
            "metadata": {
                "labels": names::labels(&cluster.name),
                "annotations": { names::POD_HASH: cluster.pod_hash },
            },
            "spec": pod(cluster),
        },
    });
    if let Some(claim) = claim(cluster, storage) {
        spec["volumeClaimTemplates"] = json!([claim]);
    }
    Resource::new(cluster, Kind::StatefulSet, names::stateful_set(&cluster.name), json!({ "spec": spec }))
        .annotated(names::SPREAD, &moment.spread.to_string())
}

fn claim(cluster: &ValidCluster, storage: &Storage) -> Option<Value> {
    let persistent = storage.persistent.as_ref()?;
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": persistent.size } },
    });
    if let Some(class) = &persistent.storage_class {
        spec["storageClassName"] = json!(class);
    }
    Some(json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data", "labels": names::labels(&cluster.name) },
        "spec": spec,
    }))
}

fn pod(cluster: &ValidCluster) -> Value {
    let mut volumes = vec![
        json!({ "name": "config", "configMap": { "name": cluster.config_map } }),
        json!({ "name": "admin", "secret": { "secretName": names::admin_secret(&cluster.name), "defaultMode": 0o440 } }),
    ];
    if let Some(ephemeral) = &cluster.spec.brokers.storage.ephemeral {
        let space = ephemeral.size_limit.as_ref().map_or(json!({}), |limit| json!({ "sizeLimit": limit }));
        volumes.push(json!({ "name": "data", "emptyDir": space }));
    }
    json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 60,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [container(cluster)],
        "volumes": volumes,
    })
}

fn container(cluster: &ValidCluster) -> Value {
    let port = |name: &str, port: u16| json!({ "name": name, "containerPort": port, "protocol": "TCP" });
    let probe = |path: &str, period: u32, failures: u32| {
        json!({
            "httpGet": { "path": path, "port": "admin" },
            "periodSeconds": period,
            "timeoutSeconds": 5,
            "failureThreshold": failures,
        })
    };
    let mut container = json!({
        "name": "broker",
        "image": cluster.image,
        "args": ["broker", "--config", "/etc/taffrail/config/broker.yaml"],
        "env": [
            { "name": names::POD_NAME, "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
            { "name": names::POD_INDEX, "valueFrom": { "fieldRef": {
                "fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']",
            } } },
        ],
        "ports": [
            port("controller", names::CONTROLLER_PORT),
            port("internal", names::INTER_BROKER_PORT),
            port("kafka", names::CLIENT_PORT),
            port("admin", names::ADMIN_PORT),
        ],
        // Recovery of large logs comes before the first answer: ten minutes for it.
        "startupProbe": probe("/healthz", 1, 600),
        "livenessProbe": probe("/healthz", 10, 6),
        "readinessProbe": probe("/readyz", 2, 3),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": [
            { "name": "config", "mountPath": "/etc/taffrail/config", "readOnly": true },
            { "name": "admin", "mountPath": "/etc/taffrail/admin", "readOnly": true },
            { "name": "data", "mountPath": "/var/lib/taffrail" },
        ],
    });
    if let Some(resources) = &cluster.spec.brokers.resources {
        container["resources"] = json!(resources);
    }
    container
}
