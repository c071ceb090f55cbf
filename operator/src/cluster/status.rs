//! What is said of a cluster: pure, from what was seen and what was planned.

use std::time::Duration;

use client::node::PartitionsState;
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use resources::{
    BrokersStatus, CONTROLLERS_FROM, ControllersStatus, KafkaCluster, KafkaClusterStatus, RebalanceStatus,
    RolloutStatus, ScaleStep,
};

use super::listeners;
use super::observe::{Broker, Gate, Observed};
use super::plan::{Blocked, Plan, Step, is_approved, outdated, pod_hash};
use super::validate::ValidCluster;
use crate::conditions::{AVAILABLE, Said, merge};
use crate::names;

/// Nodes are asked this often while something is under way; Kubernetes itself is watched.
const UNDER_WAY: Duration = Duration::from_secs(1);
/// Nobody tells when that which it is stalled for is gone.
const STALLED: Duration = Duration::from_secs(10);
/// Against what no watch tells.
pub(crate) const AT_REST: Duration = Duration::from_secs(300);
/// While replicas are spread over brokers that are all there.
const REBALANCING: &str = "Rebalancing";

/// The status after a plan was made; it has no steps when there is nothing to do.
pub(crate) fn status(
    cluster: &KafkaCluster,
    outcome: Result<(&ValidCluster, &Plan), &Blocked>,
    observed: &Observed,
    now: &Time,
) -> KafkaClusterStatus {
    let before = cluster.status.clone().unwrap_or_default();
    let name = cluster.name_any();
    let nodes = || observed.nodes().filter_map(|node| node.node.as_ref().ok());
    let ready_now = observed.brokers.iter().filter(|broker| broker.is_ready()).count();
    let ready_now = i32::try_from(ready_now).unwrap_or(i32::MAX);
    let desired = cluster.spec.brokers.replicas;
    let written = outcome.ok().and_then(|(_, plan)| {
        let id = |step: &Step| match step {
            Step::WriteClusterId { cluster_id } => Some(cluster_id.clone()),
            _ => None,
        };
        plan.steps.iter().find_map(id)
    });
    let pods = observed.brokers.iter().filter(|broker| broker.pod.is_some()).count();
    let moving = observed.cluster().map(|cluster| &cluster.rebalance).filter(|rebalance| rebalance.is_active);
    KafkaClusterStatus {
        conditions: merge(&before.conditions, &said(outcome, observed), cluster.metadata.generation, now),
        observed_generation: cluster.metadata.generation,
        cluster_id: before.cluster_id.or(written),
        image: observed.image().map(str::to_owned).or(before.image),
        version: nodes()
            .find(|node| node.cluster_id.is_some())
            .map(|node| node.version.clone())
            .or(before.version),
        replicas: i32::try_from(pods).unwrap_or(i32::MAX),
        selector: Some(names::broker_selector(&name)),
        controllers: match &observed.voters {
            None => before.controllers,
            Some(voters) => {
                let mut voters: Vec<_> = voters.iter().map(|voter| voter.0).collect();
                voters.sort_unstable();
                Some(ControllersStatus { voters, leader: observed.controller() })
            }
        },
        rollout: outcome.ok().and_then(|(cluster, _)| rollout(cluster, observed)),
        rebalance: moving.map(|rebalance| RebalanceStatus {
            partitions_left: i64::try_from(rebalance.partitions_left).unwrap_or(i64::MAX),
            bytes_left: observed.bytes_left,
        }),
        brokers: Some(BrokersStatus {
            desired,
            ready: ready_now,
            summary: format!("{ready_now}/{desired}"),
            node_ids: match nodes().next() {
                None => before.brokers.map(|brokers| brokers.node_ids).unwrap_or_default(),
                Some(_) => nodes().map(|node| node.node_id).filter(|id| *id < CONTROLLERS_FROM).collect(),
            },
        }),
        listeners: match outcome {
            Ok((cluster, _)) => listeners::bootstrap(cluster, observed),
            Err(_) => before.listeners,
        },
    }
}

fn said(outcome: Result<(&ValidCluster, &Plan), &Blocked>, observed: &Observed) -> Vec<Said> {
    let available = available(observed);
    let blocked = |blocked: &Blocked, available| {
        vec![
            Said::new("Ready", false, blocked.reason, &blocked.message),
            available,
            Said::new("Reconciling", false, "Stalled", ""),
            Said::new("Stalled", true, blocked.reason, &blocked.message),
        ]
    };
    let (cluster, plan) = match outcome {
        Err(problem) | Ok((_, Plan { blocked: Some(problem), .. })) => return blocked(problem, available),
        Ok(outcome) => outcome,
    };
    let running = || Said::new("Ready", true, "Running", "every broker runs this generation and is ready");
    let waiting = waiting(cluster, plan, observed);
    let (ready, reconciling) = match &waiting {
        None => (running(), Said::new("Reconciling", false, "Done", "")),
        // The brokers are as they are to be; what is on them is still being spread.
        Some((reason, message)) if reason == REBALANCING => {
            (running(), Said::new("Reconciling", true, reason, message))
        }
        Some((reason, message)) => {
            (Said::new("Ready", false, reason, message), Said::new("Reconciling", true, reason, message))
        }
    };
    let advertised = match plan.pending.first() {
        None => Said::new("ListenersAdvertised", true, "Advertised", "clients are told every listener"),
        Some(first) => {
            let more = plan.pending.len() - 1;
            let more = if more == 0 { String::new() } else { format!(", and {more} more") };
            Said::new("ListenersAdvertised", false, "AddressPending", format!("{first}{more}"))
        }
    };
    let stalled = Said::new("Stalled", false, "NotStalled", "");
    vec![ready, available, reconciling, stalled, advertised]
}

/// Whether clients are served, wholly.
fn available(observed: &Observed) -> Said {
    let not = |reason, message| Said::new(AVAILABLE, false, reason, message);
    if !observed.brokers.iter().any(Broker::serves) {
        return match observed.brokers.first() {
            Some(Broker { node: Ok(node), .. }) => {
                not("NotServing", format!("broker {} is {}", node.node_id, node.status))
            }
            Some(Broker { node: Err(problem), id, .. }) => {
                not("Unreachable", format!("broker {id}: {problem}"))
            }
            None => not("Unreachable", "there is no broker yet".to_owned()),
        };
    }
    let cluster = observed.cluster();
    if cluster.is_some_and(|cluster| cluster.controller.is_none()) {
        return not(
            "NoController",
            "the metadata quorum has no leader: a majority of its voters has to run".to_owned(),
        );
    }
    match cluster.and_then(|cluster| cluster.partitions) {
        Some(PartitionsState { total, offline, .. }) if offline > 0 => {
            not("OfflinePartitions", format!("{offline} of {total} partitions have no leader"))
        }
        Some(PartitionsState { total, under_min_isr, .. }) if under_min_isr > 0 => not(
            "UnderMinIsr",
            format!(
                "{under_min_isr} of {total} partitions have fewer replicas in sync than min.insync.replicas"
            ),
        ),
        _ => {
            Said::new(AVAILABLE, true, "Serving", "the quorum has a leader, and every partition takes writes")
        }
    }
}

/// The Pods that have to be restarted.
fn rollout(cluster: &ValidCluster, observed: &Observed) -> Option<RolloutStatus> {
    let pending: Vec<_> = observed.nodes().filter(|node| outdated(cluster, node).is_some()).collect();
    let first = *pending.first()?;
    let name = |broker: &&Broker| names::node_pod(&cluster.name, broker.id);
    let reason = waiting_for(cluster, observed, first).map_or_else(String::new, |(_, message)| message);
    Some(RolloutStatus { revision: cluster.revision(), pending: pending.iter().map(name).collect(), reason })
}

/// The status of a cluster about which nothing is done: what was said stands, and its generation with it.
pub(crate) fn paused(cluster: &KafkaCluster, now: &Time) -> KafkaClusterStatus {
    let mut status = cluster.status.clone().unwrap_or_default();
    let said = Said::new(
        "ReconciliationPaused",
        true,
        "Annotated",
        format!("nothing is done about this cluster while it is annotated with {}", names::PAUSE),
    );
    let paused = merge(&status.conditions, &[said], status.observed_generation, now);
    status.conditions.retain(|condition| condition.type_ != "ReconciliationPaused");
    status.conditions.extend(paused);
    status
}

/// When the cluster is looked at again, if nothing is heard of it until then. What it is stalled for may go without an edit: a
/// topic that was too wide for fewer brokers gets narrower.
pub(crate) fn again(is_settled: bool, status: &KafkaClusterStatus) -> Duration {
    let is_stalled = status.conditions.iter().any(|one| one.type_ == "Stalled" && one.status == "True");
    match (is_settled, is_stalled) {
        (false, _) => UNDER_WAY,
        (true, true) => STALLED,
        (true, false) => AT_REST,
    }
}

/// What the cluster waits for, as a reason and a sentence.
fn waiting(cluster: &ValidCluster, plan: &Plan, observed: &Observed) -> Option<(String, String)> {
    // One that is down is what the others wait for.
    let (up, down): (Vec<_>, Vec<_>) = observed.nodes().partition(|node| node.is_ready());
    let broker = down.into_iter().chain(up).find_map(|broker| waiting_for(cluster, observed, broker));
    let scaling = || {
        let next = plan.scaling.as_ref()?;
        let reason = match next {
            ScaleStep::Moving { off, .. } if off.is_empty() => REBALANCING,
            _ => "Scaling",
        };
        Some((reason.to_owned(), next.to_string()))
    };
    let applying = || plan.steps.first().map(|step| ("Applying".to_owned(), step.to_string()));
    broker.or_else(scaling).or_else(applying)
}

fn waiting_for(cluster: &ValidCluster, observed: &Observed, broker: &Broker) -> Option<(String, String)> {
    let because = |reason: &str, message: String| Some((reason.to_owned(), message));
    let Some(pod) = &broker.pod else {
        let name = names::node_pod(&cluster.name, broker.id);
        return because("PodMissing", format!("Pod {name} is not there yet"));
    };
    let pod_name = pod.name_any();
    if pod.metadata.deletion_timestamp.is_some() {
        return because("Restarting", format!("Pod {pod_name} is stopping"));
    }
    if let Some((reason, message)) = trouble(pod) {
        return because(&reason, format!("Pod {pod_name}: {message}"));
    }
    if let Some(Err(problem)) = observed.racks.get(&broker.id) {
        return because("RackUnknown", format!("Pod {pod_name}: {problem}"));
    }
    if outdated(cluster, broker).is_some() {
        if !is_approved(cluster) && pod_hash(pod) != Some(cluster.pod_hash_of(broker.id)) {
            let message = format!(
                "Pod {pod_name} waits for its approval: annotate the KafkaCluster with {}={}",
                names::APPROVE,
                cluster.revision()
            );
            return because("ApprovalNeeded", message);
        }
        let message = match &broker.gate {
            Gate::Open => format!("Pod {pod_name} is restarted with the new spec"),
            Gate::Refused(why) | Gate::Silent(why) => format!("Pod {pod_name} waits for its restart: {why}"),
        };
        return because("Restarting", message);
    }
    match &broker.node {
        Err(problem) => because("Starting", format!("Pod {pod_name}: {problem}")),
        Ok(node) if node.cluster_id.is_none() => {
            because("Founding", format!("broker {} is founded", node.node_id))
        }
        Ok(node) if !broker.serves() => {
            because("Starting", format!("broker {} is {}", node.node_id, node.status))
        }
        Ok(_) if !broker.is_ready() => because("Starting", format!("Pod {pod_name} is not ready yet")),
        Ok(_) => None,
    }
}

/// What the scheduler or the kubelet says against a Pod.
fn trouble(pod: &Pod) -> Option<(String, String)> {
    let status = pod.status.as_ref()?;
    let scheduled =
        status.conditions.iter().flatten().find(|one| one.type_ == "PodScheduled" && one.status == "False");
    if let Some(condition) = scheduled {
        return Some((condition.reason.clone()?, condition.message.clone().unwrap_or_default()));
    }
    let container = status.container_statuses.as_ref()?.first()?;
    let ContainerState { waiting, .. } = container.state.as_ref()?;
    let waiting =
        waiting.as_ref().filter(|waiting| waiting.reason.as_deref() != Some("ContainerCreating"))?;
    let reason = waiting.reason.clone()?;
    Some((reason.clone(), waiting.message.clone().unwrap_or(reason)))
}

#[cfg(test)]
mod tests;
