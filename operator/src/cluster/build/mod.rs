//! From a valid cluster to the resources that make it, one file for each. Pure: the same cluster gives the same bytes.

mod budget;
mod config_map;
mod services;
mod stateful_set;

use serde_json::{Value, json};

use crate::cluster::validate::ValidCluster;
use crate::names;

/// What is applied, in this order: what a Pod mounts and resolves is there before the Pod.
pub(crate) fn build(cluster: &ValidCluster) -> Vec<Resource> {
    vec![
        config_map::build(cluster),
        services::nodes(cluster),
        services::bootstrap(cluster),
        budget::build(cluster),
        stateful_set::build(cluster),
    ]
}

/// The kinds that the operator applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    ConfigMap,
    PodDisruptionBudget,
    Service,
    StatefulSet,
}

/// A resource as it is applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resource {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) body: Value,
}

impl Kind {
    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Kind::ConfigMap | Kind::Service => "v1",
            Kind::PodDisruptionBudget => "policy/v1",
            Kind::StatefulSet => "apps/v1",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::ConfigMap => "ConfigMap",
            Kind::PodDisruptionBudget => "PodDisruptionBudget",
            Kind::Service => "Service",
            Kind::StatefulSet => "StatefulSet",
        }
    }
}

impl Resource {
    /// Adds what every child of a cluster has to `content`, and the hash of the whole.
    fn new(cluster: &ValidCluster, kind: Kind, name: String, content: Value) -> Resource {
        let mut body = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.name(),
            "metadata": {
                "name": name,
                "namespace": cluster.namespace,
                "labels": names::labels(&cluster.name),
                "ownerReferences": [owner(&cluster.name, &cluster.uid, true)],
            },
        });
        if let (Value::Object(body), Value::Object(content)) = (&mut body, content) {
            body.extend(content);
        }
        let hash = names::hash(&body.to_string());
        body["metadata"]["annotations"] = json!({ names::APPLIED_HASH: hash });
        Resource { kind, name, body }
    }
}

/// Makes Kubernetes delete a child with its cluster.
pub(crate) fn owner(name: &str, uid: &str, is_controller: bool) -> Value {
    json!({
        "apiVersion": "taffrail.dev/v1alpha1",
        "kind": "KafkaCluster",
        "name": name,
        "uid": uid,
        "controller": is_controller,
        "blockOwnerDeletion": is_controller,
    })
}

#[cfg(test)]
mod tests;
