//! What the Helm chart has done around the operator's own life: a check after an install, a retirement before an uninstall.
//! Knows nothing of how a cluster or a topic is looked after.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::{Expression, Selector};
use kube::{Api, Client, Resource, ResourceExt};
use resources::{KafkaCluster, KafkaTopic};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{names, watches};

/// A new operator has so long to answer and to take the Lease.
const PATIENCE: Duration = Duration::from_secs(60);
/// An operator that is asked to stop finishes its rounds first.
const RETIREMENT: Duration = Duration::from_secs(120);
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Which operator is meant.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Where it runs.
    pub namespace: String,
    /// The namespaces that it looks after; none means all of them.
    pub watched: Vec<String>,
    /// The Lease that it holds, if it stands for election.
    pub lease: Option<String>,
}

/// Whether the operator answers at `endpoint`, holds its Lease, and its account may read the resources. Says what it has
/// seen, a line each.
pub async fn check(subject: &Subject, endpoint: &str) -> anyhow::Result<Vec<String>> {
    let client = client().await?;
    let mut seen = Vec::new();
    for path in ["/readyz", "/metrics"] {
        until(PATIENCE, || async {
            let answer = client::node::get(endpoint, path).await?;
            ensure!(answer.is_success(), "{endpoint}{path} answers {}", answer.status);
            Ok(())
        })
        .await?;
        seen.push(format!("{endpoint}{path} answers"));
    }
    if let Some(name) = &subject.lease {
        let leases: Api<Lease> = Api::namespaced(client.clone(), &subject.namespace);
        let holder = until(PATIENCE, || async { holder(&leases.get(name).await?) }).await?;
        seen.push(format!("{holder} holds the Lease {name}"));
    }
    for scope in scopes(&subject.watched) {
        let clusters = list::<KafkaCluster>(&client, scope).await?.len();
        let topics = list::<KafkaTopic>(&client, scope).await?.len();
        let place = scope.unwrap_or("all namespaces");
        seen.push(format!("{clusters} KafkaClusters and {topics} KafkaTopics in {place}"));
    }
    Ok(seen)
}

/// Stops the operator's Deployment, then takes the operator's finalizer off every KafkaTopic, so that each can be deleted
/// without it. Topics stay in their clusters. Says how many it was taken off.
pub async fn retire(subject: &Subject, deployment: &str) -> anyhow::Result<usize> {
    let client = client().await?;
    stop(&client, &subject.namespace, deployment).await?;
    let mut freed = 0;
    for scope in scopes(&subject.watched) {
        let topics = match list::<KafkaTopic>(&client, scope).await {
            Ok(topics) => topics,
            // Without the definition there is no topic to free.
            Err(kube::Error::Api(status)) if status.code == 404 => continue,
            Err(error) => return Err(error).context("listing KafkaTopics"),
        };
        for topic in topics {
            freed += usize::from(free(&client, &topic).await?);
        }
    }
    Ok(freed)
}

async fn stop(client: &Client, namespace: &str, deployment: &str) -> anyhow::Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let Some(found) = deployments.get_opt(deployment).await? else { return Ok(()) };
    let scale = Patch::Merge(json!({ "spec": { "replicas": 0 } }));
    deployments.patch_scale(deployment, &PatchParams::default(), &scale).await?;
    let labels = found.spec.and_then(|spec| spec.selector.match_labels).unwrap_or_default();
    let selector: Selector = labels.into_iter().map(|(key, value)| Expression::Equal(key, value)).collect();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let ours = ListParams::default().labels_from(&selector);
    until(RETIREMENT, || async {
        let left = pods.list(&ours).await?.items;
        ensure!(left.is_empty(), "the operator's Pods still run: {}", names_of(&left));
        Ok(())
    })
    .await
}

/// Whether there was a finalizer to take off.
async fn free(client: &Client, topic: &KafkaTopic) -> anyhow::Result<bool> {
    let mut finalizers = topic.finalizers().to_vec();
    finalizers.retain(|finalizer| finalizer != names::TOPIC_FINALIZER);
    if finalizers.len() == topic.finalizers().len() {
        return Ok(false);
    }
    let (namespace, name) = (topic.namespace().unwrap_or_default(), topic.name_any());
    let body =
        json!({ "metadata": { "finalizers": finalizers, "resourceVersion": topic.resource_version() } });
    let topics: Api<KafkaTopic> = Api::namespaced(client.clone(), &namespace);
    let parameters = PatchParams { field_manager: Some(names::MANAGER.to_owned()), ..PatchParams::default() };
    match topics.patch(&name, &parameters, &Patch::Merge(&body)).await {
        Ok(_) => Ok(true),
        // Somebody deleted it meanwhile.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error).with_context(|| format!("KafkaTopic {namespace}/{name}")),
    }
}

async fn client() -> anyhow::Result<Client> {
    let config = kube::Config::infer().await.context("no Kubernetes API server is configured")?;
    Ok(Client::try_from(config)?)
}

fn scopes(watched: &[String]) -> Vec<Option<&str>> {
    match watched.is_empty() {
        true => vec![None],
        false => watched.iter().map(|name| Some(name.as_str())).collect(),
    }
}

async fn list<K>(client: &Client, scope: Option<&str>) -> kube::Result<Vec<K>>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    watches::list(&api).await
}

/// Who holds a Lease now.
fn holder(lease: &Lease) -> anyhow::Result<String> {
    let spec = lease.spec.as_ref().context("the Lease is empty")?;
    let holder =
        spec.holder_identity.clone().filter(|holder| !holder.is_empty()).context("nobody holds it")?;
    let renewed = spec.renew_time.as_ref().context("the Lease was never renewed")?.0;
    let age = Timestamp::now().duration_since(renewed).as_secs();
    let lasts = i64::from(spec.lease_duration_seconds.unwrap_or_default());
    if age > lasts {
        bail!("{holder} has not renewed its Lease for {age} s, and it lasts {lasts}");
    }
    Ok(holder)
}

fn names_of(pods: &[Pod]) -> String {
    pods.iter().map(ResourceExt::name_any).collect::<Vec<_>>().join(", ")
}

/// Asks again until it goes well, for so long.
async fn until<T, F: Future<Output = anyhow::Result<T>>>(
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let end = tokio::time::Instant::now() + limit;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if tokio::time::Instant::now() >= end => return Err(error),
            Err(_) => tokio::time::sleep(BETWEEN_LOOKS).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use k8s_openapi::jiff::{SignedDuration, Timestamp};

    use super::holder;

    fn lease(holder: &str, age_seconds: i64) -> Lease {
        let renewed = Timestamp::now() - SignedDuration::from_secs(age_seconds);
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            renew_time: Some(MicroTime(renewed)),
            lease_duration_seconds: Some(10),
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    #[test]
    fn a_lease_has_a_holder_while_it_is_renewed() {
        assert_eq!(holder(&lease("a", 3)).expect("held"), "a");
        assert!(holder(&lease("", 3)).is_err());
        assert!(holder(&lease("a", 60)).expect_err("lapsed").to_string().contains("60 s"));
    }
}
