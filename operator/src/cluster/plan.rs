//! From what there is and what is wanted to the steps between. Pure; a plan prints as text, which the tests compare.

mod roll;
mod scale;

use std::fmt;

use client::node::{Founding, NodeState, Voter};
use kube::ResourceExt;
use resources::{KafkaClusterStatus, ScaleStep, VolumePolicy, voters};
use serde_json::Value;
use types::Uuid;

use super::build::{self, Kind, Moment, Resource};
use super::observe::{Broker, Observed};
use super::validate::ValidCluster;
use crate::names;

pub(crate) use roll::{is_approved, outdated, pod_hash};

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
    /// Of a broker that was removed.
    DeleteClaim { name: String, uid: String },
    /// Grants a broker its restart: others lead what it led.
    Drain { id: i32, seconds: u32 },
    /// Restarts an outdated Pod, unless it changed since it was looked at.
    DeletePod { name: String, uid: String, resource_version: String, because: &'static str },
    /// These brokers, and no others, get nothing new.
    Cordon { ids: Vec<i32> },
    /// Moves replicas off cordoned brokers and spreads them over the others.
    Rebalance { bytes_per_second: Option<i64> },
    /// Gives a node with this directory a vote in the metadata quorum.
    AddVoter { id: i32, directory: Uuid, host: String },
    /// Takes the vote away.
    RemoveVoter { id: i32, directory: Uuid },
    /// Makes the cluster forget a broker that is gone.
    Unregister { id: i32 },
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

/// What to do, and what is on its way.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    /// Why not everything that is wanted can be done; what the steps say is done all the same.
    pub(crate) blocked: Option<Blocked>,
    /// Where the number of brokers is on its way to what it is to be.
    pub(crate) scaling: Option<ScaleStep>,
}

/// The steps, in order. `new_cluster_id` is random, and taken only if the cluster has none.
pub(crate) fn plan(
    cluster: &ValidCluster,
    status: &KafkaClusterStatus,
    observed: &Observed,
    new_cluster_id: &str,
) -> Result<Plan, Blocked> {
    let mut steps = Vec::new();
    check_storage(cluster, observed)?;
    let founding = founding(cluster, status, observed, new_cluster_id)?;
    if !observed.has_secret {
        steps.push(Step::CreateSecret { name: names::admin_secret(&cluster.name) });
    }
    let scaling = scale::next(cluster, observed);
    let mut moment = scale::moment(cluster, observed, scaling.as_ref());
    let restart = roll::restart(cluster, observed);
    moment.is_closed |= matches!(restart[..], [Step::Drain { .. }]);
    let wanted = build::build(cluster, moment);
    steps.extend(wanted.into_iter().filter(|resource| differs(resource, observed)).map(Step::Apply));
    steps.extend(claims(cluster, observed));
    steps.extend(scale::surplus_claims(cluster, observed));
    steps.extend(restart);
    steps.extend(unused(cluster, observed));
    steps.extend(founding);
    // What the brokers may refuse comes last, so that it holds up nothing else.
    if let Some(step) = scaling.as_ref().and_then(|next| scale::step(cluster, observed, next)) {
        let spreads = matches!(step, Step::Rebalance { .. }) && moment.spread < cluster.spec.brokers.replicas;
        steps.push(step);
        if spreads && moment.replicas == cluster.spec.brokers.replicas {
            // Noted once the brokers have the order: it is theirs to finish.
            let spread = Moment { spread: moment.replicas, ..moment };
            steps.push(Step::Apply(build::stateful_set(cluster, spread)));
        }
    }
    let blocked = scaling.as_ref().and_then(|next| match next {
        ScaleStep::Blocked(problem) => Some(format!("spec.brokers.replicas: {problem}")),
        _ => None,
    });
    let blocked = blocked.map(|message| Blocked { reason: "ScaleDownBlocked", message });
    Ok(Plan { steps, blocked, scaling: scaling.filter(|next| *next != ScaleStep::Done) })
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
    let is_owned = persistent.when_deleted == VolumePolicy::Delete;
    let differs = observed
        .claims
        .iter()
        .filter(|claim| claim.owner_references().iter().any(|owner| owner.uid == cluster.uid) != is_owned);
    differs.map(|claim| Step::OwnClaim { name: claim.name_any(), is_owned }).collect()
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
            Step::DeleteClaim { name, .. } => write!(f, "delete PersistentVolumeClaim {name}"),
            Step::Drain { id, .. } => write!(f, "drain broker {id}"),
            Step::DeletePod { name, because, .. } => write!(f, "delete Pod {name}: {because}"),
            Step::Cordon { ids } => write!(f, "{}", ScaleStep::Cordon(ids.clone())),
            Step::Rebalance { bytes_per_second: None } => write!(f, "rebalance"),
            Step::Rebalance { bytes_per_second: Some(rate) } => write!(f, "rebalance, {rate} bytes a second"),
            Step::AddVoter { id, .. } => write!(f, "add voter {id}"),
            Step::RemoveVoter { id, .. } => write!(f, "remove voter {id}"),
            Step::Unregister { id } => write!(f, "unregister broker {id}"),
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
