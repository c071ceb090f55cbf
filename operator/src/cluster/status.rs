//! What is said of a cluster: pure, from what was seen and what was planned.

use k8s_openapi::api::core::v1::{ContainerState, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use resources::{BrokersStatus, KafkaCluster, KafkaClusterStatus, ListenerStatus};

use super::observe::Observed;
use super::plan::{Blocked, Step, pod_hash};
use super::validate::ValidCluster;
use crate::conditions::{Said, merge};
use crate::names;

/// The status after a plan was made; `plan` is empty when there is nothing to do.
pub(crate) fn status(
    cluster: &KafkaCluster,
    outcome: Result<(&ValidCluster, &[Step]), &Blocked>,
    observed: &Observed,
    now: &Time,
) -> KafkaClusterStatus {
    let before = cluster.status.clone().unwrap_or_default();
    let name = cluster.name_any();
    let namespace = cluster.namespace().unwrap_or_default();
    let node = observed.node.as_ref().ok();
    let ready_now = i32::from(is_ready(observed));
    let desired = cluster.spec.brokers.replicas;
    let written = outcome.ok().and_then(|(_, steps)| {
        steps.iter().find_map(|step| match step {
            Step::WriteClusterId { cluster_id } => Some(cluster_id.clone()),
            Step::CreateSecret { .. }
            | Step::Apply(_)
            | Step::DeleteConfigMap { .. }
            | Step::OwnClaim { .. }
            | Step::DeletePod { .. }
            | Step::Bootstrap(_) => None,
        })
    });
    KafkaClusterStatus {
        conditions: merge(&before.conditions, &said(outcome, observed), cluster.metadata.generation, now),
        observed_generation: cluster.metadata.generation,
        cluster_id: before.cluster_id.or(written),
        image: observed.image().map(str::to_owned).or(before.image),
        version: node
            .filter(|node| node.cluster_id.is_some())
            .map(|node| node.version.clone())
            .or(before.version),
        brokers: Some(BrokersStatus {
            desired,
            ready: ready_now,
            summary: format!("{ready_now}/{desired}"),
            node_ids: node.map_or_else(
                || before.brokers.map(|brokers| brokers.node_ids).unwrap_or_default(),
                |node| vec![node.node_id],
            ),
        }),
        listeners: vec![ListenerStatus {
            name: "plain".to_owned(),
            bootstrap_servers: names::bootstrap_servers(&namespace, &name),
        }],
    }
}

fn said(outcome: Result<(&ValidCluster, &[Step]), &Blocked>, observed: &Observed) -> Vec<Said> {
    let serves = observed.node.as_ref().is_ok_and(|node| node.status == "ready");
    let available = match &observed.node {
        Ok(_) if serves => {
            Said::new("Available", true, "Serving", "the quorum has a leader and clients are served")
        }
        Ok(node) => {
            Said::new("Available", false, "NotServing", format!("broker {} is {}", node.node_id, node.status))
        }
        Err(problem) => Said::new("Available", false, "Unreachable", format!("broker 0: {problem}")),
    };
    let (cluster, steps) = match outcome {
        Ok(outcome) => outcome,
        Err(blocked) => {
            return vec![
                Said::new("Ready", false, blocked.reason, &blocked.message),
                available,
                Said::new("Reconciling", false, "Stalled", ""),
                Said::new("Stalled", true, blocked.reason, &blocked.message),
            ];
        }
    };
    let waiting = waiting(cluster, steps, observed, serves);
    let (ready, reconciling) = match &waiting {
        None => (
            Said::new("Ready", true, "Running", "every broker runs this generation and is ready"),
            Said::new("Reconciling", false, "Done", ""),
        ),
        Some((reason, message)) => {
            (Said::new("Ready", false, reason, message), Said::new("Reconciling", true, reason, message))
        }
    };
    vec![ready, available, reconciling, Said::new("Stalled", false, "NotStalled", "")]
}

/// What the cluster waits for, as a reason and a sentence.
fn waiting(
    cluster: &ValidCluster,
    steps: &[Step],
    observed: &Observed,
    serves: bool,
) -> Option<(String, String)> {
    let because = |reason: &str, message: String| Some((reason.to_owned(), message));
    let Some(pod) = &observed.pod else {
        return because(
            "PodMissing",
            format!("Pod {} is not there yet", names::broker_pod(&cluster.name, 0)),
        );
    };
    let pod_name = pod.name_any();
    if pod.metadata.deletion_timestamp.is_some() {
        return because("Restarting", format!("Pod {pod_name} is stopping"));
    }
    if let Some((reason, message)) = trouble(pod) {
        return because(&reason, format!("Pod {pod_name}: {message}"));
    }
    if pod_hash(pod) != Some(&cluster.pod_hash) {
        return because("Restarting", format!("Pod {pod_name} is restarted with the new spec"));
    }
    match &observed.node {
        Err(problem) => because("Starting", format!("Pod {pod_name}: {problem}")),
        Ok(node) if node.cluster_id.is_none() => {
            because("Founding", format!("broker {} is founded", node.node_id))
        }
        Ok(node) if !serves => because("Starting", format!("broker {} is {}", node.node_id, node.status)),
        Ok(_) if !is_ready(observed) => because("Starting", format!("Pod {pod_name} is not ready yet")),
        Ok(_) => steps.first().and_then(|step| because("Applying", step.to_string())),
    }
}

fn is_ready(observed: &Observed) -> bool {
    let conditions = observed.pod.as_ref().and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
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
