//! The watches and lists of the operator's own kinds. Which changes have an object looked at again, and which concern others:
//! what the operator itself writes into a status concerns nobody.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::{Stream, TryStreamExt};
use kube::api::ListParams;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Error, Event, watcher};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates};
use kube::{Api, Resource, ResourceExt};
use resources::{KafkaCluster, KafkaTopic};
use serde::de::DeserializeOwned;

use crate::conditions::unreachable;
use crate::metrics::Metrics;
use crate::nudges::{Nudge, Nudges};

/// Objects in one answer of the API server: a page is in memory as text and whole, what is kept of it is less.
const PAGE: u32 = 100;

/// KafkaTopics that were edited. Who is going leaves its topic to whoever else claims it.
pub(crate) fn topics(
    api: Api<KafkaTopic>,
    writer: Writer<KafkaTopic>,
    nudges: Nudges,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = Result<KafkaTopic, Error>> + Send {
    edited(api, writer, move |event| {
        metrics.watched("KafkaTopic");
        match event {
            Event::Delete(topic) => nudges.released(topic),
            Event::Apply(topic) | Event::InitApply(topic) => {
                if topic.metadata.deletion_timestamp.is_some() {
                    nudges.released(topic);
                }
            }
            Event::Init | Event::InitDone => {}
        }
    })
}

/// KafkaClusters that were edited. Their topics are told of that too, and of whether they can be reached.
pub(crate) fn clusters(
    api: Api<KafkaCluster>,
    writer: Writer<KafkaCluster>,
    nudges: Nudges,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = Result<KafkaCluster, Error>> + Send {
    let mut seen = Seen::default();
    edited(api, writer, move |event| {
        metrics.watched("KafkaCluster");
        if let Some(nudge) = seen.note(event) {
            nudges.tell(nudge);
        }
    })
}

fn edited<K>(
    api: Api<K>,
    writer: Writer<K>,
    note: impl FnMut(&Event<K>) + Send,
) -> impl Stream<Item = Result<K, Error>> + Send
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let is_going = |object: &K| Some(u64::from(object.meta().deletion_timestamp.is_some()));
    let edits = predicates::generation
        .combine(predicates::finalizers)
        .combine(predicates::annotations)
        .combine(is_going);
    // What is noted is in the store already: whoever is told finds it there.
    watcher(api, watcher::Config::default().page_size(PAGE))
        .default_backoff()
        .modify(forget_fields)
        .reflect(writer)
        .inspect_ok(note)
        .applied_objects()
        .predicate_filter(edits, PredicateConfig::default())
}

/// All objects as they are now; all pages are of the moment of the first.
pub(crate) async fn list<K>(api: &Api<K>) -> kube::Result<Vec<K>>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut all = Vec::new();
    let mut from = ListParams::default().limit(PAGE);
    loop {
        let mut page = api.list(&from).await?;
        page.items.iter_mut().for_each(forget_fields);
        all.append(&mut page.items);
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => from = from.continue_token(&next),
            None => return Ok(all),
        }
    }
}

/// Who set which field is of no use here, and takes most of an object's memory.
fn forget_fields<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

/// What topics have been told of their clusters.
#[derive(Debug, Default)]
struct Seen(HashMap<(String, String), Shape>);

/// As much of a cluster as its topics go by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shape {
    uid: Option<String>,
    generation: Option<i64>,
    is_going: bool,
    is_reachable: bool,
}

impl Seen {
    fn note(&mut self, event: &Event<KafkaCluster>) -> Option<Nudge> {
        let name = |cluster: &KafkaCluster| (cluster.namespace().unwrap_or_default(), cluster.name_any());
        let (namespace, name) = match event {
            Event::Init | Event::InitDone => return None,
            Event::Delete(cluster) => {
                self.0.remove(&name(cluster));
                name(cluster)
            }
            Event::Apply(cluster) | Event::InitApply(cluster) => {
                let shape = shape(cluster);
                if self.0.insert(name(cluster), shape.clone()) == Some(shape) {
                    return None;
                }
                name(cluster)
            }
        };
        Some(Nudge::Cluster { namespace, name })
    }
}

fn shape(cluster: &KafkaCluster) -> Shape {
    Shape {
        uid: cluster.uid(),
        generation: cluster.metadata.generation,
        is_going: cluster.metadata.deletion_timestamp.is_some(),
        is_reachable: unreachable(cluster).is_none(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use axum::extract::Query;
    use axum::routing::get;
    use axum::{Json, Router};
    use kube::runtime::watcher::Event;
    use kube::{Api, Client, ResourceExt};
    use resources::{KafkaCluster, KafkaTopic};
    use serde_json::{Value, json};

    use super::{Nudge, PAGE, Seen, list};

    /// Two topics on the first page and one on the second, each with who set its fields.
    async fn pages(Query(query): Query<HashMap<String, String>>) -> Json<Value> {
        assert_eq!(query.get("limit"), Some(&PAGE.to_string()), "{query:?}");
        let (names, next): (&[&str], _) = match query.get("continue").map(String::as_str) {
            None => (&["a", "b"], "two"),
            Some("two") => (&["c"], ""),
            Some(other) => panic!("a page {other}"),
        };
        let topic = |name: &&str| {
            json!({
                "apiVersion": "taffrail.dev/v1alpha1",
                "kind": "KafkaTopic",
                "metadata": { "name": name, "managedFields": [{ "manager": "kubectl", "fieldsV1": { "f:spec": {} } }] },
                "spec": { "clusterRef": { "name": "demo" }, "partitions": 1, "replicas": 1 },
            })
        };
        Json(
            json!({ "metadata": { "continue": next }, "items": names.iter().map(topic).collect::<Vec<_>>() }),
        )
    }

    #[tokio::test]
    async fn all_pages_are_read_and_who_set_which_field_is_not_kept() {
        let path = "/apis/taffrail.dev/v1alpha1/namespaces/kafka/kafkatopics";
        let client = Client::new(Router::new().route(path, get(pages)), "kafka");
        let all = list(&Api::<KafkaTopic>::namespaced(client, "kafka")).await.expect("a list");
        assert_eq!(all.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(all.iter().all(|topic| topic.managed_fields().is_empty()), "{all:?}");
    }

    fn cluster(generation: i64, status: Value) -> KafkaCluster {
        let body = json!({
            "apiVersion": "taffrail.dev/v1alpha1",
            "kind": "KafkaCluster",
            "metadata": { "name": "demo", "namespace": "kafka", "uid": "u-1", "generation": generation },
            "spec": { "brokers": { "replicas": 1, "storage": { "ephemeral": {} } } },
            "status": status,
        });
        serde_json::from_value(body).expect("a KafkaCluster")
    }

    #[test]
    fn topics_hear_of_edits_and_of_availability_and_not_of_progress() {
        let available = |status: &str| {
            json!({ "conditions": [{
                "type": "Available", "status": status, "reason": "R", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }] })
        };
        let mut moving = available("True");
        moving["rebalance"] = json!({ "partitionsLeft": 3, "bytesLeft": 4096 });
        let mut in_part = available("False");
        in_part["conditions"][0]["reason"] = json!("OfflinePartitions");
        let mut seen = Seen::default();
        let mut hears = |event| match seen.note(&event) {
            None => false,
            Some(nudge) => {
                let demo = Nudge::Cluster { namespace: "kafka".to_owned(), name: "demo".to_owned() };
                assert_eq!(nudge, demo);
                true
            }
        };
        assert!(hears(Event::InitApply(cluster(1, Value::Null))));
        assert!(hears(Event::Apply(cluster(1, available("True")))));
        assert!(!hears(Event::Apply(cluster(1, moving))));
        assert!(hears(Event::Apply(cluster(2, available("True")))));
        assert!(!hears(Event::Apply(cluster(2, in_part))), "brokers answer");
        assert!(hears(Event::Apply(cluster(2, available("False")))));
        assert!(!hears(Event::InitApply(cluster(2, available("False")))));
        assert!(hears(Event::Delete(cluster(2, available("False")))));
        assert!(hears(Event::Apply(cluster(2, available("False")))), "it was made again");
    }
}
