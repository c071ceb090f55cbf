//! What the labels of namespaces are, for clusters that take topics by them. Nobody watches namespaces before somebody asks, so
//! that an operator without the right to do so has no complaint to make.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::Notify;

/// The labels of one namespace.
pub(crate) type Labels = BTreeMap<String, String>;

/// The labels of all namespaces, once somebody asked for some.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    is_wanted: Notify,
    /// `None` before the watch has told of all of them.
    known: Mutex<Option<HashMap<String, Labels>>>,
}

/// Why labels are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unknown {
    /// The operator was not given the right.
    #[error("the operator may not read namespaces: install it with rbac.clusterReads=true ({0})")]
    Forbidden(String),
    #[error(transparent)]
    Api(kube::Error),
}

impl Namespaces {
    /// The labels that a namespace has had a moment ago; from now on they are watched.
    pub(crate) async fn labels(&self, client: &Client, namespace: &str) -> Result<Labels, Unknown> {
        let known = self.known().as_ref().map(|all| all.get(namespace).cloned());
        match known {
            Some(Some(labels)) => Ok(labels),
            // A namespace that the watch has not told of yet, or any before it has told of the first.
            Some(None) | None => {
                self.is_wanted.notify_one();
                labels_now(client, namespace).await
            }
        }
    }

    /// Watches namespaces from the first question on, and says of each whose labels changed since it was known.
    pub(crate) async fn watch(&self, client: Client, tell: impl Fn(String)) {
        self.is_wanted.notified().await;
        let all: Api<PartialObjectMeta<Namespace>> = Api::all(client);
        let mut events = Box::pin(watcher(all, watcher::Config::default()).default_backoff());
        let mut listing = HashMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.note(event, &mut listing).into_iter().for_each(&tell),
                Err(error) => tracing::info!(%error, "namespaces cannot be watched; it is tried again"),
            }
        }
    }

    /// Takes in what the watch says. What is answered are the namespaces whose labels changed.
    fn note(
        &self,
        event: Event<PartialObjectMeta<Namespace>>,
        listing: &mut HashMap<String, Labels>,
    ) -> Vec<String> {
        let entry = |namespace: PartialObjectMeta<Namespace>| {
            (namespace.name_any(), namespace.metadata.labels.unwrap_or_default())
        };
        let mut known = self.known();
        match event {
            Event::Init => listing.clear(),
            Event::InitApply(namespace) => listing.extend([entry(namespace)]),
            Event::InitDone => {
                let before = known.replace(std::mem::take(listing)).unwrap_or_default();
                let after = known.iter().flatten();
                let changed = after.filter(|(name, labels)| before.get(*name) != Some(labels));
                return changed.map(|(name, _)| name.clone()).collect();
            }
            Event::Apply(namespace) => {
                let (name, labels) = entry(namespace);
                let all = known.get_or_insert_default();
                if all.get(&name) != Some(&labels) {
                    all.insert(name.clone(), labels);
                    return vec![name];
                }
            }
            Event::Delete(namespace) => drop(known.get_or_insert_default().remove(&namespace.name_any())),
        }
        Vec::new()
    }

    fn known(&self) -> MutexGuard<'_, Option<HashMap<String, Labels>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The labels that a namespace has now; one that is gone has none.
pub(crate) async fn labels_now(client: &Client, namespace: &str) -> Result<Labels, Unknown> {
    let all: Api<Namespace> = Api::all(client.clone());
    match all.get_metadata_opt(namespace).await {
        Ok(found) => Ok(found.and_then(|found| found.metadata.labels).unwrap_or_default()),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Err(Unknown::Forbidden(status.message.clone()))
        }
        Err(error) => Err(Unknown::Api(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use k8s_openapi::api::core::v1::Namespace;
    use kube::core::PartialObjectMeta;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::Namespaces;

    fn namespace(name: &str, team: &str) -> PartialObjectMeta<Namespace> {
        let body = json!({
            "apiVersion": "meta.k8s.io/v1",
            "kind": "PartialObjectMetadata",
            "metadata": { "name": name, "labels": { "team": team } },
        });
        serde_json::from_value(body).expect("metadata of a namespace")
    }

    #[test]
    fn only_what_changed_is_told() {
        let namespaces = Namespaces::default();
        let mut listing = HashMap::new();
        let mut note = |event| {
            let mut changed = namespaces.note(event, &mut listing);
            changed.sort();
            changed
        };
        assert_eq!(note(Event::Init), [""; 0]);
        assert_eq!(note(Event::InitApply(namespace("shop", "shop"))), [""; 0]);
        assert_eq!(note(Event::InitApply(namespace("bank", "bank"))), [""; 0]);
        assert_eq!(note(Event::InitDone), ["bank", "shop"], "what was asked for before may be outdated");
        assert_eq!(note(Event::Apply(namespace("shop", "shop"))), [""; 0]);
        assert_eq!(note(Event::Apply(namespace("shop", "bank"))), ["shop"]);
        // The watch broke, and somebody changed a label meanwhile.
        assert_eq!(note(Event::Init), [""; 0]);
        assert_eq!(note(Event::InitApply(namespace("shop", "bank"))), [""; 0]);
        assert_eq!(note(Event::InitApply(namespace("bank", "both"))), [""; 0]);
        assert_eq!(note(Event::InitDone), ["bank"]);
        assert_eq!(note(Event::Delete(namespace("bank", "both"))), [""; 0]);
        assert_eq!(note(Event::Apply(namespace("bank", "both"))), ["bank"], "it was made again");
    }
}
