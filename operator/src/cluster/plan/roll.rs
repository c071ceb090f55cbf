//! Restarts: one Pod after the other, and only while the cluster can bear it. Before a Pod is deleted its broker is granted a
//! restart, so that others lead what it led, and nobody else may evict a Pod.

use std::cmp::Reverse;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::SignedDuration;
use kube::ResourceExt;
use resources::{Approval, CONTROLLERS_FROM};
use serde_json::Value;

use super::Step;
use crate::cluster::build::Kind;
use crate::cluster::observe::{Broker, Gate, Observed, runs};
use crate::cluster::validate::ValidCluster;
use crate::names;

/// A grant is for one restart: long enough for a Pod to be made again, and leaders go back if it never happens.
const GRANT_SECONDS: u32 = 120;
/// A grant with less than that left is asked for again.
const GRANT_LEFT_MS: i64 = 30_000;
/// A container that runs and says nothing for so long does not serve.
const SILENCE: SignedDuration = SignedDuration::from_secs(30);

/// The next step of a restart: the Pods whose process does not serve come first, and the active controller last.
pub(super) fn restart(cluster: &ValidCluster, observed: &Observed) -> Vec<Step> {
    let Some((broker, step)) = next(cluster, observed) else { return Vec::new() };
    if !matches!(step, Step::DeletePod { .. }) {
        return vec![step];
    }
    match replaced(cluster, observed, broker) {
        Ok(claim) => claim.into_iter().chain([step]).collect(),
        Err(()) => Vec::new(),
    }
}

fn next<'a>(cluster: &ValidCluster, observed: &'a Observed) -> Option<(&'a Broker, Step)> {
    let mut firsts = observed.brokers.first().into_iter().chain(observed.controllers.first());
    if !firsts.all(|first| would_be_right(cluster, observed, first.id).unwrap_or(false)) {
        return None;
    }
    let is_going =
        |broker: &Broker| broker.pod.as_ref().is_none_or(|pod| pod.metadata.deletion_timestamp.is_some());
    if observed.nodes().any(is_going) {
        return None;
    }
    let pending = observed.nodes().filter(|broker| outdated(cluster, broker).is_some());
    // A grant is used before another one is asked for.
    let order = |broker: &&Broker| {
        let is_controller = observed.controller() == Some(broker.id);
        (
            may_at_once(broker, observed).is_none(),
            !is_granted(broker.id, observed),
            // Controllers of their own go before brokers, and the active one last among its like.
            broker.id < CONTROLLERS_FROM,
            is_controller,
            Reverse(broker.id),
        )
    };
    // One that holds the last replica of something is not replaced, and holds up no other.
    let may_go = |broker: &&Broker| replaced(cluster, observed, broker).is_ok();
    let broker = pending.filter(may_go).min_by_key(order)?;
    let pod = broker.pod.as_ref()?;
    let delete = |because: &'static str| Step::DeletePod {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        resource_version: pod.resource_version().unwrap_or_default(),
        because,
    };
    if let Some(because) = may_at_once(broker, observed) {
        return Some((broker, delete(because)));
    }
    if !is_approved(cluster) && pod_hash(pod) != Some(cluster.pod_hash_of(broker.id)) {
        return None;
    }
    let others_serve = observed.nodes().all(|other| other.id == broker.id || other.is_ready());
    if !others_serve || broker.gate != Gate::Open {
        return None;
    }
    // Who leads no partition has nothing to hand over; closing the budget is enough.
    if broker.id >= CONTROLLERS_FROM {
        let because = outdated(cluster, broker)?;
        let step = match is_closed_in_effect(cluster, observed) {
            true => delete(because),
            false => Step::AwaitBudget { id: broker.id },
        };
        return Some((broker, step));
    }
    if !is_granted(broker.id, observed) {
        return Some((broker, Step::Drain { id: broker.id, seconds: GRANT_SECONDS }));
    }
    let because = outdated(cluster, broker)?;
    is_closed_in_effect(cluster, observed).then(|| (broker, delete(because)))
}

/// Whether the StatefulSet would make a node's Pod as it is to be, and Kubernetes has seen that.
fn would_be_right(cluster: &ValidCluster, observed: &Observed, id: i32) -> Option<bool> {
    let set = observed.set_of(id)?;
    let template = set.spec.as_ref()?.template.metadata.as_ref()?.annotations.as_ref()?;
    let is_seen = set.status.as_ref()?.observed_generation == set.metadata.generation;
    let is_new = template.get(names::POD_HASH) == Some(cluster.pod_hash_of(id));
    Some(set.metadata.deletion_timestamp.is_none() && is_seen && is_new)
}

/// Why a Pod has to be restarted, if it has to.
pub(crate) fn outdated(cluster: &ValidCluster, broker: &Broker) -> Option<&'static str> {
    let pod = broker.pod.as_ref()?;
    if pod_hash(pod) != Some(cluster.pod_hash_of(broker.id)) {
        return Some("its image, configuration, resources or template changed");
    }
    if pod.annotations().contains_key(names::REPLACE) {
        return Some("it is annotated taffrail.dev/delete-pod-and-pvc");
    }
    pod.annotations().contains_key(names::RESTART).then_some("it is annotated taffrail.dev/restart")
}

/// Whether Pods that run may be restarted for this revision.
pub(crate) fn is_approved(cluster: &ValidCluster) -> bool {
    match cluster.spec.rollout.approval {
        Approval::Auto => true,
        Approval::Manual => cluster.approved.as_ref() == Some(&cluster.revision()),
    }
}

/// The volume of a Pod that is to be replaced goes with it: unless it has the only replica in sync of something.
fn replaced(cluster: &ValidCluster, observed: &Observed, broker: &Broker) -> Result<Option<Step>, ()> {
    let is_asked = broker.pod.as_ref().is_some_and(|pod| pod.annotations().contains_key(names::REPLACE));
    if !is_asked {
        return Ok(None);
    }
    if observed.irreplaceable.contains_key(&broker.id) {
        return Err(());
    }
    let name = names::claim(&cluster.name, broker.id);
    let claim = observed.claims.iter().find(|claim| claim.name_any() == name);
    let claim = claim.filter(|claim| claim.metadata.deletion_timestamp.is_none());
    Ok(claim.map(|claim| Step::DeleteClaim { name, uid: claim.uid().unwrap_or_default() }))
}

/// Whether nobody else may take a Pod away now: the cluster could not bear it, or one is being restarted.
pub(super) fn is_closed(observed: &Observed) -> bool {
    let is_granted = observed.cluster().is_some_and(|cluster| cluster.drain.is_some());
    let is_refused = |broker: &Broker| broker.is_ready() && matches!(broker.gate, Gate::Refused(_));
    is_granted || observed.nodes().any(is_refused)
}

/// Why a Pod need not ask: its process serves nobody.
fn may_at_once(broker: &Broker, observed: &Observed) -> Option<&'static str> {
    let pod = broker.pod.as_ref()?;
    if !runs(pod) {
        return Some("it does not run");
    }
    match &broker.node {
        Ok(node) if node.cluster_id.is_none() => Some("it belongs to no cluster yet"),
        Ok(_) if matches!(broker.gate, Gate::Silent(_)) && has_been_unready(pod, observed) => {
            Some("it has not been ready for a while, and there is nobody to ask")
        }
        Ok(_) => None,
        Err(_) => has_been_unready(pod, observed).then_some("it has not answered for a while"),
    }
}

fn has_been_unready(pod: &Pod, observed: &Observed) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.and_then(|all| all.iter().find(|one| one.type_ == "Ready"));
    let since =
        ready.filter(|ready| ready.status != "True").and_then(|ready| ready.last_transition_time.as_ref());
    since.is_some_and(|since| observed.now.duration_since(since.0) >= SILENCE)
}

fn is_granted(id: i32, observed: &Observed) -> bool {
    let grant = observed.cluster().and_then(|cluster| cluster.drain);
    grant.is_some_and(|grant| {
        grant.node == id && grant.until_ms - observed.now.as_millisecond() > GRANT_LEFT_MS
    })
}

/// Whether Kubernetes goes by a closed budget already.
fn is_closed_in_effect(cluster: &ValidCluster, observed: &Observed) -> bool {
    let Some(budget) = observed.child(Kind::PodDisruptionBudget, &cluster.name) else { return false };
    let at = |path: &str| budget.pointer(path).and_then(Value::as_i64);
    at("/spec/maxUnavailable") == Some(0) && at("/status/observedGeneration") == at("/metadata/generation")
}

/// What a Pod was made from.
pub(crate) fn pod_hash(pod: &Pod) -> Option<&String> {
    pod.annotations().get(names::POD_HASH)
}
