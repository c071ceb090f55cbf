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
    /// In the order of their ids, those that are to be and those that the StatefulSet has besides.
    pub(crate) brokers: Vec<Broker>,
    pub(crate) claims: Vec<PersistentVolumeClaim>,
}

/// One broker.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    pub(crate) id: i32,
    pub(crate) pod: Option<Pod>,
    /// What it says of itself, or why it says nothing.
    pub(crate) node: Result<NodeState, String>,
    /// Why the cluster could not bear its restart now, in the cluster's words; `None` if it can.
    pub(crate) restart_refusal: Option<String>,
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
    let pods = pods.list(&ours).await?.items;
    let has = stateful_set.as_ref().and_then(|set| set.spec.as_ref()?.replicas).unwrap_or(0);
    let seen = (0..cluster.spec.brokers.replicas.max(has)).map(|id| {
        let pod = pods.iter().find(|pod| pod.name_any() == names::broker_pod(&name, id)).cloned();
        look_at(&namespace, &name, id, pod)
    });
    let brokers = futures::future::join_all(seen).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    let claims = claims.list(&ours).await?.items;
    Ok(Observed {
        stateful_set,
        config_maps: config_maps.iter().map(ResourceExt::name_any).collect(),
        children,
        has_secret,
        brokers,
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

/// Asks a broker whose container runs; there is nobody to ask before.
async fn look_at(namespace: &str, cluster: &str, id: i32, pod: Option<Pod>) -> Broker {
    let is_running = pod
        .as_ref()
        .and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref())
        .is_some_and(|state| state.running.is_some());
    if !is_running {
        let node = Err("its container does not run".to_owned());
        return Broker { id, pod, node, restart_refusal: None };
    }
    let address = format!("{}:{}", names::broker_host(namespace, cluster, id), names::ADMIN_PORT);
    let (node, verdict) = tokio::join!(node::state(&address), node::restart_check(&address, id));
    let restart_refusal = match verdict {
        Ok(verdict) => (!verdict.allowed).then(|| verdict.reasons.join("; ")),
        // A node that does not serve has nothing to lose by a restart.
        Err(error) => node.is_ok().then(|| format!("{:#}", anyhow::Error::from(error))),
    };
    let node = node.map_err(|error| format!("{:#}", anyhow::Error::from(error)));
    Broker { id, pod, node, restart_refusal }
}

impl Broker {
    /// Whether Kubernetes counts it as ready.
    pub(crate) fn is_ready(&self) -> bool {
        let conditions = self.pod.as_ref().and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
    }

    /// Whether it says that it serves clients.
    pub(crate) fn serves(&self) -> bool {
        self.node.as_ref().is_ok_and(|node| node.status == "ready")
    }
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
