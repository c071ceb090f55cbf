//! From what there is and what is wanted to the steps between. Pure; a plan prints as text, which the tests compare.

mod roll;
mod scale;
mod volumes;

use std::fmt;

use client::node::{Founding, NodeState, Voter};
use kube::ResourceExt;
use resources::{CONTROLLERS_FROM, KafkaClusterStatus, ScaleStep};
use serde_json::Value;
use types::Uuid;

use super::build::{self, Kind, Moment, Resource};
use super::listeners::{self, Told};
use super::observe::{Broker, Observed};
use super::validate::ValidCluster;
use crate::names;
use crate::quantity::quantity;

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
    /// Of a listener or a broker that is no more.
    DeleteService { name: String },
    /// Has Kubernetes renew at once what a Pod's broker tells clients.
    Announce { pod: String, hash: String },
    /// Makes a volume claim go with the cluster, or stay.
    OwnClaim { name: String, is_owned: bool },
    /// A volume gets larger.
    GrowClaim { name: String, size: String },
    /// Without its Pods: another one takes them over.
    DeleteStatefulSet { name: String, uid: String },
    /// Of a broker that was removed.
    DeleteClaim { name: String, uid: String },
    /// Grants a broker its restart: others lead what it led.
    Drain { id: i32, seconds: u32 },
    /// Tells a broker where it stands, before it registers.
    PlaceInRack { pod: String, rack: String },
    /// Nothing is done but that the budget closes: the restart of a controller comes after that.
    AwaitBudget { id: i32 },
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
    /// What clients cannot be told yet, in sentences.
    pub(crate) pending: Vec<String>,
}

/// The steps, in order. `new_cluster_id` is random, and taken only if the cluster has none.
pub(crate) fn plan(
    cluster: &ValidCluster,
    status: &KafkaClusterStatus,
    observed: &Observed,
    new_cluster_id: &str,
) -> Result<Plan, Blocked> {
    let mut steps = Vec::new();
    volumes::check(cluster, observed)?;
    let founding = founding(cluster, status, observed, new_cluster_id)?;
    if !observed.has_secret {
        steps.push(Step::CreateSecret { name: names::admin_secret(&cluster.name) });
    }
    let scaling = scale::next(cluster, observed);
    let mut moment = scale::moment(cluster, observed, scaling.as_ref());
    let restart = roll::restart(cluster, observed);
    moment.is_closed |= restarts_controller(cluster, &restart) || matches!(restart[..], [Step::Drain { .. }]);
    let told = listeners::told(cluster, observed, moment.replicas);
    let (held, replaced) = volumes::replaced_sets(cluster, observed);
    let mut wanted = build::build(cluster, moment, &told);
    wanted.retain(|resource| resource.kind != Kind::StatefulSet || !held.contains(&resource.name));
    steps.extend(unwanted_services(&wanted, observed));
    steps.extend(announcements(&wanted, &told, observed));
    steps.extend(wanted.into_iter().filter(|resource| differs(resource, observed)).map(Step::Apply));
    steps.extend(placements(observed));
    steps.extend(volumes::owned(cluster, observed));
    steps.extend(replaced);
    steps.extend(scale::surplus_claims(cluster, observed));
    steps.extend(restart.into_iter().filter(|step| !matches!(step, Step::AwaitBudget { .. })));
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
    // Nor does a volume whose class does not let it grow.
    steps.extend(volumes::grown(cluster, observed));
    let blocked = blocked(scaling.as_ref(), observed);
    let scaling = scaling.filter(|next| *next != ScaleStep::Done);
    Ok(Plan { steps, blocked, scaling, pending: told.pending })
}

/// What cannot be done although all else is.
fn blocked(scaling: Option<&ScaleStep>, observed: &Observed) -> Option<Blocked> {
    if let Some(ScaleStep::Blocked(problem)) = scaling {
        let message = format!("spec.brokers.replicas: {problem}");
        return Some(Blocked { reason: "ScaleDownBlocked", message });
    }
    let why = observed.unreadable_namespaces.as_ref()?;
    let message = format!("spec.topicNamespaces.selector: {why}; or write from: Names");
    Some(Blocked { reason: "NamespacesUnreadable", message })
}

/// Whether a controller of its own is about to go, or going: then nobody else may.
fn restarts_controller(cluster: &ValidCluster, restart: &[Step]) -> bool {
    let is_controller = |name| names::node_of(&cluster.name, name).is_some_and(|id| id >= CONTROLLERS_FROM);
    restart.iter().any(|step| match step {
        Step::AwaitBudget { .. } => true,
        Step::DeletePod { name, .. } => is_controller(name),
        _ => false,
    })
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

/// Old configurations go when all Pods run with the new one, so that a restart by Kubernetes always finds its own.
fn unused(cluster: &ValidCluster, observed: &Observed) -> Vec<Step> {
    let is_current =
        |node: &Broker| node.pod.as_ref().and_then(pod_hash) == Some(cluster.pod_hash_of(node.id));
    if observed.brokers.is_empty() || !observed.nodes().all(is_current) {
        return Vec::new();
    }
    let prefix = format!("{}-config-", cluster.name);
    let is_used = |name: &String| {
        *name == cluster.config_map || cluster.controllers.as_ref().is_some_and(|one| one.config_map == *name)
    };
    let old = observed.config_maps.iter().filter(|name| name.starts_with(&prefix) && !is_used(name));
    old.map(|name| Step::DeleteConfigMap { name: name.clone() }).collect()
}

fn unwanted_services(wanted: &[Resource], observed: &Observed) -> Vec<Step> {
    let services = observed.children.iter().filter(|child| child.kind == Kind::Service);
    let is_wanted = |name: &str| wanted.iter().any(|one| one.kind == Kind::Service && one.name == name);
    let unwanted = services.filter(|child| !is_wanted(&child.name));
    unwanted.map(|child| Step::DeleteService { name: child.name.clone() }).collect()
}

/// Once Kubernetes has the addresses it can renew the files with them.
fn announcements(wanted: &[Resource], told: &Told, observed: &Observed) -> Vec<Step> {
    if wanted.iter().any(|one| one.kind == Kind::ConfigMap && differs(one, observed)) {
        return Vec::new();
    }
    let pods = listeners::unannounced(told, observed).into_iter();
    pods.map(|(pod, hash)| Step::Announce { pod, hash }).collect()
}

fn placements(observed: &Observed) -> Vec<Step> {
    let place = |broker: &Broker| {
        let rack = observed.racks.get(&broker.id)?.as_ref().ok()?.clone();
        let pod = broker.pod.as_ref().filter(|pod| pod.metadata.deletion_timestamp.is_none())?;
        Some(Step::PlaceInRack { pod: pod.name_any(), rack })
    };
    observed.brokers.iter().filter_map(place).collect()
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
    let nodes = || observed.nodes().filter_map(|node| node.node.as_ref().ok());
    let mut members = nodes().filter_map(|node| Some((node.node_id, node.cluster_id.as_deref()?))).peekable();
    if let Some((_, first)) = members.peek().copied() {
        let expected = known.unwrap_or(first);
        if let Some((node, has)) = members.find(|(_, has)| *has != expected) {
            let message = format!("node {node} belongs to cluster {has}, not to {expected}");
            return Err(Blocked { reason: "ClusterIdConflict", message });
        }
        // Volumes of a cluster that was deleted and made again.
        let adopted = known.is_none().then(|| Step::WriteClusterId { cluster_id: first.to_owned() });
        return Ok(adopted.into_iter().collect());
    }
    // Only together can the voters say that there is no cluster.
    let first = cluster.first_voters();
    let asked = observed.nodes().filter(|node| first.contains(&node.id));
    let Ok(states) = asked.map(|broker| broker.node.as_ref()).collect::<Result<Vec<_>, _>>() else {
        return Ok(Vec::new());
    };
    if states.len() < first.len() {
        return Ok(Vec::new());
    }
    let voter = |node: &&NodeState| Voter { id: node.node_id, directory_id: node.directory_id.clone() };
    let voters: Vec<_> = states.iter().map(voter).collect();
    let bootstrap = |id: &str| Step::Bootstrap(Founding { cluster_id: id.to_owned(), voters });
    match known {
        Some(known) if status.version.is_some() && !cluster.is_ephemeral() => {
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
            Step::DeleteService { name } => write!(f, "delete Service {name}"),
            Step::Announce { pod, .. } => write!(f, "announce addresses to Pod {pod}"),
            Step::OwnClaim { name, is_owned: true } => write!(f, "own PersistentVolumeClaim {name}"),
            Step::OwnClaim { name, is_owned: false } => write!(f, "disown PersistentVolumeClaim {name}"),
            Step::GrowClaim { name, size } => write!(f, "grow PersistentVolumeClaim {name} to {size}"),
            Step::DeleteStatefulSet { name, .. } => {
                write!(f, "delete StatefulSet {name}, and keep its Pods")
            }
            Step::DeleteClaim { name, .. } => write!(f, "delete PersistentVolumeClaim {name}"),
            Step::Drain { id, .. } => write!(f, "drain broker {id}"),
            Step::PlaceInRack { pod, rack } => write!(f, "tell Pod {pod} its rack {rack}"),
            Step::AwaitBudget { id } => write!(f, "close the budget for controller {id}"),
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
