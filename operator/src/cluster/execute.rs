//! Does the steps of a plan, one after the other. The first that fails ends the round; the next round plans anew.

use anyhow::Context as _;
use client::{Admin, node};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference, PersistentVolumeClaim, Pod, Secret, Service};
use kube::api::{
    Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::events::{Event, EventType};
use kube::{Client, Resource as _, ResourceExt};
use resources::KafkaCluster;
use serde_json::json;

use super::build::{Resource, owner};
use super::observe::Observed;
use super::plan::Step;
use crate::names;
use crate::run::Context;

pub(crate) async fn execute(
    context: &Context,
    cluster: &KafkaCluster,
    observed: &Observed,
    step: &Step,
) -> anyhow::Result<()> {
    let client = &context.client;
    let namespace = cluster.namespace().unwrap_or_default();
    match step {
        Step::CreateSecret { name } => create_secret(client, cluster, name).await?,
        Step::Apply(resource) => apply(client, &namespace, resource).await?,
        Step::DeleteConfigMap { name } => {
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
            api.delete(name, &DeleteParams::default()).await?;
        }
        Step::DeleteService { name } => {
            let api: Api<Service> = Api::namespaced(client.clone(), &namespace);
            api.delete(name, &DeleteParams::default()).await?;
        }
        Step::Announce { pod, hash } => annotate(client, &namespace, pod, names::ADVERTISED, hash).await?,
        Step::PlaceInRack { pod, rack } => annotate(client, &namespace, pod, names::RACK, rack).await?,
        // Another step closes it.
        Step::AwaitBudget { .. } => {}
        Step::OwnClaim { name, is_owned } => own_claim(client, cluster, name, *is_owned).await?,
        Step::GrowClaim { name, size } => grow(client, &namespace, name, size).await?,
        Step::DeleteStatefulSet { name, uid } => {
            let api: Api<StatefulSet> = Api::namespaced(client.clone(), &namespace);
            let preconditions = Preconditions { uid: Some(uid.clone()), resource_version: None };
            let orphan = DeleteParams {
                propagation_policy: Some(PropagationPolicy::Orphan),
                ..DeleteParams::default().preconditions(preconditions)
            };
            api.delete(name, &orphan).await?;
            tell(context, cluster, "StatefulSetReplaced", step, None).await?;
        }
        Step::DeleteClaim { name, uid } => {
            let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
            let preconditions = Preconditions { uid: Some(uid.clone()), resource_version: None };
            api.delete(name, &DeleteParams::default().preconditions(preconditions)).await?;
            tell(context, cluster, "VolumeDeleted", step, None).await?;
        }
        Step::DeletePod { name, uid, resource_version, .. } => {
            let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
            // Only the Pod that was looked at: one that came in the meantime is another.
            let preconditions =
                Preconditions { uid: Some(uid.clone()), resource_version: Some(resource_version.clone()) };
            let deleted = api.delete(name, &DeleteParams::default().preconditions(preconditions)).await?;
            let pod = deleted.left().map(|pod| pod.object_ref(&()));
            tell(context, cluster, "Restarting", step, pod).await?;
        }
        // The status, which has the id, was written before any step is done.
        Step::WriteClusterId { .. } => {}
        Step::Bootstrap(founding) => {
            let token = token(client, &namespace, &cluster.name_any()).await?;
            let lowest = founding.voters.iter().map(|voter| voter.id).min().unwrap_or(0);
            node::found(&address(&namespace, &cluster.name_any(), lowest), &token, founding).await?;
            tell(context, cluster, "Founded", step, None).await?;
        }
        Step::Drain { .. } | Step::Cordon { .. } | Step::Rebalance { .. } => {
            command(context, cluster, observed, step).await?;
        }
        Step::AddVoter { .. } | Step::RemoveVoter { .. } | Step::Unregister { .. } => {
            let admin = context.kafka.admin(&names::own_servers(&namespace, &cluster.name_any()))?;
            change_members(&admin, step).await?;
            tell(context, cluster, "Scaling", step, None).await?;
        }
    }
    Ok(())
}

fn address(namespace: &str, cluster: &str, id: i32) -> String {
    format!("{}:{}", names::node_host(namespace, cluster, id), names::ADMIN_PORT)
}

/// Asks a broker that serves; it passes on what is the active controller's.
async fn command(
    context: &Context,
    cluster: &KafkaCluster,
    observed: &Observed,
    step: &Step,
) -> anyhow::Result<()> {
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    let serving = observed.brokers.iter().filter(|broker| broker.serves());
    let asked = serving.min_by_key(|broker| Some(broker.id) != observed.controller());
    let asked = asked.context("no broker serves that could be asked")?;
    let address = address(&namespace, &name, asked.id);
    let token = token(&context.client, &namespace, &name).await?;
    match step {
        Step::Drain { id, seconds } => node::drain(&address, &token, *id, *seconds).await?,
        Step::Cordon { ids } => {
            node::cordon(&address, &token, ids).await?;
            tell(context, cluster, "Scaling", step, None).await?;
        }
        Step::Rebalance { bytes_per_second } => {
            node::rebalance(&address, &token, *bytes_per_second).await?;
            tell(context, cluster, "Rebalancing", step, None).await?;
        }
        other => anyhow::bail!("{other} is no command to brokers"),
    }
    Ok(())
}

async fn change_members(admin: &Admin, step: &Step) -> anyhow::Result<()> {
    match step {
        Step::AddVoter { id, directory, host } => {
            admin.add_raft_voter(*id, *directory, host, names::CONTROLLER_PORT).await?;
        }
        Step::RemoveVoter { id, directory } => admin.remove_raft_voter(*id, *directory).await?,
        Step::Unregister { id } => admin.unregister_broker(*id).await?,
        other => anyhow::bail!("{other} does not change who is a member"),
    }
    Ok(())
}

async fn tell(
    context: &Context,
    cluster: &KafkaCluster,
    reason: &str,
    step: &Step,
    related: Option<ObjectReference>,
) -> kube::Result<()> {
    let event = Event {
        type_: EventType::Normal,
        reason: reason.to_owned(),
        note: Some(step.to_string()),
        action: "Reconcile".to_owned(),
        secondary: related,
    };
    context.recorder.publish(&event, &cluster.object_ref(&())).await
}

async fn create_secret(client: &Client, cluster: &KafkaCluster, name: &str) -> anyhow::Result<()> {
    let namespace = cluster.namespace().unwrap_or_default();
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": names::labels(&cluster.name_any()),
            "ownerReferences": [owner(&cluster.name_any(), &cluster.uid().unwrap_or_default(), true)],
        },
        "type": "Opaque",
        "stringData": { "token": node::new_token()? },
    }))?;
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let parameters = PostParams { field_manager: Some(names::MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&parameters, &secret).await {
        // Made by the round before, which was cut short.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        created => Ok(created.map(drop)?),
    }
}

async fn apply(client: &Client, namespace: &str, resource: &Resource) -> kube::Result<()> {
    let (group, version) =
        resource.kind.api_version().split_once('/').unwrap_or(("", resource.kind.api_version()));
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, resource.kind.name()));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    let parameters = PatchParams::apply(names::MANAGER).force();
    api.patch(&resource.name, &parameters, &Patch::Apply(&resource.body)).await?;
    Ok(())
}

async fn own_claim(client: &Client, cluster: &KafkaCluster, name: &str, is_owned: bool) -> kube::Result<()> {
    let api: Api<PersistentVolumeClaim> =
        Api::namespaced(client.clone(), &cluster.namespace().unwrap_or_default());
    let owner = owner(&cluster.name_any(), &cluster.uid().unwrap_or_default(), false);
    // A field manager of its own: leaving the owner out takes away exactly what it once wrote.
    let body = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": name, "ownerReferences": if is_owned { json!([owner]) } else { json!([]) } },
    });
    let parameters = PatchParams::apply(names::VOLUMES_MANAGER).force();
    api.patch(name, &parameters, &Patch::Apply(&body)).await?;
    Ok(())
}

async fn grow(client: &Client, namespace: &str, name: &str, size: &str) -> kube::Result<()> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let patch = json!({ "spec": { "resources": { "requests": { "storage": size } } } });
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}

async fn annotate(client: &Client, namespace: &str, pod: &str, key: &str, value: &str) -> kube::Result<()> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let patch = json!({ "metadata": { "annotations": { key: value } } });
    api.patch(pod, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}

async fn token(client: &Client, namespace: &str, cluster: &str) -> anyhow::Result<String> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let name = names::admin_secret(cluster);
    let secret = api.get(&name).await?;
    let token = secret.data.and_then(|mut data| data.remove("token"));
    let token =
        token.with_context(|| format!("Secret {name} has no key token: delete it, it is made again"))?;
    Ok(String::from_utf8_lossy(&token.0).trim().to_owned())
}
