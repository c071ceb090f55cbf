//! The StatefulSets, of the brokers and of dedicated controllers. The operator restarts Pods itself (`OnDelete`), because only it can know when.

use resources::{CONTROLLERS_FROM, PodTemplate, ResourceRequirements, Storage, Template};
use serde_json::{Value, json};

use super::{Kind, Moment, Resource, template};
use crate::cluster::validate::ValidCluster;
use crate::names;

/// The brokers.
pub(super) fn brokers(cluster: &ValidCluster, moment: Moment) -> Resource {
    let brokers = &cluster.spec.brokers;
    let pool = Pool {
        name: names::stateful_set(&cluster.name),
        component: "broker",
        config_map: &cluster.config_map,
        pod_hash: &cluster.pod_hash,
        storage: &brokers.storage,
        resources: brokers.resources.as_ref(),
        template: pod_template(brokers.template.as_ref()),
        is_broker: true,
    };
    build(cluster, &pool, moment.replicas).annotated(names::SPREAD, &moment.spread.to_string())
}

/// The dedicated controllers, if there are any.
pub(super) fn controllers(cluster: &ValidCluster, moment: Moment) -> Option<Resource> {
    let controllers = cluster.controllers.as_ref()?;
    let pool = Pool {
        name: names::controller_set(&cluster.name),
        component: "controller",
        config_map: &controllers.config_map,
        pod_hash: &controllers.pod_hash,
        storage: &controllers.spec.storage,
        resources: controllers.spec.resources.as_ref(),
        template: pod_template(controllers.spec.template.as_ref()),
        is_broker: false,
    };
    Some(build(cluster, &pool, moment.controllers))
}

/// Nodes of one kind.
struct Pool<'a> {
    name: String,
    component: &'static str,
    config_map: &'a str,
    pod_hash: &'a str,
    storage: &'a Storage,
    resources: Option<&'a ResourceRequirements>,
    template: Option<&'a PodTemplate>,
    is_broker: bool,
}

fn pod_template(template: Option<&Template>) -> Option<&PodTemplate> {
    template?.pod.as_ref()
}

fn build(cluster: &ValidCluster, pool: &Pool<'_>, replicas: i32) -> Resource {
    let mut spec = json!({
        "serviceName": names::nodes_service(&cluster.name),
        "replicas": replicas,
        "podManagementPolicy": "Parallel",
        "updateStrategy": { "type": "OnDelete" },
        "selector": { "matchLabels": names::component_labels(&cluster.name, pool.component) },
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
        "template": {
            "metadata": metadata(cluster, pool),
            "spec": pod(cluster, pool),
        },
    });
    if !pool.is_broker {
        spec["ordinals"] = json!({ "start": CONTROLLERS_FROM });
    }
    if let Some(claim) = claim(cluster, pool) {
        spec["volumeClaimTemplates"] = json!([claim]);
    }
    Resource::new(cluster, Kind::StatefulSet, pool.name.clone(), json!({ "spec": spec }))
}

fn claim(cluster: &ValidCluster, pool: &Pool<'_>) -> Option<Value> {
    let persistent = pool.storage.persistent.as_ref()?;
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
        "metadata": { "name": "data", "labels": names::labels_of(&cluster.name, pool.component) },
        "spec": spec,
    }))
}

fn pod(cluster: &ValidCluster, pool: &Pool<'_>) -> Value {
    let mut volumes = vec![
        json!({ "name": "config", "configMap": { "name": pool.config_map } }),
        json!({ "name": "admin", "secret": { "secretName": names::admin_secret(&cluster.name), "defaultMode": 0o440 } }),
    ];
    if pool.is_broker && cluster.spec.brokers.rack.is_some() {
        let field = format!("metadata.annotations['{}']", names::RACK);
        let rack = json!({ "path": "rack", "fieldRef": { "fieldPath": field } });
        volumes.push(json!({ "name": "rack", "downwardAPI": { "items": [rack] } }));
    }
    if pool.is_broker {
        let advertised = names::advertised(&cluster.name);
        volumes.push(json!({ "name": "advertised", "configMap": { "name": advertised } }));
    }
    if let Some(ephemeral) = &pool.storage.ephemeral {
        let space = ephemeral.size_limit.as_ref().map_or(json!({}), |limit| json!({ "sizeLimit": limit }));
        volumes.push(json!({ "name": "data", "emptyDir": space }));
    }
    let mut pod = json!({
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
        "topologySpreadConstraints": spread(cluster, pool),
        "containers": [container(cluster, pool)],
        "volumes": volumes,
    });
    if let Some(template) = pool.template {
        template::add(&mut pod, template);
    }
    pod
}

fn metadata(cluster: &ValidCluster, pool: &Pool<'_>) -> Value {
    let mut metadata = json!({
        "labels": names::labels_of(&cluster.name, pool.component),
        "annotations": { names::POD_HASH: pool.pod_hash },
    });
    if let Some(more) = pool.template.and_then(|template| template.metadata.as_ref()) {
        template::merge(&mut metadata, &json!(more));
    }
    metadata
}

/// One to a node, and evenly over racks, as far as that goes: a Pod that can run nowhere else still runs.
fn spread(cluster: &ValidCluster, pool: &Pool<'_>) -> Value {
    let own = json!({ "matchLabels": names::component_labels(&cluster.name, pool.component) });
    let wanted = pool.template.and_then(|template| template.topology_spread_constraints.as_ref());
    if let Some(wanted) = wanted {
        let with_selector = wanted.iter().map(|constraint| {
            let mut constraint = json!(constraint);
            if constraint.get("labelSelector").is_none() {
                constraint["labelSelector"] = own.clone();
            }
            constraint
        });
        return with_selector.collect();
    }
    let rack = cluster.spec.brokers.rack.as_ref().map(|rack| rack.topology_key.as_str());
    let keys = ["kubernetes.io/hostname"].into_iter().chain(rack);
    let over = |key: &str| json!({ "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": own });
    keys.map(over).collect()
}

fn container(cluster: &ValidCluster, pool: &Pool<'_>) -> Value {
    let port = |name: &str, port: u16| json!({ "name": name, "containerPort": port, "protocol": "TCP" });
    let mut ports = vec![port("controller", names::CONTROLLER_PORT), port("admin", names::ADMIN_PORT)];
    let mut mounts = vec![
        json!({ "name": "config", "mountPath": "/etc/taffrail/config", "readOnly": true }),
        json!({ "name": "admin", "mountPath": "/etc/taffrail/admin", "readOnly": true }),
        json!({ "name": "data", "mountPath": "/var/lib/taffrail" }),
    ];
    if pool.is_broker && cluster.spec.brokers.rack.is_some() {
        mounts.push(json!({ "name": "rack", "mountPath": "/etc/taffrail/rack", "readOnly": true }));
    }
    if pool.is_broker {
        ports.push(port("internal", names::INTER_BROKER_PORT));
        ports.extend(cluster.spec.listeners.iter().map(|listener| port(&listener.name, listener.port)));
        mounts
            .push(json!({ "name": "advertised", "mountPath": "/etc/taffrail/advertised", "readOnly": true }));
    }
    let probe = |path: &str, period: u32, failures: u32| {
        json!({
            "httpGet": { "path": path, "port": "admin" },
            "periodSeconds": period,
            "timeoutSeconds": 5,
            "failureThreshold": failures,
        })
    };
    let mut container = json!({
        "name": pool.component,
        "image": cluster.image,
        "args": ["broker", "--config", "/etc/taffrail/config/broker.yaml"],
        "env": [
            { "name": names::POD_NAME, "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
            { "name": names::POD_INDEX, "valueFrom": { "fieldRef": {
                "fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']",
            } } },
        ],
        "ports": ports,
        // Recovery of large logs comes before the first answer: ten minutes for it.
        "startupProbe": probe("/healthz", 1, 600),
        "livenessProbe": probe("/healthz", 10, 6),
        "readinessProbe": probe("/readyz", 2, 3),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": mounts,
    });
    if let Some(resources) = pool.resources {
        container["resources"] = json!(resources);
    }
    container
}
