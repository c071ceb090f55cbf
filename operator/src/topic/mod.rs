//! A KafkaTopic, from what is wanted to what is. Kubernetes is the truth.

mod brokers;
mod observe;
mod plan;
mod replicas;
mod status;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource as _, ResourceExt};
use resources::{Admission, KafkaCluster, KafkaTopic};
use serde_json::json;

use plan::{Found, Plan, Sight, Step, Verdict};

pub(crate) use observe::{Listing, Shares};

use crate::conditions::unreachable;
use crate::names;
use crate::namespaces::{self, Labels, Unknown};
use crate::run::Context;

/// Against what no watch tells: somebody who deletes or alters a topic over the Kafka protocol.
const AT_REST: Duration = Duration::from_secs(60);
/// While the cluster is not there; its changes are watched.
const WAITING: Duration = Duration::from_secs(10);

/// While replicas are on their way.
const MOVING: Duration = Duration::from_secs(2);

/// One round: ends with what should be, or with the reason why not.
pub(crate) async fn reconcile(topic: &KafkaTopic, context: &Context) -> anyhow::Result<Action> {
    let mut round = context.metrics.round("KafkaTopic");
    let uid = topic.uid().unwrap_or_default();
    let is_deleted = topic.metadata.deletion_timestamp.is_some();
    let cluster = cluster(topic, is_deleted, context).await?;
    let (sight, bootstrap) = Box::pin(look(topic, cluster.as_deref(), context)).await?;
    let mut all = observe::rivals(topic, is_deleted, context).await?;
    if let Some(cluster) = &cluster {
        // Who is not admitted has no topic, however old it is.
        all = admitted(cluster, all, context).await?;
    }
    let owner = plan::owner(topic, &all);
    let Plan { steps, verdict } = match is_deleted {
        true => plan::release(topic, owner, &sight),
        false => plan::keep(topic, owner, &sight),
    };

    let mut verdict = verdict;
    let mut is_removed = false;
    for step in &steps {
        match Box::pin(execute(topic, step, &bootstrap, context)).await? {
            Ok(()) => {
                tracing::info!(topic = topic.topic_name(), namespace = topic.namespace(), %step, "done")
            }
            Err(error) if error.is_retriable() => {
                return Err(anyhow::Error::new(error).context(step.to_string()));
            }
            Err(error) => {
                let reason =
                    error.code().map_or_else(|| "Refused".to_owned(), |code| reason(&format!("{code:?}")));
                verdict = Verdict::Stalled { reason, message: format!("{step}: {error}") };
                break;
            }
        }
        is_removed = is_deleted && *step == Step::RemoveFinalizer;
    }
    context.backoff.forget(&uid);
    if is_removed || (is_deleted && steps.is_empty() && verdict == Verdict::Ready) {
        return Ok(Action::await_change());
    }
    let found = match (steps.is_empty(), sight) {
        (true, Sight::Reachable(found)) => found,
        (false, Sight::Reachable(_)) => {
            Box::pin(brokers::find(&context.kafka.admin(&bootstrap)?, topic.topic_name(), usual(topic)))
                .await?
        }
        (_, Sight::Absent | Sight::NotAdmitted(_) | Sight::Unreachable(_)) => None,
    };
    let is_written = write_status(topic, &verdict, found.as_ref(), context).await?;
    if steps.is_empty() && !is_written {
        round.is_steady();
    }
    Ok(Action::requeue(match verdict {
        Verdict::Waits { reason: "Reassigning", .. } => MOVING,
        Verdict::Waits { .. } => WAITING,
        Verdict::Ready | Verdict::Stalled { .. } => AT_REST,
    }))
}

/// The number of replicas, once it is what it is to be.
fn usual(topic: &KafkaTopic) -> Option<i32> {
    topic.status.as_ref()?.replicas.filter(|replicas| *replicas == topic.spec.replicas)
}

/// Kafka's codes are CamelCase already, as reasons are.
fn reason(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// The cluster that is to have a topic: as the watch knows it, or read now where the watch knows none. A topic is deleted by
/// what is true, not by what was.
async fn cluster(
    topic: &KafkaTopic,
    is_deleted: bool,
    context: &Context,
) -> kube::Result<Option<Arc<KafkaCluster>>> {
    let (namespace, name) = (topic.cluster_namespace(), &topic.spec.cluster_ref.name);
    let known = match is_deleted {
        true => None,
        false => context.cluster(&ObjectRef::new(name).within(namespace)),
    };
    let cluster = match known {
        Some(cluster) => Some(cluster),
        None => Api::namespaced(context.client.clone(), namespace).get_opt(name).await?.map(Arc::new),
    };
    Ok(cluster.filter(|cluster: &Arc<KafkaCluster>| cluster.metadata.deletion_timestamp.is_none()))
}

async fn admitted(
    cluster: &KafkaCluster,
    topics: Vec<KafkaTopic>,
    context: &Context,
) -> anyhow::Result<Vec<KafkaTopic>> {
    let mut admitted = Vec::new();
    for topic in topics {
        if why_not(cluster, &topic, context).await?.is_none() {
            admitted.push(topic);
        }
    }
    Ok(admitted)
}

/// Why a cluster takes no topics from the namespace of a resource, and what to write; `None` if it does.
async fn why_not(
    cluster: &KafkaCluster,
    topic: &KafkaTopic,
    context: &Context,
) -> anyhow::Result<Option<String>> {
    let (own, namespace) = (cluster.namespace().unwrap_or_default(), topic.namespace().unwrap_or_default());
    let admission = cluster.spec.topic_namespaces.admission(&own, &namespace);
    let labels = match &admission {
        Admission::Open | Admission::Closed => Ok(Labels::new()),
        // What becomes of a topic hangs on what is true, not on what was.
        Admission::ByLabels(_) if topic.metadata.deletion_timestamp.is_some() => {
            namespaces::labels_now(&context.client, &namespace).await
        }
        Admission::ByLabels(_) => context.namespaces.labels(&context.client, &namespace).await,
    };
    let name = cluster.name_any();
    match labels {
        Ok(labels) if admission.admits(&labels) => Ok(None),
        Ok(_) => {
            let what = match admission {
                Admission::ByLabels(selector) => format!("give it labels that match {selector}, or change"),
                Admission::Open | Admission::Closed => "add it to".to_owned(),
            };
            Ok(Some(format!(
                "KafkaCluster {name} takes no topics from namespace {namespace}: {what} the cluster's \
                 spec.topicNamespaces"
            )))
        }
        Err(Unknown::Forbidden(why)) => Ok(Some(format!(
            "KafkaCluster {name} takes topics by the labels of their namespaces: {}",
            Unknown::Forbidden(why)
        ))),
        Err(Unknown::Api(error)) => Err(error).context("reading the namespace"),
    }
}

/// The topic in its cluster.
async fn look(
    topic: &KafkaTopic,
    cluster: Option<&KafkaCluster>,
    context: &Context,
) -> anyhow::Result<(Sight, String)> {
    let cluster_name = &topic.spec.cluster_ref.name;
    let bootstrap = names::own_servers(topic.cluster_namespace(), cluster_name);
    let Some(cluster) = cluster else {
        context.kafka.forget(&bootstrap);
        return Ok((Sight::Absent, bootstrap));
    };
    if let Some(message) = why_not(cluster, topic, context).await? {
        return Ok((Sight::NotAdmitted(message), bootstrap));
    }
    if let Some(why) = unreachable(cluster) {
        let message = format!("KafkaCluster {cluster_name} does not serve yet: {why}");
        return Ok((Sight::Unreachable(message), bootstrap));
    }
    if topic.validate().is_err() {
        return Ok((Sight::Reachable(None), bootstrap));
    }
    match Box::pin(brokers::find(&context.kafka.admin(&bootstrap)?, topic.topic_name(), usual(topic))).await {
        Ok(found) => Ok((Sight::Reachable(found), bootstrap)),
        Err(error) if error.is_retriable() => Ok((Sight::Unreachable(error.to_string()), bootstrap)),
        Err(error) => Err(error).context("asking the brokers"),
    }
}

/// Fails for good in the outer result, and with a broker's refusal in the inner one.
async fn execute(
    topic: &KafkaTopic,
    step: &Step,
    bootstrap: &str,
    context: &Context,
) -> anyhow::Result<Result<(), client::Error>> {
    match step {
        Step::AddFinalizer => set_finalizer(topic, true, context).await?,
        Step::RemoveFinalizer => set_finalizer(topic, false, context).await?,
        Step::CreateTopic { is_again: true, .. } => {
            let event = Event {
                type_: EventType::Warning,
                reason: "TopicMissing".to_owned(),
                note: Some(format!(
                    "topic {} was deleted in the cluster and is created again",
                    topic.topic_name()
                )),
                action: "CreateTopic".to_owned(),
                secondary: None,
            };
            context.recorder.publish(&event, &topic.object_ref(&())).await?;
        }
        Step::CreateTopic { .. }
        | Step::CreatePartitions { .. }
        | Step::AlterConfigs { .. }
        | Step::Reassign { .. }
        | Step::DeleteTopic => {}
    }
    Ok(brokers::execute(&context.kafka.admin(bootstrap)?, topic.topic_name(), step).await)
}

async fn set_finalizer(topic: &KafkaTopic, is_wanted: bool, context: &Context) -> kube::Result<()> {
    let mut finalizers = topic.finalizers().to_vec();
    finalizers.retain(|finalizer| finalizer != names::TOPIC_FINALIZER);
    if is_wanted {
        finalizers.push(names::TOPIC_FINALIZER.to_owned());
    }
    // The version makes the API server refuse what was decided on an older resource.
    let body =
        json!({ "metadata": { "finalizers": finalizers, "resourceVersion": topic.resource_version() } });
    let api: Api<KafkaTopic> =
        Api::namespaced(context.client.clone(), &topic.namespace().unwrap_or_default());
    let parameters = PatchParams { field_manager: Some(names::MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(&topic.name_any(), &parameters, &Patch::Merge(&body)).await?;
    Ok(())
}

/// Whether there was something to write.
async fn write_status(
    topic: &KafkaTopic,
    verdict: &Verdict,
    found: Option<&Found>,
    context: &Context,
) -> kube::Result<bool> {
    let status = status::status(topic, verdict, found, &Time(Timestamp::now()));
    if topic.status.as_ref() == Some(&status) {
        return Ok(false);
    }
    let body = json!({
        "apiVersion": "taffrail.dev/v1alpha1",
        "kind": "KafkaTopic",
        "metadata": {"name": topic.name_any(), "uid": topic.uid()},
        "status": status,
    });
    let api: Api<KafkaTopic> =
        Api::namespaced(context.client.clone(), &topic.namespace().unwrap_or_default());
    let parameters = PatchParams::apply(names::STATUS_MANAGER).force();
    api.patch_status(&topic.name_any(), &parameters, &Patch::Apply(&body)).await?;
    Ok(true)
}
