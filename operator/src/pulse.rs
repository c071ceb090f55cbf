//! What no watch of Kubernetes tells: whether brokers serve and may be restarted. Looks at settled clusters every few seconds,
//! asking brokers only, and has a cluster reconciled when something is otherwise than its last round saw it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::node::{self, NodeState};
use futures::Stream;
use kube::runtime::reflector::ObjectRef;
use resources::KafkaCluster;

/// The budget for disruptions follows the replicas in sync within twice that.
const BEAT: Duration = Duration::from_secs(2);

/// What the last rounds saw, by cluster.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    clusters: Mutex<HashMap<ObjectRef<KafkaCluster>, Beat>>,
}

/// What a round saw of the brokers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beat {
    /// The admin endpoints.
    pub(crate) brokers: Vec<(i32, String)>,
    /// What they said.
    pub(crate) seen: Glance,
}

/// As much of a cluster as changes without Kubernetes hearing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Glance {
    /// Of each broker: whether it serves, and whether it may be restarted.
    brokers: Vec<(bool, bool)>,
    /// The node of the active controller.
    controller: Option<i32>,
    /// How many partitions have no leader, and how many are under their `min.insync.replicas`. Not how many there are: that
    /// changes with every topic, and concerns nobody here.
    unusable: Option<(usize, usize)>,
}

impl Glance {
    /// From the answers of the nodes, in the same order each time.
    pub(crate) fn new<'a>(
        brokers: Vec<(bool, bool)>,
        answers: impl Iterator<Item = &'a NodeState> + Clone,
    ) -> Glance {
        let cluster = node::cluster(answers);
        Glance {
            brokers,
            controller: cluster.and_then(|cluster| cluster.controller),
            unusable: cluster
                .and_then(|cluster| cluster.partitions)
                .map(|partitions| (partitions.offline, partitions.under_min_isr)),
        }
    }
}

impl Pulse {
    /// Notes what a round saw.
    pub(crate) fn note(&self, cluster: ObjectRef<KafkaCluster>, beat: Beat) {
        self.lock().insert(cluster, beat);
    }

    /// Of a cluster that is gone, or that is looked at all the time anyway.
    pub(crate) fn forget(&self, cluster: &ObjectRef<KafkaCluster>) {
        self.lock().remove(cluster);
    }

    fn within(&self, namespace: Option<&String>) -> Vec<(ObjectRef<KafkaCluster>, Beat)> {
        let is_within =
            |of: &ObjectRef<KafkaCluster>| namespace.is_none() || of.namespace.as_ref() == namespace;
        let all = self.lock();
        all.iter().filter(|(of, _)| is_within(of)).map(|(of, beat)| (of.clone(), beat.clone())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectRef<KafkaCluster>, Beat>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says so whenever a cluster of a namespace, or any, has changed.
pub(crate) fn changes(
    pulse: Arc<Pulse>,
    namespace: Option<String>,
) -> impl Stream<Item = ()> + Send + 'static {
    futures::stream::unfold((pulse, namespace), |(pulse, namespace)| async move {
        let mut has_changed = false;
        while !has_changed {
            tokio::time::sleep(BEAT).await;
            for (cluster, beat) in pulse.within(namespace.as_ref()) {
                if look(&beat.brokers).await != beat.seen {
                    // Its round notes what it sees; until then once is enough.
                    pulse.forget(&cluster);
                    has_changed = true;
                }
            }
        }
        Some(((), (pulse, namespace)))
    })
}

async fn look(brokers: &[(i32, String)]) -> Glance {
    let look = |(id, address): &(i32, String)| {
        let (id, address) = (*id, address.clone());
        async move {
            let (state, verdict) = tokio::join!(node::state(&address), node::restart_check(&address, id));
            // An address may have become another node's.
            let state = state.ok().filter(|state| state.node_id == id);
            (state, verdict.is_ok_and(|verdict| verdict.allowed))
        }
    };
    let answers = futures::future::join_all(brokers.iter().map(look)).await;
    let serves = |state: &Option<NodeState>| state.as_ref().is_some_and(NodeState::serves);
    let seen = answers.iter().map(|(state, may_restart)| (serves(state), *may_restart)).collect();
    Glance::new(seen, answers.iter().filter_map(|(state, _)| state.as_ref()))
}

#[cfg(test)]
mod tests {
    use client::node::NodeState;
    use serde_json::json;

    use super::Glance;

    #[test]
    fn a_glance_changes_with_what_is_unusable_and_not_with_every_topic() {
        let glance = |controller: i32, total: usize, offline: usize| {
            let node = |id: i32| {
                let cluster = json!({
                    "controller": controller,
                    "brokers": [],
                    // Who does not lead the quorum may be behind.
                    "partitions": { "total": total, "offline": if id == controller { offline } else { 9 }, "underMinIsr": 0 },
                    "reassigning": 0,
                    "rebalance": { "isActive": false, "partitionsLeft": 0, "partitionsBlocked": 0 },
                });
                let body = json!({
                    "nodeId": id, "directoryId": "d", "status": "ready", "version": "1", "cluster": cluster,
                });
                serde_json::from_value::<NodeState>(body).expect("a state")
            };
            let nodes = [node(0), node(1)];
            Glance::new(vec![(true, true); 2], nodes.iter())
        };
        assert_eq!(glance(1, 12, 0), glance(1, 13, 0));
        assert_ne!(glance(1, 12, 0), glance(1, 12, 1));
        assert_ne!(glance(1, 12, 0), glance(0, 12, 0));
    }
}
