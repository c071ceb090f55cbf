//! A KafkaCluster, from what is wanted to what is.

mod build;
mod execute;
mod listeners;
mod observe;
mod plan;
mod refusals;
mod status;
mod validate;

use anyhow::Context as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, ResourceExt};
use resources::{KafkaCluster, KafkaClusterStatus};
use serde_json::json;

use observe::Observed;
use plan::Plan;
use validate::ValidCluster;

use crate::names;
use crate::run::Context;

pub(crate) use refusals::Refusals;

/// One round: ends with what should be, or on the way to it.
pub(crate) async fn reconcile(cached: &KafkaCluster, context: &Context) -> anyhow::Result<Action> {
    let mut round = context.metrics.round("KafkaCluster");
    let (name, namespace) = (cached.name_any(), cached.namespace().unwrap_or_default());
    let clusters: Api<KafkaCluster> = Api::namespaced(context.client.clone(), &namespace);
    // The cache may be older than what this operator wrote; a cluster's id must not be.
    let found = clusters.get_opt(&name).await?;
    let Some(cluster) = found.filter(|cluster| cluster.metadata.deletion_timestamp.is_none()) else {
        let uid = cached.uid().unwrap_or_default();
        context.backoff.forget(&uid);
        context.refusals.forget(&uid);
        context.pulse.forget(&ObjectRef::from_obj(cached));
        context.kafka.forget(&names::own_servers(&namespace, &name));
        context.metrics.forget(&namespace, &name);
        return Ok(Action::await_change());
    };
    let uid = cluster.uid().unwrap_or_default();

    let before = cluster.status.clone().unwrap_or_default();
    if cluster.annotations().get(names::PAUSE).is_some_and(|value| value == "true") {
        context.pulse.forget(&ObjectRef::from_obj(&cluster));
        let status = status::paused(&cluster, &Time(Timestamp::now()));
        if status != before {
            write_status(&context.client, &cluster, &status).await.context("writing the status")?;
        }
        return Ok(Action::requeue(status::AT_REST));
    }
    let observed =
        Box::pin(observe::observe(&context.client, &context.kafka, &cluster)).await.context("observing")?;
    let valid = validate::validate(&cluster, observed.image(), &context.image);
    let mut planned = match &valid {
        Ok(valid) => plan::plan(valid, &before, &observed, &client::node::new_cluster_id()?),
        Err(invalid) => Err(invalid.clone()),
    };
    if let Ok(plan) = &mut planned {
        let refused = context.refusals.of(&uid, cluster.metadata.generation, plan);
        plan.blocked = plan.blocked.take().or(refused);
    }
    let outcome = match (&valid, &planned) {
        (Ok(valid), Ok(plan)) => Ok((valid, plan)),
        (Err(blocked), _) | (_, Err(blocked)) => Err(blocked),
    };
    let status = status::status(&cluster, outcome, &observed, &Time(Timestamp::now()));
    // The status comes first: a cluster's id is on record before any node knows it.
    if status != before {
        write_status(&context.client, &cluster, &status).await.context("writing the status")?;
    }
    let has_steps = planned.as_ref().is_ok_and(|plan| !plan.steps.is_empty());
    if let Ok((valid, plan)) = outcome {
        Box::pin(carry_out(context, &cluster, &observed, valid, plan, &status)).await?;
    }
    context.refusals.forget(&uid);
    context.backoff.forget(&uid);
    let is_settled =
        !has_steps && status.conditions.iter().any(|one| one.type_ == "Reconciling" && one.status == "False");
    let pods_left = status.rollout.as_ref().map_or(0, |rollout| rollout.pending.len());
    context.metrics.rollout(&namespace, &name, pods_left, is_settled);
    if !has_steps && status == before {
        round.is_steady();
    }
    match is_settled {
        true => context.pulse.note(ObjectRef::from_obj(&cluster), observed.beat(&namespace, &name)),
        false => context.pulse.forget(&ObjectRef::from_obj(&cluster)),
    }
    Ok(Action::requeue(status::again(is_settled, &status)))
}

/// What Kubernetes refuses for good is told in the status, beside being tried again.
async fn carry_out(
    context: &Context,
    cluster: &KafkaCluster,
    observed: &Observed,
    valid: &ValidCluster,
    plan: &Plan,
    said: &KafkaClusterStatus,
) -> anyhow::Result<()> {
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    for step in &plan.steps {
        let Err(error) = Box::pin(execute::execute(context, cluster, observed, step)).await else {
            tracing::info!(namespace, name, step = %step, "done");
            continue;
        };
        let uid = cluster.uid().unwrap_or_default();
        if let Some(blocked) = context.refusals.note(&uid, cluster.metadata.generation, step, &error) {
            let refused = Plan { blocked: Some(blocked), ..plan.clone() };
            let status = status::status(cluster, Ok((valid, &refused)), observed, &Time(Timestamp::now()));
            if status != *said {
                write_status(&context.client, cluster, &status).await.context("writing the status")?;
            }
        }
        return Err(error.context(step.to_string()));
    }
    Ok(())
}

async fn write_status(
    client: &Client,
    cluster: &KafkaCluster,
    status: &KafkaClusterStatus,
) -> kube::Result<()> {
    let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
    let body = json!({
        "apiVersion": "taffrail.dev/v1alpha1",
        "kind": "KafkaCluster",
        "metadata": {"name": name, "uid": cluster.uid()},
        "status": status,
    });
    let api: Api<KafkaCluster> = Api::namespaced(client.clone(), &namespace);
    api.patch_status(&name, &PatchParams::apply(names::STATUS_MANAGER).force(), &Patch::Apply(&body)).await?;
    Ok(())
}
