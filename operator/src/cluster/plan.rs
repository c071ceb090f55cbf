//! From what there is and what is wanted to the steps between. Pure; a plan prints as text, which the tests compare.

use std::fmt;

use client::node::{Founding, NodeState, Voter};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use resources::{KafkaClusterStatus, WhenDeleted};
use serde_json::Value;

use super::build::{self, Kind, Resource};
use super::observe::Observed;
use super::validate::ValidCluster;
use crate::names;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Makes the Secret with a random token. It is never written again, so that a token can be rotated by hand.
    CreateSecret { name: String },
    /// Server-side apply.
    Apply(Resource),
    /// Of a configuration that no Pod uses any more.
    DeleteConfigMap { name: String },
    /// Makes a volume claim go with the cluster, or stay.
    OwnClaim { name: String, is_owned: bool },
    /// Restarts an outdated Pod, unless it changed since it was looked at.
    DeletePod { name: String, uid: String, resource_version: String },
    /// Before the cluster is founded: whatever happens then, it is founded under this id.
    WriteClusterId { cluster_id: String },
    /// Founds the cluster.
    Bootstrap(Founding),
}

/// Why the operator cannot go on without an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// The steps, in order. `new_cluster_id` is random, and taken only if the cluster has none.
pub(crate) fn plan(
    cluster: &ValidCluster,
    status: &KafkaClusterStatus,
    observed: &Observed,
    new_cluster_id: &str,
) -> Result<Vec<Step>, Blocked> {
    let mut steps = Vec::new();
    check_storage(cluster, observed)?;
    if !observed.has_secret {
        steps.push(Step::CreateSecret { name: names::admin_secret(&cluster.name) });
    }
    let wanted = build::build(cluster);
    steps.extend(wanted.into_iter().filter(|resource| differs(resource, observed)).map(Step::Apply));
    steps.extend(claims(cluster, observed));
    steps.extend(restart(cluster, observed));
    steps.extend(unused(cluster, observed));
    if let Ok(node) = &observed.node {
        steps.extend(founding(cluster, status, node, new_cluster_id)?);
    }
    Ok(steps)
}

/// Kubernetes does not let a StatefulSet's claims change.
fn check_storage(cluster: &ValidCluster, observed: &Observed) -> Result<(), Blocked> {
    let Some(spec) = observed.stateful_set.as_ref().and_then(|set| set.spec.as_ref()) else { return Ok(()) };
    let claim = spec.volume_claim_templates.as_ref().and_then(|claims| claims.first()?.spec.as_ref());
    let has = claim.map(|claim| {
        let requests = claim.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let size = requests.and_then(|requests| requests.get("storage")).map_or("", |size| size.0.as_str());
        (size.to_owned(), claim.storage_class_name.clone())
    });
    let wants = cluster.spec.brokers.storage.persistent.as_ref();
    let wants = wants.map(|volume| (volume.size.clone(), volume.storage_class.clone()));
    let is_same = match (&has, &wants) {
        (None, None) => true,
        (Some((has_size, has_class)), Some((size, class))) => {
            has_size == size && (class.is_none() || class == has_class)
        }
        (None, Some(_)) | (Some(_), None) => false,
    };
    if is_same {
        return Ok(());
    }
    let message = match has {
        None => "spec.brokers.storage: is ephemeral and cannot be changed: write ephemeral: {}".to_owned(),
        Some((size, class)) => {
            let class = class.map(|class| format!(", storageClass: {class}")).unwrap_or_default();
            format!("spec.brokers.storage: cannot be changed: write persistent: {{size: {size}{class}}}")
        }
    };
    Err(Blocked { reason: "StorageImmutable", message })
}

/// Whether a resource has to be applied: it was rendered otherwise the last time, or somebody changed a field of it.
fn differs(resource: &Resource, observed: &Observed) -> bool {
    observed.child(resource.kind, &resource.name).is_none_or(|found| !contains(found, &resource.body))
}

/// Whether all of `wanted` is in `found`, which has what Kubernetes adds besides.
fn contains(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| found.get(key).is_some_and(|found| contains(found, value)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len()
                && found.iter().zip(wanted).all(|(found, wanted)| contains(found, wanted))
        }
        // Kubernetes keeps quantities in a form of its own: 1000m comes back as 1.
        (Value::String(found), Value::String(wanted)) => {
            found == wanted || quantity(found).is_some_and(|found| Some(found) == quantity(wanted))
        }
        (found, wanted) => found == wanted,
    }
}

/// A quantity in thousandths; `None` for other text.
fn quantity(text: &str) -> Option<i128> {
    const UNITS: [(&str, i128); 13] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("Ei", 1 << 60),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("E", 1_000_000_000_000_000_000),
        ("", 1),
    ];
    if let Some(milli) = text.strip_suffix('m') {
        return milli.parse().ok();
    }
    let (number, unit) = UNITS.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = !whole.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !is_number || fraction.len() > 9 {
        return None;
    }
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    Some(digits.checked_mul(*unit)?.checked_mul(1000)? / scale)
}

fn claims(cluster: &ValidCluster, observed: &Observed) -> Vec<Step> {
    let Some(persistent) = &cluster.spec.brokers.storage.persistent else { return Vec::new() };
    let is_owned = persistent.when_deleted == WhenDeleted::Delete;
    let differs = observed
        .claims
        .iter()
        .filter(|claim| claim.owner_references().iter().any(|owner| owner.uid == cluster.uid) != is_owned);
    differs.map(|claim| Step::OwnClaim { name: claim.name_any(), is_owned }).collect()
}

/// Deletes a Pod that was made from something else, once its StatefulSet would make the right one.
fn restart(cluster: &ValidCluster, observed: &Observed) -> Option<Step> {
    let pod = observed.pod.as_ref()?;
    if pod_hash(pod) == Some(&cluster.pod_hash) || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let set = observed.stateful_set.as_ref()?;
    let template = set.spec.as_ref()?.template.metadata.as_ref()?.annotations.as_ref()?;
    let is_seen = set.status.as_ref()?.observed_generation == set.metadata.generation;
    let is_next = template.get(names::POD_HASH) == Some(&cluster.pod_hash) && is_seen;
    is_next.then(|| Step::DeletePod {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        resource_version: pod.resource_version().unwrap_or_default(),
    })
}

/// What a Pod was made from.
pub(crate) fn pod_hash(pod: &Pod) -> Option<&String> {
    pod.annotations().get(names::POD_HASH)
}

/// Old configurations go when the Pod runs with the new one, so that a restart by Kubernetes always finds its own.
fn unused(cluster: &ValidCluster, observed: &Observed) -> Vec<Step> {
    if observed.pod.as_ref().and_then(pod_hash) != Some(&cluster.pod_hash) {
        return Vec::new();
    }
    let prefix = format!("{}-config-", cluster.name);
    let old =
        observed.config_maps.iter().filter(|name| name.starts_with(&prefix) && **name != cluster.config_map);
    old.map(|name| Step::DeleteConfigMap { name: name.clone() }).collect()
}

/// A node never founds a cluster by itself, and the operator never founds one twice: a volume that came back empty must
/// not become a second cluster under the old name.
fn founding(
    cluster: &ValidCluster,
    status: &KafkaClusterStatus,
    node: &NodeState,
    new_cluster_id: &str,
) -> Result<Vec<Step>, Blocked> {
    let known = status.cluster_id.as_deref().filter(|id| !id.is_empty());
    match (&node.cluster_id, known) {
        (Some(has), Some(known)) if has == known => Ok(Vec::new()),
        (Some(has), Some(known)) => {
            let message = format!("broker {} belongs to cluster {has}, not to {known}", node.node_id);
            Err(Blocked { reason: "ClusterIdConflict", message })
        }
        // A volume of a cluster that was deleted and made again.
        (Some(has), None) => Ok(vec![Step::WriteClusterId { cluster_id: has.clone() }]),
        (None, Some(known)) => {
            let was_founded = status.version.is_some();
            if was_founded && cluster.spec.brokers.storage.ephemeral.is_none() {
                let message = format!(
                    "the volume of broker {} is empty, but cluster {known} was founded: restore it, or delete the \
                     KafkaCluster and create it again",
                    node.node_id
                );
                return Err(Blocked { reason: "DataLost", message });
            }
            Ok(vec![bootstrap(known, node)])
        }
        (None, None) => Ok(vec![
            Step::WriteClusterId { cluster_id: new_cluster_id.to_owned() },
            bootstrap(new_cluster_id, node),
        ]),
    }
}

fn bootstrap(cluster_id: &str, node: &NodeState) -> Step {
    let voter = Voter { id: node.node_id, directory_id: node.directory_id.clone() };
    Step::Bootstrap(Founding { cluster_id: cluster_id.to_owned(), voters: vec![voter] })
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::CreateSecret { name } => write!(f, "create Secret {name}"),
            Step::Apply(Resource { kind, name, .. }) => write!(f, "apply {} {name}", Kind::name(*kind)),
            Step::DeleteConfigMap { name } => write!(f, "delete ConfigMap {name}"),
            Step::OwnClaim { name, is_owned: true } => write!(f, "own PersistentVolumeClaim {name}"),
            Step::OwnClaim { name, is_owned: false } => write!(f, "disown PersistentVolumeClaim {name}"),
            Step::DeletePod { name, .. } => write!(f, "delete Pod {name}"),
            Step::WriteClusterId { cluster_id } => write!(f, "write cluster id {cluster_id}"),
            Step::Bootstrap(founding) => {
                let voters: Vec<_> = founding.voters.iter().map(|voter| voter.id.to_string()).collect();
                write!(f, "found cluster {} with voters {}", founding.cluster_id, voters.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests;
