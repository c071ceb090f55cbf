//! What has a KafkaTopic looked at again although nobody changed it: its cluster changed, a topic that it waits for was given
//! up, or its namespace has other labels. Told to the controllers of all namespaces, each of which knows its own topics.

use futures::{Stream, StreamExt};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use resources::KafkaTopic;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};

/// Who is behind by more misses some, and looks once a minute anyway.
const BEHIND_MAX: usize = 1024;

/// Why topics are to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Nudge {
    /// A KafkaTopic is going or gone: whoever claims the same topic may have it.
    Released { cluster_namespace: String, cluster: String, topic: String },
    /// A namespace may be admitted now, or no longer.
    Relabelled { namespace: String },
    /// A KafkaCluster was edited or deleted, or serves now or no longer.
    Cluster { namespace: String, name: String },
}

/// Where nudges come together.
#[derive(Clone, Debug)]
pub(crate) struct Nudges(Sender<Nudge>);

impl Default for Nudges {
    fn default() -> Nudges {
        Nudges(broadcast::channel(BEHIND_MAX).0)
    }
}

impl Nudges {
    /// Tells all controllers, if there is one.
    pub(crate) fn tell(&self, nudge: Nudge) {
        // Without a controller there is nobody to tell, and nothing to miss.
        let _ = self.0.send(nudge);
    }

    /// A KafkaTopic that is going or gone.
    pub(crate) fn released(&self, topic: &KafkaTopic) {
        self.tell(Nudge::Released {
            cluster_namespace: topic.cluster_namespace().to_owned(),
            cluster: topic.spec.cluster_ref.name.clone(),
            topic: topic.topic_name().to_owned(),
        });
    }

    /// The topics of a store that are to be looked at, from now on.
    pub(crate) fn topics(
        &self,
        store: Store<KafkaTopic>,
    ) -> impl Stream<Item = ObjectRef<KafkaTopic>> + use<> {
        let nudges = futures::stream::unfold(self.0.subscribe(), next);
        nudges.flat_map(move |nudge| {
            let topics = store.state().into_iter().filter(move |topic| nudge.concerns(topic));
            futures::stream::iter(topics.map(|topic| ObjectRef::from_obj(&*topic)).collect::<Vec<_>>())
        })
    }
}

async fn next(mut nudges: Receiver<Nudge>) -> Option<(Nudge, Receiver<Nudge>)> {
    loop {
        match nudges.recv().await {
            Ok(nudge) => return Some((nudge, nudges)),
            Err(RecvError::Lagged(missed)) => {
                tracing::debug!(missed, "topics are looked at with the next minute")
            }
            Err(RecvError::Closed) => return None,
        }
    }
}

impl Nudge {
    fn concerns(&self, topic: &KafkaTopic) -> bool {
        match self {
            Nudge::Released { cluster_namespace, cluster, topic: name } => {
                topic.topic_name() == name
                    && topic.spec.cluster_ref.name == *cluster
                    && topic.cluster_namespace() == cluster_namespace
            }
            // Its own namespace is admitted whatever its labels are.
            Nudge::Relabelled { namespace } => {
                topic.namespace().as_ref() == Some(namespace) && topic.cluster_namespace() != namespace
            }
            Nudge::Cluster { namespace, name } => {
                topic.spec.cluster_ref.name == *name && topic.cluster_namespace() == namespace
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use kube::runtime::reflector::{self, ObjectRef};
    use kube::runtime::watcher::Event;
    use resources::KafkaTopic;
    use serde_json::{Value, json};

    use super::{Nudge, Nudges};

    fn topic(namespace: &str, name: &str, spec: Value) -> KafkaTopic {
        let mut body = json!({
            "apiVersion": "taffrail.dev/v1alpha1",
            "kind": "KafkaTopic",
            "metadata": { "name": name, "namespace": namespace },
            "spec": { "clusterRef": { "name": "demo" }, "partitions": 1, "replicas": 1 },
        });
        for (key, value) in spec.as_object().into_iter().flatten() {
            body["spec"][key] = value.clone();
        }
        serde_json::from_value(body).expect("a KafkaTopic")
    }

    #[tokio::test]
    async fn heirs_and_topics_of_other_namespaces_are_looked_at() {
        let from_afar =
            json!({ "clusterRef": { "name": "demo", "namespace": "kafka" }, "topicName": "orders" });
        let (store, mut writer) = reflector::store();
        for topic in [
            topic("kafka", "orders", json!({})),
            topic("kafka", "heir", json!({ "topicName": "orders" })),
            topic("kafka", "other", json!({})),
            topic("kafka", "elsewhere", json!({ "clusterRef": { "name": "two" }, "topicName": "orders" })),
            topic("shop", "far", from_afar),
            topic("shop", "orders", json!({})),
        ] {
            writer.apply_watcher_event(&Event::Apply(topic));
        }
        let nudges = Nudges::default();
        nudges.released(&topic("kafka", "orders", json!({})));
        let stream = nudges.topics(store);
        nudges.released(&topic("kafka", "orders", json!({})));
        nudges.tell(Nudge::Relabelled { namespace: "shop".to_owned() });
        nudges.tell(Nudge::Relabelled { namespace: "kafka".to_owned() });
        nudges.tell(Nudge::Cluster { namespace: "kafka".to_owned(), name: "two".to_owned() });
        drop(nudges);
        let mut told: Vec<ObjectRef<KafkaTopic>> = stream.collect().await;
        let of_cluster = told.pop().expect("the cluster's");
        let last = told.pop().expect("the namespace's");
        let name =
            |one: &ObjectRef<KafkaTopic>| format!("{}/{}", one.namespace.as_deref().unwrap_or(""), one.name);
        let mut names: Vec<_> = told.iter().map(name).collect();
        names.sort();
        assert_eq!(
            names,
            ["kafka/heir", "kafka/orders", "shop/far"],
            "what was said before nobody listened is not told"
        );
        assert_eq!(name(&last), "shop/far", "not the one whose cluster is in its own namespace");
        assert_eq!(name(&of_cluster), "kafka/elsewhere");
    }
}
