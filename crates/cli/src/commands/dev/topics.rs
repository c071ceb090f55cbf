//! What has to happen so that the cluster has the topics of the file: a pure plan, and its execution.

use std::collections::BTreeMap;

use client::Admin;
use client::admin::{ConfigAlteration, ConfigResource, ConfigSource, NewTopic, Operation};

/// A topic as the file wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) partitions: i32,
    pub(super) replicas: i16,
    pub(super) config: BTreeMap<String, String>,
    /// Whether the topic goes when its resource goes.
    pub(super) is_deleted_with_resource: bool,
}

/// A topic as the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Actual {
    pub(super) partitions: i32,
    pub(super) replicas: i16,
    pub(super) config: BTreeMap<String, String>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Create(NewTopic),
    AddPartitions { topic: String, count: i32 },
    Configure { topic: String, alterations: Vec<ConfigAlteration> },
    Delete { topic: String },
    Keep { topic: String },
    Refuse { topic: String, reason: String },
}

/// The steps from what is to what the file wants. `before` is what the file wanted the last time.
pub(super) fn plan(before: &[Wanted], wanted: &[Wanted], actual: &BTreeMap<String, Actual>) -> Vec<Step> {
    let gone = before.iter().filter(|old| wanted.iter().all(|new| new.name != old.name));
    let deletions = gone.filter(|old| actual.contains_key(&old.name)).map(|old| {
        let topic = old.name.clone();
        if old.is_deleted_with_resource { Step::Delete { topic } } else { Step::Keep { topic } }
    });
    let changes = wanted.iter().flat_map(|topic| match actual.get(&topic.name) {
        None => vec![create(topic)],
        Some(actual) => changes(topic, actual),
    });
    deletions.chain(changes).collect()
}

fn create(topic: &Wanted) -> Step {
    Step::Create(NewTopic {
        name: topic.name.clone(),
        partitions: Some(topic.partitions),
        replication_factor: Some(topic.replicas),
        configs: topic.config.clone(),
    })
}

fn changes(topic: &Wanted, actual: &Actual) -> Vec<Step> {
    let mut steps = Vec::new();
    let name = topic.name.clone();
    if topic.partitions > actual.partitions {
        steps.push(Step::AddPartitions { topic: name.clone(), count: topic.partitions });
    } else if topic.partitions < actual.partitions {
        let reason = format!(
            "it has {} partitions, and partitions cannot be removed: write partitions: {}",
            actual.partitions, actual.partitions
        );
        steps.push(Step::Refuse { topic: name.clone(), reason });
    }
    if topic.replicas != actual.replicas {
        let reason = format!(
            "it has {} replicas, and `dev` does not change that: write replicas: {}",
            actual.replicas, actual.replicas
        );
        steps.push(Step::Refuse { topic: name.clone(), reason });
    }
    let set = topic.config.iter().filter(|&(key, value)| actual.config.get(key) != Some(value));
    let set = set
        .map(|(key, value)| ConfigAlteration { name: key.clone(), operation: Operation::Set(value.clone()) });
    let delete = actual.config.keys().filter(|key| !topic.config.contains_key(*key));
    let delete = delete.map(|key| ConfigAlteration { name: key.clone(), operation: Operation::Delete });
    let alterations: Vec<_> = set.chain(delete).collect();
    if !alterations.is_empty() {
        steps.push(Step::Configure { topic: name, alterations });
    }
    steps
}

impl Step {
    /// Whom the step is about.
    pub(super) fn topic(&self) -> &str {
        match self {
            Step::Create(topic) => &topic.name,
            Step::AddPartitions { topic, .. }
            | Step::Configure { topic, .. }
            | Step::Delete { topic }
            | Step::Keep { topic }
            | Step::Refuse { topic, .. } => topic,
        }
    }

    /// Does it, and says what was done.
    pub(super) async fn execute(&self, admin: &Admin) -> anyhow::Result<String> {
        match self {
            Step::Create(topic) => {
                admin.create_topic(topic).await?;
                let count = usize::try_from(topic.partitions.unwrap_or(1)).unwrap_or(1);
                Ok(format!("created with {}", crate::output::counted(count, "partition")))
            }
            Step::AddPartitions { topic, count } => {
                admin.create_partitions(topic, *count, false).await?;
                Ok(format!("raised to {count} partitions"))
            }
            Step::Configure { topic, alterations } => {
                let resource = ConfigResource::Topic(topic.clone());
                admin.alter_configs(&resource, alterations, false).await?;
                let names: Vec<_> = alterations.iter().map(described).collect();
                Ok(names.join(", "))
            }
            Step::Delete { topic } => {
                admin.delete_topic(topic).await?;
                Ok("deleted, as its resource was".to_owned())
            }
            Step::Keep { .. } => Ok("kept, as its deletionPolicy says; its resource is gone".to_owned()),
            Step::Refuse { reason, .. } => anyhow::bail!("{reason}"),
        }
    }
}

fn described(alteration: &ConfigAlteration) -> String {
    match &alteration.operation {
        Operation::Set(value) => format!("{}={value}", alteration.name),
        Operation::Delete | Operation::Append(_) | Operation::Subtract(_) => {
            format!("{} back to its default", alteration.name)
        }
    }
}

/// The topics of the cluster, with what is set on each of those that the file names.
pub(super) async fn actual(
    admin: &Admin,
    names: impl Iterator<Item = &str>,
) -> anyhow::Result<BTreeMap<String, Actual>> {
    let topics = admin.list_topics().await?;
    let names: std::collections::BTreeSet<&str> = names.collect();
    let mut actual = BTreeMap::new();
    for topic in topics.iter().filter(|topic| names.contains(topic.name.as_str())) {
        let entries = admin.describe_configs(&ConfigResource::Topic(topic.name.clone())).await?;
        let own = entries.into_iter().filter(|entry| entry.source == ConfigSource::DYNAMIC_TOPIC);
        let config = own.map(|entry| (entry.name, entry.value.unwrap_or_default())).collect();
        let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let replicas = topic.partitions.iter().map(|partition| partition.replicas.len()).max().unwrap_or(0);
        let replicas = i16::try_from(replicas).unwrap_or(i16::MAX);
        actual.insert(topic.name.clone(), Actual { partitions, replicas, config });
    }
    Ok(actual)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Actual, Step, Wanted, plan};

    fn config(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn wanted(name: &str, partitions: i32, pairs: &[(&str, &str)]) -> Wanted {
        Wanted {
            name: name.to_owned(),
            partitions,
            replicas: 1,
            config: config(pairs),
            is_deleted_with_resource: true,
        }
    }

    fn has(name: &str, partitions: i32, pairs: &[(&str, &str)]) -> BTreeMap<String, Actual> {
        BTreeMap::from([(name.to_owned(), Actual { partitions, replicas: 1, config: config(pairs) })])
    }

    #[test]
    fn a_topic_that_is_as_wanted_needs_nothing() {
        let topics = [wanted("a", 3, &[("x", "1")])];
        assert_eq!(plan(&topics, &topics, &has("a", 3, &[("x", "1")])), []);
    }

    #[test]
    fn a_missing_topic_is_created() {
        let steps = plan(&[], &[wanted("a", 3, &[])], &BTreeMap::new());
        assert!(matches!(&steps[..], [Step::Create(topic)] if topic.partitions == Some(3)));
    }

    #[test]
    fn differences_are_altered_one_by_one() {
        let steps = plan(&[], &[wanted("a", 4, &[("x", "2")])], &has("a", 3, &[("x", "1"), ("y", "1")]));
        let [Step::AddPartitions { count: 4, .. }, Step::Configure { alterations, .. }] = &steps[..] else {
            panic!("{steps:?}");
        };
        assert_eq!(alterations.len(), 2);
    }

    #[test]
    fn fewer_partitions_are_refused() {
        let steps = plan(&[], &[wanted("a", 1, &[])], &has("a", 3, &[]));
        assert!(matches!(&steps[..], [Step::Refuse { .. }]));
    }

    #[test]
    fn another_number_of_replicas_is_refused() {
        let mut topic = wanted("a", 3, &[]);
        topic.replicas = 3;
        assert!(matches!(&plan(&[], &[topic], &has("a", 3, &[]))[..], [Step::Refuse { .. }]));
    }

    #[test]
    fn a_topic_goes_with_its_resource_only_if_it_may() {
        let mut old = wanted("a", 1, &[]);
        assert_eq!(plan(&[old.clone()], &[], &has("a", 1, &[])), [Step::Delete { topic: "a".to_owned() }]);
        old.is_deleted_with_resource = false;
        assert_eq!(plan(&[old.clone()], &[], &has("a", 1, &[])), [Step::Keep { topic: "a".to_owned() }]);
        assert_eq!(plan(&[old], &[], &BTreeMap::new()), []);
    }
}
