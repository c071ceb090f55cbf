//! What to do about a KafkaTopic. Pure; a plan prints as text, which the tests compare.

use std::collections::BTreeMap;
use std::fmt;

use kube::ResourceExt;
use resources::{DeletionPolicy, KafkaTopic};

use super::replicas::{Partition, reassign};
use crate::names;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    AddFinalizer,
    /// `is_again`: somebody deleted the topic behind the resource's back.
    CreateTopic {
        partitions: i32,
        replicas: i32,
        configs: BTreeMap<String, String>,
        is_again: bool,
    },
    CreatePartitions {
        from: i32,
        to: i32,
    },
    AlterConfigs {
        set: BTreeMap<String, String>,
        delete: Vec<String>,
    },
    /// Other numbers of replicas, by partition.
    Reassign {
        from: i32,
        to: i32,
        replicas: Vec<(i32, Vec<i32>)>,
    },
    DeleteTopic,
    RemoveFinalizer,
}

/// The steps, and what is to be said of the resource once they are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) verdict: Verdict,
}

/// What is to be said of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The topic is as the resource wants it.
    Ready,
    /// Somebody else has to be there first.
    Waits { reason: &'static str, message: String },
    /// The resource has to be edited.
    Stalled { reason: String, message: String },
}

/// What is known of the cluster that is to have the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// There is no such KafkaCluster, or it is being deleted.
    Absent,
    /// It does not take topics from this namespace; what to write.
    NotAdmitted(String),
    /// It does not answer now.
    Unreachable(String),
    /// It has the topic, or has not.
    Reachable(Option<Found>),
}

/// A topic as its cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) topic_id: String,
    pub(crate) partitions: i32,
    pub(crate) replicas: i32,
    /// What was set for the topic itself.
    pub(crate) configs: BTreeMap<String, String>,
    pub(crate) assignment: Vec<Partition>,
    /// Whether that changed while it was looked at.
    pub(crate) is_changing: bool,
    /// The brokers that could have more.
    pub(crate) brokers: Vec<i32>,
}

/// Whether two resources name the same topic of the same cluster.
pub(super) fn is_same_topic(one: &KafkaTopic, other: &KafkaTopic) -> bool {
    other.topic_name() == one.topic_name()
        && other.spec.cluster_ref.name == one.spec.cluster_ref.name
        && other.cluster_namespace() == one.cluster_namespace()
}

/// Which of the resources that name the same topic of the same cluster has it: the oldest, then the first by name.
pub(crate) fn owner<'a>(topic: &'a KafkaTopic, all: &'a [KafkaTopic]) -> &'a KafkaTopic {
    let rivals = all.iter().filter(|other| {
        other.metadata.deletion_timestamp.is_none() && is_same_topic(topic, other) && other.validate().is_ok()
    });
    // Who is being deleted owns a topic only if nobody else claims it.
    let itself = [topic].into_iter().filter(|topic| topic.metadata.deletion_timestamp.is_none());
    let age = |topic: &KafkaTopic| (topic.creation_timestamp(), topic.namespace(), topic.name_any());
    rivals.chain(itself).min_by_key(|topic| age(topic)).unwrap_or(topic)
}

/// The plan for a resource that stays.
pub(crate) fn keep(topic: &KafkaTopic, owner: &KafkaTopic, sight: &Sight) -> Plan {
    let mut steps = Vec::new();
    if let Err(error) = topic.validate() {
        let verdict = Verdict::Stalled { reason: "InvalidSpec".to_owned(), message: error.to_string() };
        return Plan { steps, verdict };
    }
    if let Sight::NotAdmitted(message) = sight {
        let verdict = Verdict::Stalled { reason: "NotAdmitted".to_owned(), message: message.clone() };
        return Plan { steps, verdict };
    }
    let name = topic.topic_name();
    if owner.uid() != topic.uid() {
        let of = match owner.namespace() == topic.namespace() {
            true => owner.name_any(),
            false => format!("{} of namespace {}", owner.name_any(), owner.namespace().unwrap_or_default()),
        };
        let message = format!("topic {name} belongs to KafkaTopic {of}: delete one of the two");
        return Plan { steps, verdict: Verdict::Stalled { reason: "NotOwner".to_owned(), message } };
    }
    match (topic.spec.deletion_policy, has_finalizer(topic)) {
        (DeletionPolicy::Delete, false) => steps.push(Step::AddFinalizer),
        (DeletionPolicy::Retain, true) => steps.push(Step::RemoveFinalizer),
        (DeletionPolicy::Delete, true) | (DeletionPolicy::Retain, false) => {}
    }
    let verdict = match sight {
        Sight::Absent => {
            let (cluster, namespace) = (&topic.spec.cluster_ref.name, topic.cluster_namespace());
            let message = format!("there is no KafkaCluster {cluster} in namespace {namespace}");
            Verdict::Waits { reason: "ClusterNotFound", message }
        }
        Sight::NotAdmitted(message) | Sight::Unreachable(message) => {
            Verdict::Waits { reason: "ClusterNotReady", message: message.clone() }
        }
        Sight::Reachable(None) => {
            steps.push(Step::CreateTopic {
                partitions: topic.spec.partitions,
                replicas: topic.spec.replicas,
                configs: topic.spec.config.0.clone(),
                is_again: topic.status.as_ref().is_some_and(|status| status.topic_id.is_some()),
            });
            Verdict::Ready
        }
        Sight::Reachable(Some(found)) => alter(topic, found, &mut steps),
    };
    Plan { steps, verdict }
}

fn alter(topic: &KafkaTopic, found: &Found, steps: &mut Vec<Step>) -> Verdict {
    let spec = &topic.spec;
    if spec.partitions > found.partitions {
        steps.push(Step::CreatePartitions { from: found.partitions, to: spec.partitions });
    }
    let wanted = &spec.config.0;
    let differs = |(key, value): &(&String, &String)| found.configs.get(*key) != Some(*value);
    let set: BTreeMap<_, _> =
        wanted.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect();
    // Throttles belong to whoever moves replicas at the moment.
    let is_surplus =
        |key: &&String| !wanted.contains_key(*key) && !key.ends_with(".replication.throttled.replicas");
    let delete: Vec<_> = found.configs.keys().filter(is_surplus).cloned().collect();
    if !set.is_empty() || !delete.is_empty() {
        steps.push(Step::AlterConfigs { set, delete });
    }
    if spec.partitions < found.partitions {
        let message = format!(
            "spec.partitions: topic {} has {} and Kafka cannot take partitions away: write {}",
            topic.topic_name(),
            found.partitions,
            found.partitions
        );
        return Verdict::Stalled { reason: "NotSupported".to_owned(), message };
    }
    replicate(topic, found, steps)
}

/// As many replicas as are wanted: the broker is asked, and does it in its own time.
fn replicate(topic: &KafkaTopic, found: &Found, steps: &mut Vec<Step>) -> Verdict {
    let wanted = topic.spec.replicas;
    let count = usize::try_from(wanted).unwrap_or(0);
    if found.is_changing {
        let message = "replicas are being moved".to_owned();
        return Verdict::Waits { reason: "Reassigning", message };
    }
    if found.assignment.iter().any(|partition| partition.replicas.len() != count) {
        if found.brokers.len() < count {
            let message = format!(
                "spec.replicas: there are {} brokers in service: write at most that, or add brokers",
                found.brokers.len()
            );
            return Verdict::Waits { reason: "TooFewBrokers", message };
        }
        let replicas = reassign(&found.assignment, &found.brokers, count);
        steps.push(Step::Reassign { from: found.replicas, to: wanted, replicas });
    } else if found.assignment.iter().all(|partition| partition.current == count) {
        return Verdict::Ready;
    }
    let message = format!("the number of replicas changes from {} to {wanted}", found.replicas);
    Verdict::Waits { reason: "Reassigning", message }
}

/// The plan for a resource that is being deleted.
pub(crate) fn release(topic: &KafkaTopic, owner: &KafkaTopic, sight: &Sight) -> Plan {
    let done = |steps| Plan { steps, verdict: Verdict::Ready };
    if !has_finalizer(topic) {
        return done(Vec::new());
    }
    // Whoever claims the topic next has it from now on.
    if topic.spec.deletion_policy == DeletionPolicy::Retain || owner.uid() != topic.uid() {
        return done(vec![Step::RemoveFinalizer]);
    }
    match sight {
        // What the cluster no longer takes from here is not deleted from here.
        Sight::Absent | Sight::NotAdmitted(_) | Sight::Reachable(None) => done(vec![Step::RemoveFinalizer]),
        Sight::Reachable(Some(_)) => done(vec![Step::DeleteTopic, Step::RemoveFinalizer]),
        Sight::Unreachable(problem) => {
            let message = format!("topic {} cannot be deleted: {problem}", topic.topic_name());
            Plan { steps: Vec::new(), verdict: Verdict::Waits { reason: "ClusterNotReady", message } }
        }
    }
}

fn has_finalizer(topic: &KafkaTopic) -> bool {
    topic.finalizers().iter().any(|finalizer| finalizer == names::TOPIC_FINALIZER)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |configs: &BTreeMap<String, String>| {
            configs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
        };
        match self {
            Step::AddFinalizer => write!(f, "add finalizer"),
            Step::CreateTopic { partitions, replicas, configs, is_again } => {
                let again = if *is_again { " again" } else { "" };
                write!(f, "create topic{again}: {partitions} partitions, {replicas} replicas")?;
                if configs.is_empty() { Ok(()) } else { write!(f, ", {}", list(configs)) }
            }
            Step::CreatePartitions { from, to } => write!(f, "create partitions: {from} to {to}"),
            Step::AlterConfigs { set, delete } => {
                write!(f, "alter configs:")?;
                if !set.is_empty() {
                    write!(f, " set {}", list(set))?;
                }
                if !delete.is_empty() {
                    write!(f, " delete {}", delete.join(" "))?;
                }
                Ok(())
            }
            Step::Reassign { from, to, replicas } => {
                write!(f, "reassign {} partitions: {from} to {to} replicas", replicas.len())
            }
            Step::DeleteTopic => write!(f, "delete topic"),
            Step::RemoveFinalizer => write!(f, "remove finalizer"),
        }
    }
}

#[cfg(test)]
mod tests;
