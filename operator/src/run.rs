//! The operator's process: its watches, its controllers, its end. What a controller does with one object is in `cluster`
//! and `topic`.

use std::fmt::Debug;
use std::hash::Hash;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{Shared, join_all, pending};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::controller::{self, Action};
use kube::runtime::events::Recorder;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use resources::{KafkaCluster, KafkaTopic};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;

use crate::backoff::Backoff;
use crate::election::{Election, Term};
use crate::kafka::Kafka;
use crate::metrics::Metrics;
use crate::namespaces::Namespaces;
use crate::nudges::{Nudge, Nudges};
use crate::pulse::Pulse;
use crate::{cluster, http, names, pulse, topic, watches};

/// Rounds of one controller that go on at the same time; most of a round is waiting for answers.
const ROUNDS_MAX: u16 = 64;

/// What the operator is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The image of clusters that name none: the operator's own.
    pub image: String,
    /// The namespaces to look after; none means all of them.
    pub namespaces: Vec<String>,
    /// Where metrics and health are served.
    pub bind: String,
    /// Where several operators agree on who works; without it this one does.
    pub election: Option<Election>,
}

/// Why the operator could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Neither a kubeconfig nor a service account leads to an API server.
    #[error(
        "no Kubernetes API server is configured; in a Pod its service account is used, elsewhere KUBECONFIG"
    )]
    Config(#[source] kube::config::InferConfigError),
    /// The API server cannot be asked.
    #[error("the Kubernetes API server cannot be asked")]
    Api(#[from] kube::Error),
    /// The address for metrics and health is taken or wrong.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The Lease cannot be asked for.
    #[error("cannot stand for election")]
    Election(#[from] kube_lease_manager::LeaseManagerError),
    /// Another operator works now.
    #[error("another operator holds the Lease now; this one ends")]
    LeaseLost,
    /// The metrics contradict each other.
    #[error("cannot register the metrics")]
    Metrics(#[from] prometheus::Error),
}

/// What all reconciles share.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) image: String,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) backoff: Backoff,
    pub(crate) refusals: cluster::Refusals,
    pub(crate) kafka: Kafka,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) namespaces: Namespaces,
    pub(crate) nudges: Nudges,
    /// The topics of namespaces as they are now: thousands may be deleted at once, and each asks.
    pub(crate) listings: Arc<topic::Shares<topic::Listing>>,
    /// All KafkaTopics, by watched namespace.
    topics: Mutex<Vec<Store<KafkaTopic>>>,
    /// All KafkaClusters, in the same way.
    clusters: Mutex<Vec<Store<KafkaCluster>>>,
}

impl Context {
    /// A KafkaCluster as the watch knows it.
    pub(crate) fn cluster(&self, of: &ObjectRef<KafkaCluster>) -> Option<Arc<KafkaCluster>> {
        let stores = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        stores.iter().find_map(|store| store.get(of))
    }

    /// The KafkaTopics that are such.
    pub(crate) fn rivals(&self, is_such: &dyn Fn(&KafkaTopic) -> bool) -> Vec<KafkaTopic> {
        let stores = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let all = stores.iter().flat_map(Store::state);
        all.filter(|topic| is_such(topic)).map(|topic| (*topic).clone()).collect()
    }
}

/// Why a reconcile failed; it is done again after a while.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(crate) struct Failure(#[from] anyhow::Error);

type Stop = Shared<futures::future::BoxFuture<'static, ()>>;

/// Runs until `stop` is done; a reconcile that is under way finishes.
pub async fn run(options: Options, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), RunError> {
    let config = kube::Config::infer().await.map_err(RunError::Config)?;
    let client = Client::try_from(config)?;
    let version = client.apiserver_version().await?;
    let listener = TcpListener::bind(&options.bind)
        .await
        .map_err(|source| RunError::Listen { address: options.bind.clone(), source })?;
    tracing::info!(
        kubernetes = version.git_version,
        namespaces = ?options.namespaces,
        image = options.image,
        "the operator runs"
    );

    let metrics = Arc::new(Metrics::new()?);
    let endpoint = tokio::spawn(http::serve(listener, Arc::clone(&metrics)));
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), names::MANAGER.into()),
        client,
        image: options.image,
        metrics,
        backoff: Backoff::default(),
        refusals: cluster::Refusals::default(),
        kafka: Kafka::default(),
        pulse: Arc::default(),
        namespaces: Namespaces::default(),
        nudges: Nudges::default(),
        listings: Arc::default(),
        topics: Mutex::default(),
        clusters: Mutex::default(),
    });
    let stop: Stop = stop.boxed().shared();
    let Some(election) = options.election else {
        control(context, options.namespaces, stop).await;
        endpoint.abort();
        tracing::info!("the operator stops");
        return Ok(());
    };
    let mut term = Term::stand(context.client.clone(), &election).await?;
    tokio::select! {
        () = term.begun() => tracing::info!(identity = election.identity, "this operator works"),
        () = stop.clone() => {
            term.end().await;
            return Ok(());
        }
    }
    let outcome = tokio::select! {
        () = control(context, options.namespaces, stop) => Ok(()),
        () = term.lost() => Err(RunError::LeaseLost),
    };
    // What was under way is done: whoever waits for the Lease may have it at once.
    term.end().await;
    endpoint.abort();
    tracing::info!("the operator stops");
    outcome
}

/// Runs the controllers of all namespaces until `stop`.
async fn control(context: Arc<Context>, namespaces: Vec<String>, stop: Stop) {
    let scopes: Vec<Option<String>> = match namespaces.is_empty() {
        true => vec![None],
        false => namespaces.into_iter().map(Some).collect(),
    };
    let controllers = scopes.into_iter().flat_map(|scope| {
        [
            clusters(Arc::clone(&context), scope.clone(), stop.clone()).boxed(),
            topics(Arc::clone(&context), scope, stop.clone()).boxed(),
        ]
    });
    let nudges = context.nudges.clone();
    let relabelled = move |namespace| nudges.tell(Nudge::Relabelled { namespace });
    let namespaces = context.namespaces.watch(context.client.clone(), relabelled);
    // The controllers end, and end the watch with them.
    futures::future::select(pin!(join_all(controllers)), pin!(namespaces.then(|()| pending::<()>()))).await;
}

fn api<K>(context: &Context, scope: Option<&str>) -> Api<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    match scope {
        Some(namespace) => Api::namespaced(context.client.clone(), namespace),
        None => Api::all(context.client.clone()),
    }
}

async fn clusters(context: Arc<Context>, scope: Option<String>, stop: Stop) {
    let scope = scope.as_deref();
    let ours = || watcher::Config::default().labels(names::MANAGED);
    let (store, writer) = reflector::store();
    let edited =
        watches::clusters(api(&context, scope), writer, context.nudges.clone(), Arc::clone(&context.metrics));
    context.clusters.lock().unwrap_or_else(PoisonError::into_inner).push(store.clone());
    let controller = Controller::for_stream(edited, store)
        .with_config(at_once())
        .owns(api::<StatefulSet>(&context, scope), ours())
        .owns(api::<Service>(&context, scope), ours())
        .owns(api::<ConfigMap>(&context, scope), ours())
        .owns(api::<PodDisruptionBudget>(&context, scope), ours())
        // A StatefulSet owns its Pods, and nobody their volumes: both lead to the cluster by their labels.
        .watches(api::<Pod>(&context, scope), ours(), by_label("Pod", &context))
        .watches(
            api::<PersistentVolumeClaim>(&context, scope),
            ours(),
            by_label("PersistentVolumeClaim", &context),
        )
        .reconcile_all_on(pulse::changes(Arc::clone(&context.pulse), scope.map(str::to_owned)))
        .graceful_shutdown_on(stop);
    let rounds = controller.run(
        |object, context| async move { Ok(Box::pin(cluster::reconcile(&object, &context)).await?) },
        |object, failure: &Failure, context| retry("KafkaCluster", &*object, failure, &context),
        context,
    );
    rounds.for_each(log_watch_errors).await;
}

async fn topics(context: Arc<Context>, scope: Option<String>, stop: Stop) {
    let scope = scope.as_deref();
    let (store, writer) = reflector::store();
    let edited =
        watches::topics(api(&context, scope), writer, context.nudges.clone(), Arc::clone(&context.metrics));
    context.topics.lock().unwrap_or_else(PoisonError::into_inner).push(store.clone());
    let rounds = Controller::for_stream(edited, store.clone())
        .with_config(at_once())
        .reconcile_on(context.nudges.topics(store))
        .graceful_shutdown_on(stop)
        .run(
            |object, context| async move { Ok(Box::pin(topic::reconcile(&object, &context)).await?) },
            |object, failure: &Failure, context| retry("KafkaTopic", &*object, failure, &context),
            context,
        );
    rounds.for_each(log_watch_errors).await;
}

/// After a restart every object is due at the same moment: rounds, and what they hold, are bounded.
fn at_once() -> controller::Config {
    controller::Config::default().concurrency(ROUNDS_MAX)
}

fn by_label<K: Resource>(
    kind: &'static str,
    context: &Context,
) -> impl Fn(K) -> Option<ObjectRef<KafkaCluster>> + use<K> {
    let metrics = Arc::clone(&context.metrics);
    move |child| {
        metrics.watched(kind);
        let cluster = child.labels().get(names::INSTANCE_LABEL)?;
        Some(ObjectRef::new(cluster).within(&child.namespace()?))
    }
}

fn retry<K: Resource<DynamicType = ()>>(
    kind: &'static str,
    object: &K,
    failure: &Failure,
    context: &Context,
) -> Action {
    context.metrics.failed(kind, reason(&failure.0));
    let wait = context.backoff.failed(&object.uid().unwrap_or_default());
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    tracing::warn!(kind, namespace, name, %failure, again_in = ?wait, "a reconcile failed");
    Action::requeue(wait)
}

/// One of [`crate::metrics::REASONS`]: the first cause in the chain that tells.
fn reason(failure: &anyhow::Error) -> &'static str {
    let cause = failure.chain().find_map(|cause| match cause.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) if status.code == 403 => Some("Forbidden"),
        Some(kube::Error::Api(status)) if status.code == 409 => Some("Conflict"),
        Some(_) => Some("ApiServer"),
        None if cause.is::<client::Error>() || cause.is::<client::node::NodeError>() => Some("Brokers"),
        None => None,
    });
    cause.unwrap_or("Other")
}

/// Failures of reconciles are logged where they are counted; what is left is the watches'.
async fn log_watch_errors<K>(
    round: Result<(ObjectRef<K>, Action), controller::Error<Failure, watcher::Error>>,
) where
    K: Resource + DeserializeOwned + Debug,
    K::DynamicType: Eq + Hash + Clone + Debug,
{
    match round {
        Ok(_) | Err(controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_)) => {}
        Err(error) => tracing::warn!(%error, "a watch failed; it is begun again"),
    }
}

#[cfg(test)]
mod tests {
    use super::reason;
    use crate::metrics::REASONS;

    #[test]
    fn a_failure_is_counted_by_who_failed() {
        let denied = kube::core::Status::failure("no", "Forbidden").with_code(403).boxed();
        let denied = anyhow::Error::new(kube::Error::Api(denied)).context("observing");
        assert_eq!(reason(&denied), "Forbidden");
        let address = client::Error::InvalidAddress { address: String::new() };
        assert_eq!(reason(&anyhow::Error::new(address).context("asking")), "Brokers");
        assert_eq!(reason(&anyhow::anyhow!("strange")), "Other");
        assert!(["Forbidden", "Brokers", "Other"].iter().all(|one| REASONS.contains(one)));
    }
}
