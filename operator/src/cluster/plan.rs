//! From what there is and what is wanted to the steps between. Pure; a plan prints as text, which the tests compare.

use std::fmt;

use client::node::{Founding, NodeState, Voter};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use resources::{KafkaClusterStatus, WhenDeleted, voters};
use serde_json::Value;

use super::build::{self, Kind, Resource};
use super::observe::{Broker, Observed};
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
    check_scale(cluster, observed)?;
    if !observed.has_secret {
        steps.push(Step::CreateSecret { name: names::admin_secret(&cluster.name) });
    }
    let wanted = build::build(cluster);
    steps.extend(wanted.into_iter().filter(|resource| differs(resource, observed)).map(Step::Apply));
    steps.extend(claims(cluster, observed));
    steps.extend(restart(cluster, observed));
    steps.extend(unused(cluster, observed));
    steps.extend(founding(cluster, status, observed, new_cluster_id)?);
    Ok(steps)
}

/// A broker that goes takes its replicas with it.
fn check_scale(cluster: &ValidCluster, observed: &Observed) -> Result<(), Blocked> {
    let has = observed.stateful_set.as_ref().and_then(|set| set.spec.as_ref()?.replicas).unwrap_or(0);
    if cluster.spec.brokers.replicas >= has {
        return Ok(());
    }
    let message = format!("spec.brokers.replicas: the operator does not remove brokers yet: write {has}");
    Err(Blocked { reason: "ScaleDownBlocked", message })
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

/// Deletes a Pod that was made from something else, once its StatefulSet would make the right one: one Pod at a time, first
/// those that do not serve anyway, and others only while the cluster can bear it.
fn restart(cluster: &ValidCluster, observed: &Observed) -> Option<Step> {
    let set = observed.stateful_set.as_ref()?;
    let template = set.spec.as_ref()?.template.metadata.as_ref()?.annotations.as_ref()?;
    let is_seen = set.status.as_ref()?.observed_generation == set.metadata.generation;
    if template.get(names::POD_HASH) != Some(&cluster.pod_hash) || !is_seen {
        return None;
    }
    let is_going =
        |broker: &Broker| broker.pod.as_ref().is_none_or(|pod| pod.metadata.deletion_timestamp.is_some());
    if observed.brokers.iter().any(is_going) {
        return None;
    }
    let is_outdated =
        |broker: &&Broker| broker.pod.as_ref().is_some_and(|pod| pod_hash(pod) != Some(&cluster.pod_hash));
    let outdated = observed.brokers.iter().filter(is_outdated);
    let broker = outdated.min_by_key(|broker| (broker.serves(), std::cmp::Reverse(broker.id)))?;
    let others_serve = observed.brokers.iter().all(|other| other.id == broker.id || other.is_ready());
    let may = !broker.serves() || (others_serve && broker.restart_refusal.is_none());
    let pod = broker.pod.as_ref().filter(|_| may)?;
    Some(Step::DeletePod {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        resource_version: pod.resource_version().unwrap_or_default(),
    })
}

/// What a Pod was made from.
pub(crate) fn pod_hash(pod: &Pod) -> Option<&String> {
    pod.annotations().get(names::POD_HASH)
}

/// Old configurations go when all Pods run with the new one, so that a restart by Kubernetes always finds its own.
fn unused(cluster: &ValidCluster, observed: &Observed) -> Vec<Step> {
    let is_current = |broker: &Broker| broker.pod.as_ref().and_then(pod_hash) == Some(&cluster.pod_hash);
    if observed.brokers.is_empty() || !observed.brokers.iter().all(is_current) {
        return Vec::new();
    }
    let prefix = format!("{}-config-", cluster.name);
    let old =
        observed.config_maps.iter().filter(|name| name.starts_with(&prefix) && **name != cluster.config_map);
    old.map(|name| Step::DeleteConfigMap { name: name.clone() }).collect()
}

/// A node never founds a cluster by itself, and the operator never founds one twice: volumes that came back empty must
/// not become a second cluster under the old name.
fn founding(
    cluster: &ValidCluster,
    status: &KafkaClusterStatus,
    observed: &Observed,
    new_cluster_id: &str,
) -> Result<Vec<Step>, Blocked> {
    let known = status.cluster_id.as_deref().filter(|id| !id.is_empty());
    let nodes = || observed.brokers.iter().filter_map(|broker| broker.node.as_ref().ok());
    let mut members = nodes().filter_map(|node| Some((node.node_id, node.cluster_id.as_deref()?))).peekable();
    if let Some((_, first)) = members.peek().copied() {
        let expected = known.unwrap_or(first);
        if let Some((node, has)) = members.find(|(_, has)| *has != expected) {
            let message = format!("broker {node} belongs to cluster {has}, not to {expected}");
            return Err(Blocked { reason: "ClusterIdConflict", message });
        }
        // Volumes of a cluster that was deleted and made again.
        let adopted = known.is_none().then(|| Step::WriteClusterId { cluster_id: first.to_owned() });
        return Ok(adopted.into_iter().collect());
    }
    // Only together can the voters say that there is no cluster.
    let count = usize::try_from(voters(cluster.spec.brokers.replicas)).unwrap_or(0);
    let asked = observed.brokers.iter().take(count);
    let Ok(states) = asked.map(|broker| broker.node.as_ref()).collect::<Result<Vec<_>, _>>() else {
        return Ok(Vec::new());
    };
    let voter = |node: &&NodeState| Voter { id: node.node_id, directory_id: node.directory_id.clone() };
    let voters: Vec<_> = states.iter().map(voter).collect();
    let bootstrap = |id: &str| Step::Bootstrap(Founding { cluster_id: id.to_owned(), voters });
    match known {
        Some(known) if status.version.is_some() && cluster.spec.brokers.storage.ephemeral.is_none() => {
            let message = format!(
                "the volumes of all voters are empty, but cluster {known} was founded: restore them, or delete the \
                 KafkaCluster and create it again"
            );
            Err(Blocked { reason: "DataLost", message })
        }
        Some(known) => Ok(vec![bootstrap(known)]),
        None => Ok(vec![
            Step::WriteClusterId { cluster_id: new_cluster_id.to_owned() },
            bootstrap(new_cluster_id),
        ]),
    }
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
