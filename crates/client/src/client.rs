//! The way into a cluster: bootstrap, one connection per broker and purpose, cached metadata and coordinators, retries.
//! Knows no API beyond those that find a broker.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::messages::find_coordinator_response::Coordinator;
use protocol::messages::metadata_request::MetadataRequestTopic;
use protocol::messages::{FindCoordinatorRequest, MetadataRequest};
use protocol::{Request, Utf8Bytes};
use tokio::time::{Instant, sleep};
use types::ErrorCode;

use crate::{BrokerError, ClientConfig, ClusterMetadata, Connection, Error, Node};

/// What a connection is for. A broker answers one connection in order, so that a request that waits on purpose (a fetch
/// for data, a member for its group) needs one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Requests that are answered at once.
    Ask,
    /// Produce.
    Produce,
    /// Fetch.
    Fetch,
    /// JoinGroup and SyncGroup.
    Join,
}

/// A cluster, as a client sees it. Clones share connections and cache.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Arc<Connection>>>>;

#[derive(Debug)]
struct Inner {
    config: ClientConfig,
    connections: Mutex<BTreeMap<(String, Purpose), Slot>>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Of the topics those that were fine when they were last asked for.
    metadata: Arc<ClusterMetadata>,
    topics_at: BTreeMap<String, Instant>,
    coordinators: BTreeMap<String, Node>,
    has_connected: bool,
}

impl Client {
    /// Connects to nothing yet.
    pub fn new(config: ClientConfig) -> Result<Client, Error> {
        config.bootstrap_servers.iter().try_for_each(|server| crate::config::check_address(server))?;
        if config.bootstrap_servers.is_empty() {
            return Err(Error::InvalidAddress { address: String::new() });
        }
        let inner = Inner { config, connections: Mutex::default(), known: Mutex::default() };
        Ok(Client { inner: Arc::new(inner) })
    }

    /// How it was configured.
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// A connection to whichever broker answers, those known first.
    pub async fn any_broker(&self) -> Result<Arc<Connection>, Error> {
        let metadata = self.known().metadata.clone();
        let mut addresses: Vec<_> = metadata.brokers.values().map(|node| self.dialled(node)).collect();
        addresses.extend(self.inner.config.bootstrap_servers.iter().cloned());
        addresses.dedup();
        let mut last = None;
        for address in &addresses {
            match self.connect(address, Purpose::Ask).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
        }
        let reason = match last {
            Some(Error::Connect { reason, .. } | Error::Disconnected { reason, .. }) => reason,
            Some(error) => return Err(error),
            None => "there is no address".to_owned(),
        };
        Err(Error::NoBrokerReachable { tried: self.inner.config.bootstrap_servers.join(", "), reason })
    }

    /// A connection to one broker.
    pub async fn broker(&self, node: &Node, purpose: Purpose) -> Result<Arc<Connection>, Error> {
        self.connect(&self.dialled(node), purpose).await
    }

    /// A connection to the broker of an id.
    pub async fn broker_by_id(&self, id: i32, purpose: Purpose) -> Result<Arc<Connection>, Error> {
        let mut node = self.known().metadata.brokers.get(&id).cloned();
        if node.is_none() {
            node = self.look(Some(&[])).await?.brokers.get(&id).cloned();
        }
        let node = node.ok_or_else(|| Error::Invalid(format!("the cluster has no broker {id}")))?;
        self.broker(&node, purpose).await
    }

    /// Metadata with these topics in it, from the cache if it is young enough. A topic that does not exist is in it with
    /// its error, or not at all.
    pub async fn metadata(&self, topics: &[&str]) -> Result<Arc<ClusterMetadata>, Error> {
        {
            let known = self.known();
            let is_fresh = |topic: &&str| {
                known
                    .topics_at
                    .get(*topic)
                    .is_some_and(|at| at.elapsed() < self.inner.config.metadata_max_age)
            };
            if !topics.is_empty() && topics.iter().all(is_fresh) {
                return Ok(known.metadata.clone());
            }
        }
        self.refresh(topics).await
    }

    /// Asks for the metadata of these topics, which is in the cache from then on.
    pub async fn refresh(&self, topics: &[&str]) -> Result<Arc<ClusterMetadata>, Error> {
        let learned = self.ask_metadata(Some(topics), false).await?;
        self.known().learn_topics(topics, &learned);
        Ok(Arc::new(learned))
    }

    /// The same for a topic that the broker may create as it is configured to (`auto.create.topics.enable`).
    pub async fn refresh_or_create(&self, topic: &str) -> Result<Arc<ClusterMetadata>, Error> {
        let learned = self.ask_metadata(Some(&[topic]), true).await?;
        self.known().learn_topics(&[topic], &learned);
        Ok(Arc::new(learned))
    }

    /// Asks for metadata: of these topics, of none, or with `None` of all. The topics are not cached: somebody who looks at
    /// thousands of them produces to none.
    pub async fn look(&self, topics: Option<&[&str]>) -> Result<ClusterMetadata, Error> {
        self.ask_metadata(topics, false).await
    }

    /// Drops what is known of a topic, after an answer that contradicts it.
    pub fn forget_topic(&self, topic: &str) {
        self.known().topics_at.remove(topic);
    }

    /// The coordinator of a consumer group.
    pub async fn group_coordinator(&self, group: &str) -> Result<Node, Error> {
        if let Some(node) = self.known().coordinators.get(group) {
            return Ok(node.clone());
        }
        let connection = self.any_broker().await?;
        let version = connection.version::<FindCoordinatorRequest>(6)?;
        let key = Utf8Bytes::from(group);
        let request = match version >= 4 {
            true => FindCoordinatorRequest { coordinator_keys: vec![key], ..Default::default() },
            false => FindCoordinatorRequest { key, ..Default::default() },
        };
        let response = connection.send_version(&request, version, self.inner.config.request_timeout).await?;
        let found = response.coordinators.into_iter().next().unwrap_or(Coordinator {
            error_code: response.error_code,
            error_message: response.error_message,
            node_id: response.node_id,
            host: response.host,
            port: response.port,
            ..Default::default()
        });
        BrokerError::check(found.error_code, found.error_message.as_ref())
            .map_err(|error| Error::refused(format!("finding the coordinator of group {group}"), error))?;
        let node =
            Node { id: found.node_id, host: found.host.as_str().to_owned(), port: found.port, rack: None };
        self.known().coordinators.insert(group.to_owned(), node.clone());
        Ok(node)
    }

    /// Drops what is known of a group's coordinator.
    pub fn forget_coordinator(&self, group: &str) {
        self.known().coordinators.remove(group);
    }

    /// Sends to whichever broker answers.
    pub async fn ask<R: Request>(&self, request: &R) -> Result<R::Response, Error> {
        self.any_broker().await?.send(request).await
    }

    /// Sends to the coordinator of a group, in a version of at most `cap`.
    pub async fn ask_coordinator<R: Request>(
        &self,
        group: &str,
        request: &R,
        cap: i16,
    ) -> Result<R::Response, Error> {
        let node = self.group_coordinator(group).await?;
        let sent = async {
            let connection = self.broker(&node, Purpose::Ask).await?;
            let version = connection.version::<R>(cap)?;
            connection.send_version(request, version, self.inner.config.request_timeout).await
        };
        let result = sent.await;
        if result.is_err() {
            self.forget_coordinator(group);
        }
        result
    }

    /// Repeats what fails for a while only: with growing pauses, until the operation's time is over. A cluster that has
    /// never answered is not waited for: its address may be wrong.
    pub async fn retry<T, F: Future<Output = Result<T, Error>>>(
        &self,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + self.inner.config.operation_timeout;
        let mut pause = self.inner.config.retry_backoff;
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let is_lost = matches!(error, Error::NoBrokerReachable { .. }) && !self.known().has_connected;
            if !error.is_retriable() || is_lost || Instant::now() + pause >= deadline {
                return Err(error);
            }
            tracing::debug!(%error, pause_ms = pause.as_millis() as u64, "retrying");
            self.note_failure(&error);
            sleep(pause).await;
            pause = (pause * 2).min(self.inner.config.retry_backoff_max);
        }
    }

    /// Time for one request.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.inner.config.request_timeout
    }

    fn note_failure(&self, error: &Error) {
        let mut known = self.known();
        known.topics_at.clear();
        if matches!(error.code(), None | Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable))
        {
            known.coordinators.clear();
        }
    }

    async fn ask_metadata(
        &self,
        topics: Option<&[&str]>,
        may_create: bool,
    ) -> Result<ClusterMetadata, Error> {
        let named = |topic: &&str| MetadataRequestTopic {
            name: Some(Utf8Bytes::from(*topic)),
            ..MetadataRequestTopic::default()
        };
        let connection = self.any_broker().await?;
        // Version 1 is the first in which no topics means none.
        let version = connection.version::<MetadataRequest>(i16::MAX)?;
        let request = MetadataRequest {
            topics: topics.map(|topics| topics.iter().map(named).collect()),
            allow_auto_topic_creation: may_create || version < 4,
            ..MetadataRequest::default()
        };
        let response = connection.send_version(&request, version, self.inner.config.request_timeout).await?;
        BrokerError::check(response.error_code, None)
            .map_err(|error| Error::refused("asking for the cluster's metadata", error))?;
        let learned = ClusterMetadata::new(&response);
        self.known().learn_brokers(&learned);
        Ok(learned)
    }

    async fn connect(&self, address: &str, purpose: Purpose) -> Result<Arc<Connection>, Error> {
        let slot = {
            let mut connections = self.inner.connections.lock().unwrap_or_else(PoisonError::into_inner);
            connections.entry((address.to_owned(), purpose)).or_default().clone()
        };
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let connection = Arc::new(Connection::open(address, &self.inner.config).await?);
        *slot = Some(connection.clone());
        self.known().has_connected = true;
        Ok(connection)
    }

    fn dialled(&self, node: &Node) -> String {
        self.inner.config.address_map.resolve(&node.host, node.port)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn learn_brokers(&mut self, learned: &ClusterMetadata) {
        let known = Arc::make_mut(&mut self.metadata);
        known.cluster_id.clone_from(&learned.cluster_id);
        known.controller_id = learned.controller_id;
        known.brokers.clone_from(&learned.brokers);
    }

    /// What was asked for and is not fine is not in the cache any longer.
    fn learn_topics(&mut self, asked: &[&str], learned: &ClusterMetadata) {
        let known = Arc::make_mut(&mut self.metadata);
        for name in asked.iter().copied() {
            match learned.topics.get(name).filter(|topic| topic.error.is_none()) {
                Some(topic) => {
                    known.topics.insert(name.to_owned(), topic.clone());
                    self.topics_at.insert(name.to_owned(), Instant::now());
                }
                None => {
                    known.topics.remove(name);
                    self.topics_at.remove(name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use types::TopicId;

    use super::*;
    use crate::metadata::TopicMetadata;

    fn answer(broker: i32, topics: &[(&str, Option<ErrorCode>)]) -> ClusterMetadata {
        let topic = |&(name, error): &(&str, Option<ErrorCode>)| {
            let (name, topic_id) = (name.to_owned(), TopicId::default());
            (
                name.clone(),
                TopicMetadata { name, topic_id, is_internal: false, error, partitions: Vec::new() },
            )
        };
        let node = Node { id: broker, host: "localhost".to_owned(), port: 9092, rack: None };
        ClusterMetadata {
            brokers: BTreeMap::from([(broker, node)]),
            topics: topics.iter().map(topic).collect(),
            ..ClusterMetadata::default()
        }
    }

    fn cached(known: &Known) -> Vec<&str> {
        assert!(known.metadata.topics.keys().eq(known.topics_at.keys()), "{known:?}");
        known.topics_at.keys().map(String::as_str).collect()
    }

    #[test]
    fn the_cache_holds_the_topics_that_were_asked_for_as_long_as_they_are_fine() {
        let mut known = Known::default();
        known.learn_topics(&["a", "b"], &answer(0, &[("a", None), ("b", None)]));
        assert_eq!(cached(&known), ["a", "b"]);
        let before = Arc::clone(&known.metadata);

        known.learn_topics(
            &["b", "c"],
            &answer(0, &[("b", Some(ErrorCode::UnknownTopicOrPartition)), ("c", None)]),
        );
        assert_eq!(cached(&known), ["a", "c"]);
        assert!(before.topic("b").is_ok(), "who holds an older answer keeps it");

        known.learn_topics(&["c"], &answer(0, &[]));
        assert_eq!(cached(&known), ["a"], "not answered at all");
    }

    #[test]
    fn brokers_are_those_of_the_last_answer() {
        let mut known = Known::default();
        known.learn_topics(&["a"], &answer(0, &[("a", None)]));
        known.learn_brokers(&answer(1, &[]));
        known.learn_brokers(&answer(2, &[]));
        assert_eq!(known.metadata.brokers.keys().collect::<Vec<_>>(), [&2]);
        assert_eq!(cached(&known), ["a"]);
    }
}
