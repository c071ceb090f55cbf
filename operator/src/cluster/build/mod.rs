//! From a valid cluster to the resources that make it, one file for each. Pure: the same cluster gives the same bytes.

mod budget;
mod config_map;
mod services;
mod stateful_set;
mod template;

use serde_json::{Value, json};

use crate::cluster::listeners::Told;
use crate::cluster::validate::ValidCluster;
use crate::names;

/// What the spec alone does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// How many brokers there are for now: one that goes is kept until it is empty.
    pub(crate) replicas: i32,
    /// How many dedicated controllers there are for now: one that goes is kept while it has a vote.
    pub(crate) controllers: i32,
    /// Over how many of the brokers replicas are spread.
    pub(crate) spread: i32,
    /// Whether nobody may evict a Pod.
    pub(crate) is_closed: bool,
}

/// What is applied, in this order: what a Pod mounts and resolves is there before the Pod.
pub(crate) fn build(cluster: &ValidCluster, moment: Moment, told: &Told) -> Vec<Resource> {
    let mut all = config_map::build(cluster);
    all.extend([config_map::advertised(cluster, told), services::nodes(cluster)]);
    all.extend(services::bootstrap(cluster));
    all.extend(services::brokers(cluster, moment));
    all.push(budget::build(cluster, moment));
    // Controllers before brokers, which find nobody without them.
    all.extend(stateful_set::controllers(cluster, moment));
    all.push(stateful_set(cluster, moment));
    all
}

/// The StatefulSet of the brokers.
pub(crate) fn stateful_set(cluster: &ValidCluster, moment: Moment) -> Resource {
    stateful_set::brokers(cluster, moment)
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
        let resource = Resource { kind, name, body };
        let hash = names::hash(&resource.body.to_string());
        resource.annotated(names::APPLIED_HASH, &hash)
    }

    fn annotated(mut self, key: &str, value: &str) -> Resource {
        self.body["metadata"]["annotations"][key] = json!(value);
        self
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
