//! All that is read before something is decided: from Kubernetes, and from the broker itself. Writes nothing.

mod copies;
mod kafka;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use client::node::{self, ClusterState, NodeState};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use resources::{CONTROLLERS_FROM, Directory, KafkaCluster, TopicSource};
use serde::Serialize;
use serde_json::Value;

use super::build::Kind;
use crate::kafka::Kafka;
use crate::names;
use crate::namespaces::{self, Unknown};
use crate::pulse::{Beat, Glance};

/// What there is of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) stateful_set: Option<StatefulSet>,
    /// Of the dedicated controllers.
    pub(crate) controller_set: Option<StatefulSet>,
    pub(crate) config_maps: Vec<String>,
    /// Every child that is applied, as Kubernetes has it.
    pub(crate) children: Vec<Child>,
    pub(crate) has_secret: bool,
    /// In the order of their ids, those that are to be and those that there are besides.
    pub(crate) brokers: Vec<Broker>,
    /// The dedicated controllers, in the same way.
    pub(crate) controllers: Vec<Broker>,
    pub(crate) claims: Vec<PersistentVolumeClaim>,
    /// Who votes in the metadata quorum; `None` if nobody says.
    pub(crate) voters: Option<Vec<Directory>>,
    /// The brokers of Pods that are to be replaced and have the only replica in sync of a topic, with its name.
    pub(crate) irreplaceable: BTreeMap<i32, String>,
    /// What moving replicas still have to copy; looked for only while they move, and `None` if nobody says.
    pub(crate) bytes_left: Option<i64>,
    /// The racks of brokers whose Pods do not say it yet, or why that is not known.
    pub(crate) racks: BTreeMap<i32, Result<String, String>>,
    /// Why the labels of namespaces are not known, where topics are taken by them.
    pub(crate) unreadable_namespaces: Option<String>,
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
    clients: &Kafka,
    cluster: &KafkaCluster,
) -> anyhow::Result<Observed> {
    let namespace = cluster.namespace().unwrap_or_default();
    let name = cluster.name_any();
    let ours = ListParams::default().labels(&names::selector(&name));
    let mut children = Vec::new();

    let stateful_sets: Api<StatefulSet> = Api::namespaced(client.clone(), &namespace);
    let stateful_set = stateful_sets.get_opt(&names::stateful_set(&name)).await?;
    let controller_set = match cluster.spec.controllers {
        Some(_) => stateful_sets.get_opt(&names::controller_set(&name)).await?,
        None => None,
    };
    add(&mut children, Kind::StatefulSet, stateful_set.iter().chain(&controller_set))?;
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
    let nodes = nodes(cluster, &pods, stateful_set.as_ref(), controller_set.as_ref());
    let nodes = look_at(&namespace, &name, &pods, &nodes).await;
    let (brokers, controllers): (Vec<_>, Vec<_>) =
        nodes.into_iter().partition(|node| node.id < CONTROLLERS_FROM);

    let asked = match brokers.iter().any(Broker::serves) {
        true => kafka::ask(clients, &namespace, &name, &brokers).await?,
        false => kafka::Asked::default(),
    };
    let racks = match &cluster.spec.brokers.rack {
        Some(rack) => racks(client, &rack.topology_key, &brokers).await?,
        None => BTreeMap::new(),
    };
    let unreadable_namespaces = match cluster.spec.topic_namespaces.from {
        TopicSource::Selector => unreadable(client, &namespace).await?,
        TopicSource::Same | TopicSource::Names | TopicSource::All => None,
    };
    Ok(Observed {
        stateful_set,
        controller_set,
        config_maps: config_maps.iter().map(ResourceExt::name_any).collect(),
        children,
        has_secret,
        brokers,
        controllers,
        claims,
        voters: asked.voters,
        irreplaceable: asked.irreplaceable,
        bytes_left: asked.bytes_left,
        racks,
        unreadable_namespaces,
        now: Timestamp::now(),
    })
}

/// The ids of the nodes that are to be, and of those that there are besides.
fn nodes(
    cluster: &KafkaCluster,
    pods: &[Pod],
    brokers: Option<&StatefulSet>,
    controllers: Option<&StatefulSet>,
) -> Vec<i32> {
    let name = cluster.name_any();
    let ids = |first: i32, wanted: i32, set: Option<&StatefulSet>, below: i32| {
        let with_pod = pods.iter().filter_map(|pod| names::node_of(&name, &pod.name_any()));
        let last = with_pod.filter(|id| (first..below).contains(id)).max().map_or(first, |last| last + 1);
        first..(first + wanted.max(replicas(set).unwrap_or(0))).max(last)
    };
    let mut nodes: Vec<_> = ids(0, cluster.spec.brokers.replicas, brokers, CONTROLLERS_FROM).collect();
    if let Some(wanted) = cluster.spec.controllers.as_ref().map(|controllers| controllers.replicas) {
        nodes.extend(ids(CONTROLLERS_FROM, wanted, controllers, i32::MAX));
    }
    nodes
}

/// What Kubernetes' nodes say of where they stand. A Pod does not move, so that each is asked after once.
async fn racks(
    client: &Client,
    topology_key: &str,
    brokers: &[Broker],
) -> anyhow::Result<BTreeMap<i32, Result<String, String>>> {
    let nodes: Api<Node> = Api::all(client.clone());
    let mut racks = BTreeMap::new();
    for broker in brokers {
        let Some(pod) = broker.pod.as_ref().filter(|pod| !pod.annotations().contains_key(names::RACK)) else {
            continue;
        };
        let Some(name) = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) else { continue };
        let rack = match nodes.get(name).await {
            Ok(node) => node.labels().get(topology_key).cloned().ok_or_else(|| {
                format!("spec.brokers.rack.topologyKey: node {name} has no label {topology_key}: give it one")
            }),
            Err(kube::Error::Api(status)) if status.code == 403 => Err(format!(
                "the operator may not read nodes, and cannot tell the rack: install it with rbac.clusterReads=true ({})",
                status.message
            )),
            Err(error) => return Err(error.into()),
        };
        racks.insert(broker.id, rack);
    }
    Ok(racks)
}

/// Why namespaces cannot be read, if they cannot: one stands for all.
async fn unreadable(client: &Client, namespace: &str) -> anyhow::Result<Option<String>> {
    match namespaces::labels_now(client, namespace).await {
        Ok(_) => Ok(None),
        Err(why @ Unknown::Forbidden(_)) => Ok(Some(why.to_string())),
        Err(Unknown::Api(error)) => Err(error.into()),
    }
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
async fn look_at(namespace: &str, cluster: &str, pods: &[Pod], ids: &[i32]) -> Vec<Broker> {
    let address = |id: i32| format!("{}:{}", names::node_host(namespace, cluster, id), names::ADMIN_PORT);
    let ask = |id: i32| async move {
        let pod = pods.iter().find(|pod| pod.name_any() == names::node_pod(cluster, id)).cloned();
        let node = match pod.as_ref().is_some_and(runs) {
            true => node::state(&address(id)).await.map_err(chain),
            false => Err("its container does not run".to_owned()),
        };
        Broker { id, pod, node, gate: Gate::Silent("no broker serves".to_owned()) }
    };
    let mut brokers = futures::future::join_all(ids.iter().copied().map(ask)).await;
    let serving = brokers.iter().filter(|broker| broker.serves());
    let Some(oracle) = node::leader(serving.filter_map(Broker::answer)).map(|node| node.node_id) else {
        return brokers;
    };
    let verdicts = node::restart_checks(&address(oracle), ids.iter().copied()).await.map_err(chain);
    for broker in &mut brokers {
        let verdict = verdicts.as_ref().map(|all| all.iter().find(|verdict| verdict.node == broker.id));
        broker.gate = match verdict {
            Ok(Some(verdict)) if verdict.allowed => Gate::Open,
            Ok(Some(verdict)) => Gate::Refused(verdict.reasons.join("; ")),
            Ok(None) => Gate::Silent(format!("node {oracle} says nothing of it")),
            Err(error) => Gate::Silent(error.clone()),
        };
    }
    brokers
}

fn replicas(set: Option<&StatefulSet>) -> Option<i32> {
    set?.spec.as_ref()?.replicas
}

/// Whether there is a process that could answer.
pub(crate) fn runs(pod: &Pod) -> bool {
    let state = |pod: &Pod| pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.clone();
    state(pod).is_some_and(|state| state.running.is_some())
}

fn chain(error: node::NodeError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

impl Broker {
    /// Whether Kubernetes counts it as ready.
    pub(crate) fn is_ready(&self) -> bool {
        let conditions = self.pod.as_ref().and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
    }

    /// Where its admin endpoint is, again and again. A name would be looked up under every search domain of the Pod each time;
    /// an address is good for as long as the Pod, and a Pod's end is watched.
    fn address(&self, host: &str) -> String {
        let address = self.pod.as_ref().and_then(|pod| pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok());
        match address {
            Some(address) => SocketAddr::new(address, names::ADMIN_PORT).to_string(),
            None => format!("{host}:{}", names::ADMIN_PORT),
        }
    }

    /// What it says of itself, if it says something.
    fn answer(&self) -> Option<&NodeState> {
        self.node.as_ref().ok()
    }

    /// Whether it says that it serves clients.
    pub(crate) fn serves(&self) -> bool {
        self.answer().is_some_and(NodeState::serves)
    }
}

impl Observed {
    /// The cluster as the active controller's node knows it, or else another one.
    pub(crate) fn cluster(&self) -> Option<&ClusterState> {
        node::cluster(self.nodes().filter_map(Broker::answer))
    }

    /// The node of the active controller.
    pub(crate) fn controller(&self) -> Option<i32> {
        self.cluster()?.controller
    }

    /// What is looked at between rounds.
    pub(crate) fn beat(&self, namespace: &str, cluster: &str) -> Beat {
        let leads = |node: &&Broker| node.answer().is_some_and(NodeState::is_controller);
        let address = |node: &Broker| node.address(&names::node_host(namespace, cluster, node.id));
        let leader = self.nodes().find(leads).map(|node| vec![(node.id, address(node))]);
        Beat {
            nodes: self.nodes().map(|node| node.id).collect(),
            endpoints: leader.unwrap_or_else(|| self.nodes().map(|node| (node.id, address(node))).collect()),
            seen: Glance::new(
                self.cluster(),
                self.nodes().filter(|node| node.gate == Gate::Open).map(|node| node.id),
            ),
        }
    }

    /// How many brokers the StatefulSet makes.
    pub(crate) fn replicas(&self) -> Option<i32> {
        replicas(self.stateful_set.as_ref())
    }

    /// All nodes: the brokers, and then the dedicated controllers.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Broker> + Clone {
        self.brokers.iter().chain(&self.controllers)
    }

    /// The StatefulSet that makes the Pod of a node.
    pub(crate) fn set_of(&self, id: i32) -> Option<&StatefulSet> {
        if id < CONTROLLERS_FROM { self.stateful_set.as_ref() } else { self.controller_set.as_ref() }
    }

    /// The metadata quorum's controllers of their own that the StatefulSet makes.
    pub(crate) fn controller_replicas(&self) -> Option<i32> {
        replicas(self.controller_set.as_ref())
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

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Pod, PodStatus};

    use super::{Broker, Gate};

    #[test]
    fn a_broker_is_asked_at_its_pods_address_once_there_is_one() {
        let at = |ip: Option<&str>| {
            let status = PodStatus { pod_ip: ip.map(str::to_owned), ..PodStatus::default() };
            let pod = Some(Pod { status: Some(status), ..Pod::default() });
            let node = Err("not asked".to_owned());
            Broker { id: 0, pod, node, gate: Gate::Open }.address("demo-broker-0.demo-nodes.kafka.svc")
        };
        assert_eq!(at(Some("10.244.1.7")), "10.244.1.7:9600");
        assert_eq!(at(Some("fd00::7")), "[fd00::7]:9600");
        assert_eq!(at(None), "demo-broker-0.demo-nodes.kafka.svc:9600");
    }
}
