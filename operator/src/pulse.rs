//! What no watch of Kubernetes tells: whether brokers serve and may be restarted. Looks at settled clusters every few seconds,
//! asking a broker only, and has a cluster reconciled when something is otherwise than its last round saw it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::node::{self, ClusterState};
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
    /// All nodes.
    pub(crate) nodes: Vec<i32>,
    /// Who is asked, by id: the active controller's node alone, which knows of all others; and everybody in turn where none
    /// is known.
    pub(crate) endpoints: Vec<(i32, String)>,
    /// What was answered.
    pub(crate) seen: Glance,
}

/// As much of a cluster as changes without Kubernetes hearing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Glance {
    /// Of each registered broker: whether it is fenced.
    brokers: BTreeMap<i32, bool>,
    /// The nodes that may be restarted.
    restartable: BTreeSet<i32>,
    /// The node of the active controller.
    controller: Option<i32>,
    /// How many partitions have no leader, and how many are under their `min.insync.replicas`. Not how many there are: that
    /// changes with every topic, and concerns nobody here.
    unusable: Option<(usize, usize)>,
}

impl Glance {
    /// Of a cluster as one of its nodes knows it.
    pub(crate) fn new(cluster: Option<&ClusterState>, restartable: impl Iterator<Item = i32>) -> Glance {
        let Some(cluster) = cluster else { return Glance::default() };
        Glance {
            brokers: cluster.brokers.iter().map(|broker| (broker.id, broker.is_fenced)).collect(),
            restartable: restartable.collect(),
            controller: cluster.controller,
            unusable: cluster.partitions.map(|partitions| (partitions.offline, partitions.under_min_isr)),
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
                if look(&beat).await != beat.seen {
                    // Its round notes what it sees; until then once is enough.
                    pulse.forget(&cluster);
                    has_changed = true;
                }
            }
        }
        Some(((), (pulse, namespace)))
    })
}

async fn look(beat: &Beat) -> Glance {
    for (id, address) in &beat.endpoints {
        let nodes = beat.nodes.iter().copied();
        let (state, verdicts) = tokio::join!(node::state(address), node::restart_checks(address, nodes));
        // An address may have become another node's.
        let cluster = state.ok().filter(|state| state.node_id == *id).and_then(|state| state.cluster);
        if cluster.is_some() {
            let restartable = verdicts.into_iter().flatten().filter(|verdict| verdict.allowed);
            return Glance::new(cluster.as_ref(), restartable.map(|verdict| verdict.node));
        }
    }
    Glance::default()
}

#[cfg(test)]
mod tests {
    use client::node::ClusterState;
    use serde_json::json;

    use super::Glance;

    #[test]
    fn a_glance_changes_with_what_is_unusable_and_not_with_every_topic() {
        let glance = |controller: i32, total: usize, offline: usize, is_fenced: bool, restartable: &[i32]| {
            let broker = |id: i32, is_fenced: bool| {
                json!({
                    "id": id, "isFenced": is_fenced, "isCordoned": false, "replicas": total, "leaving": 0, "leaders": 1,
                })
            };
            let cluster = json!({
                "controller": controller,
                "brokers": [broker(0, false), broker(1, is_fenced)],
                "partitions": { "total": total, "offline": offline, "underMinIsr": 0 },
                "reassigning": 0,
                "rebalance": { "isActive": false, "partitionsLeft": 0, "partitionsBlocked": 0 },
            });
            let cluster: ClusterState = serde_json::from_value(cluster).expect("a state");
            Glance::new(Some(&cluster), restartable.iter().copied())
        };
        let usual = glance(1, 12, 0, false, &[0, 1]);
        assert_eq!(usual, glance(1, 13, 0, false, &[1, 0]));
        assert_ne!(usual, glance(0, 12, 0, false, &[0, 1]));
        assert_ne!(usual, glance(1, 12, 1, false, &[0, 1]));
        assert_ne!(usual, glance(1, 12, 0, true, &[0, 1]));
        assert_ne!(usual, glance(1, 12, 0, false, &[0]));
        assert_eq!(Glance::new(None, [0].into_iter()), Glance::default());
    }
}
