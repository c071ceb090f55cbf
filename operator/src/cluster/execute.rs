//! Does the steps of a plan, one after the other. The first that fails ends the round; the next round plans anew.

use anyhow::Context as _;
use client::node;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::events::{Event, EventType};
use kube::{Client, Resource as _, ResourceExt};
use resources::KafkaCluster;
use serde_json::json;

use super::build::{Resource, owner};
use super::plan::Step;
use crate::names;
use crate::run::Context;

pub(crate) async fn execute(context: &Context, cluster: &KafkaCluster, step: &Step) -> anyhow::Result<()> {
    let client = &context.client;
    let namespace = cluster.namespace().unwrap_or_default();
    match step {
        Step::CreateSecret { name } => create_secret(client, cluster, name).await?,
        Step::Apply(resource) => apply(client, &namespace, resource).await?,
        Step::DeleteConfigMap { name } => {
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
            api.delete(name, &DeleteParams::default()).await?;
        }
        Step::OwnClaim { name, is_owned } => own_claim(client, cluster, name, *is_owned).await?,
        Step::DeletePod { name, uid, resource_version } => {
            let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
            // Only the Pod that was looked at: one that came in the meantime is another.
            let preconditions =
                Preconditions { uid: Some(uid.clone()), resource_version: Some(resource_version.clone()) };
            api.delete(name, &DeleteParams::default().preconditions(preconditions)).await?;
            tell(context, cluster, "Restarting", "its image, configuration or resources changed", step)
                .await?;
        }
        // The status, which has the id, was written before any step is done.
        Step::WriteClusterId { .. } => {}
        Step::Bootstrap(founding) => {
            let token = token(client, &namespace, &cluster.name_any()).await?;
            let host = names::broker_host(&namespace, &cluster.name_any(), 0);
            node::found(&format!("{host}:{}", names::ADMIN_PORT), &token, founding).await?;
            tell(context, cluster, "Founded", "the cluster has an id", step).await?;
        }
    }
    Ok(())
}

async fn tell(
    context: &Context,
    cluster: &KafkaCluster,
    reason: &str,
    because: &str,
    step: &Step,
) -> kube::Result<()> {
    let event = Event {
        type_: EventType::Normal,
        reason: reason.to_owned(),
        note: Some(format!("{step}: {because}")),
        action: "Reconcile".to_owned(),
        secondary: None,
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

async fn token(client: &Client, namespace: &str, cluster: &str) -> anyhow::Result<String> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let name = names::admin_secret(cluster);
    let secret = api.get(&name).await?;
    let token = secret.data.and_then(|mut data| data.remove("token"));
    let token =
        token.with_context(|| format!("Secret {name} has no key token: delete it, it is made again"))?;
    Ok(String::from_utf8_lossy(&token.0).trim().to_owned())
}
