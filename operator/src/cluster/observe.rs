//! All that is read before something is decided: from Kubernetes, and from the broker itself. Writes nothing.

use std::collections::BTreeMap;

use client::node::{self, ClusterState, NodeState};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use resources::{Directory, KafkaCluster};
use serde::Serialize;
use serde_json::Value;

use super::build::Kind;
use crate::kafka::Kafka;
use crate::names;
use crate::pulse::Beat;

/// What there is of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) stateful_set: Option<StatefulSet>,
    pub(crate) config_maps: Vec<String>,
    /// Every child that is applied, as Kubernetes has it.
    pub(crate) children: Vec<Child>,
    pub(crate) has_secret: bool,
    /// In the order of their ids, those that are to be and those that there are besides.
    pub(crate) brokers: Vec<Broker>,
    pub(crate) claims: Vec<PersistentVolumeClaim>,
    /// Who votes in the metadata quorum; `None` if nobody says.
    pub(crate) voters: Option<Vec<Directory>>,
    /// The topic with the most replicas; looked for only where brokers go.
    pub(crate) widest: Option<(String, usize)>,
    /// The brokers of Pods that are to be replaced and have the only replica in sync of a topic, with its name.
    pub(crate) irreplaceable: BTreeMap<i32, String>,
    /// When this was.
    pub(crate) now: Timestamp,
}

/// One broker.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    pub(crate) id: i32,
    pub(crate) pod: Option<Pod>,
    /// What it says of itself, or why it says nothing.
    pub(crate) node: Result<NodeState, String>,
    /// Whether it may be restarted.
    pub(crate) gate: Gate,
}

/// Whether the cluster could bear the restart of a broker now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// In the cluster's words.
    Refused(String),
    /// Nobody could be asked, and why.
    Silent(String),
}

/// A child as Kubernetes has it.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) body: Value,
}

/// Reads it all.
pub(crate) async fn observe(
    client: &Client,
    kafka: &Kafka,
    cluster: &KafkaCluster,
) -> anyhow::Result<Observed> {
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
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    let claims = claims.list(&ours).await?.items;
    // The Pods last: a restart is decided on what they are now.
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let pods = pods.list(&ours).await?.items;
    let has = stateful_set.as_ref().and_then(|set| set.spec.as_ref()?.replicas).unwrap_or(0);
    let last = pods.iter().filter_map(|pod| names::broker_of(&name, &pod.name_any())).max();
    let count = cluster.spec.brokers.replicas.max(has).max(last.map_or(0, |last| last + 1));
    let brokers = look_at(&namespace, &name, &pods, count).await;

    let is_replaced = |broker: &Broker| {
        broker.pod.as_ref().is_some_and(|pod| pod.annotations().contains_key(names::REPLACE))
    };
    let (mut voters, mut widest, mut irreplaceable) = (None, None, BTreeMap::new());
    if brokers.iter().any(Broker::serves) {
        let admin = kafka.admin(&names::bootstrap_servers(&namespace, &name))?;
        match admin.describe_quorum().await {
            Ok(quorum) => {
                voters = Some(quorum.voters.iter().map(|one| (one.node_id, one.directory_id)).collect());
            }
            Err(error) => tracing::info!(namespace, name, %error, "nobody says who votes"),
        }
        let is_shrinking = cluster.spec.brokers.replicas < has;
        let topics = match is_shrinking || brokers.iter().any(is_replaced) {
            true => admin.list_topics().await?,
            false => Vec::new(),
        };
        for topic in &topics {
            for partition in &topic.partitions {
                if let [only] = partition.isr[..] {
                    irreplaceable.insert(only, topic.name.clone());
                }
            }
        }
        if is_shrinking {
            let replicas = topics.iter().map(|topic| {
                let most = topic.partitions.iter().map(|partition| partition.replicas.len()).max();
                (topic.name.clone(), most.unwrap_or(0))
            });
            widest = replicas.max_by_key(|(_, most)| *most);
        }
    }
    Ok(Observed {
        stateful_set,
        config_maps: config_maps.iter().map(ResourceExt::name_any).collect(),
        children,
        has_secret,
        brokers,
        claims,
        voters,
        widest,
        irreplaceable,
        now: Timestamp::now(),
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

/// Asks every broker whose container runs, there is nobody to ask before; and one of them whether each may be restarted.
async fn look_at(namespace: &str, cluster: &str, pods: &[Pod], count: i32) -> Vec<Broker> {
    let address = |id: i32| format!("{}:{}", names::broker_host(namespace, cluster, id), names::ADMIN_PORT);
    let ask = |id: i32| async move {
        let pod = pods.iter().find(|pod| pod.name_any() == names::broker_pod(cluster, id)).cloned();
        let node = match pod.as_ref().is_some_and(runs) {
            true => node::state(&address(id)).await.map_err(chain),
            false => Err("its container does not run".to_owned()),
        };
        Broker { id, pod, node, gate: Gate::Silent("no broker serves".to_owned()) }
    };
    let mut brokers = futures::future::join_all((0..count).map(ask)).await;
    let serving = brokers.iter().filter(|broker| broker.serves());
    let leads = |broker: &&Broker| controller(&brokers) == Some(broker.id);
    let Some(oracle) = serving.clone().find(leads).or(serving.clone().next()).map(|broker| broker.id) else {
        return brokers;
    };
    let oracle = address(oracle);
    let checks = brokers.iter().map(|broker| node::restart_check(&oracle, broker.id));
    let verdicts = futures::future::join_all(checks).await;
    for (broker, verdict) in brokers.iter_mut().zip(verdicts) {
        broker.gate = match verdict {
            Ok(verdict) if verdict.allowed => Gate::Open,
            Ok(verdict) => Gate::Refused(verdict.reasons.join("; ")),
            Err(error) => Gate::Silent(chain(error)),
        };
    }
    brokers
}

/// Whether there is a process that could answer.
pub(crate) fn runs(pod: &Pod) -> bool {
    let state = |pod: &Pod| pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.clone();
    state(pod).is_some_and(|state| state.running.is_some())
}

fn chain(error: node::NodeError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

/// The node of the active controller, as most recently heard of.
fn controller(brokers: &[Broker]) -> Option<i32> {
    brokers.iter().find_map(|broker| broker.node.as_ref().ok()?.cluster.as_ref()?.controller)
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
    /// The cluster as the active controller's node knows it, or else another one.
    pub(crate) fn cluster(&self) -> Option<&ClusterState> {
        let leads = self.brokers.iter().find(|broker| self.controller() == Some(broker.id));
        leads.into_iter().chain(&self.brokers).find_map(|broker| broker.node.as_ref().ok()?.cluster.as_ref())
    }

    /// The node of the active controller.
    pub(crate) fn controller(&self) -> Option<i32> {
        controller(&self.brokers)
    }

    /// What is looked at between rounds.
    pub(crate) fn beat(&self, namespace: &str, cluster: &str) -> Beat {
        let address = |id| format!("{}:{}", names::broker_host(namespace, cluster, id), names::ADMIN_PORT);
        Beat {
            brokers: self.brokers.iter().map(|broker| (broker.id, address(broker.id))).collect(),
            seen: self.brokers.iter().map(|broker| (broker.serves(), broker.gate == Gate::Open)).collect(),
        }
    }

    /// How many brokers the StatefulSet makes.
    pub(crate) fn replicas(&self) -> Option<i32> {
        self.stateful_set.as_ref()?.spec.as_ref()?.replicas
    }

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
