//! All that is read before something is decided: from Kubernetes, and from the broker itself. Writes nothing.

use client::node::{self, NodeState};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use resources::KafkaCluster;
use serde::Serialize;
use serde_json::Value;

use super::build::Kind;
use crate::names;

/// What there is of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) stateful_set: Option<StatefulSet>,
    pub(crate) config_maps: Vec<String>,
    /// Every child that is applied, as Kubernetes has it.
    pub(crate) children: Vec<Child>,
    pub(crate) has_secret: bool,
    pub(crate) pod: Option<Pod>,
    pub(crate) claims: Vec<PersistentVolumeClaim>,
    /// What broker 0 says of itself, or why it says nothing.
    pub(crate) node: Result<NodeState, String>,
}

/// A child as Kubernetes has it.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) body: Value,
}

/// Reads it all.
pub(crate) async fn observe(client: &Client, cluster: &KafkaCluster) -> anyhow::Result<Observed> {
    let namespace = cluster.namespace().unwrap_or_default();
    let name = cluster.name_any();
    let ours = ListParams::default().labels(&names::selector(&name));
    let mut children = Vec::new();

    let stateful_sets: Api<StatefulSet> = Api::namespaced(client.clone(), &namespace);
    let stateful_set = stateful_sets.get_opt(&names::stateful_set(&name)).await?;
    add(&mut children, Kind::StatefulSet, stateful_set.iter())?;
    let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
    add(&mut children, Kind::Service, services.list(&ours).await?.items.iter())?;
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), &namespace);
    add(&mut children, Kind::PodDisruptionBudget, budgets.list(&ours).await?.items.iter())?;
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let config_maps = config_maps.list(&ours).await?.items;
    add(&mut children, Kind::ConfigMap, config_maps.iter())?;

    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let has_secret = secrets.get_opt(&names::admin_secret(&name)).await?.is_some();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let pod = pods.get_opt(&names::broker_pod(&name, 0)).await?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    let claims = claims.list(&ours).await?.items;
    Ok(Observed {
        stateful_set,
        config_maps: config_maps.iter().map(ResourceExt::name_any).collect(),
        children,
        has_secret,
        node: ask(&namespace, &name, pod.as_ref()).await,
        pod,
        claims,
    })
}

fn add<'a, K: Serialize + ResourceExt + 'a>(
    children: &mut Vec<Child>,
    kind: Kind,
    found: impl Iterator<Item = &'a K>,
) -> anyhow::Result<()> {
    for child in found {
        children.push(Child { kind, name: child.name_any(), body: serde_json::to_value(child)? });
    }
    Ok(())
}

/// Asks a Pod whose container runs; there is nobody to ask before.
async fn ask(namespace: &str, cluster: &str, pod: Option<&Pod>) -> Result<NodeState, String> {
    let is_running = pod
        .and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref())
        .is_some_and(|state| state.running.is_some());
    if !is_running {
        return Err("its container does not run".to_owned());
    }
    let address = format!("{}:{}", names::broker_host(namespace, cluster, 0), names::ADMIN_PORT);
    node::state(&address).await.map_err(|error| format!("{:#}", anyhow::Error::from(error)))
}

impl Observed {
    /// The image that the StatefulSet has.
    pub(crate) fn image(&self) -> Option<&str> {
        let containers = &self.stateful_set.as_ref()?.spec.as_ref()?.template.spec.as_ref()?.containers;
        containers.first()?.image.as_deref()
    }

    /// The child of this kind and name.
    pub(crate) fn child(&self, kind: Kind, name: &str) -> Option<&Value> {
        self.children.iter().find(|child| child.kind == kind && child.name == name).map(|child| &child.body)
    }
}
