//! Reading a file of several YAML documents, strictly: an unknown field is an error, as it is for `kubectl apply`, and
//! every error names the line, the field and what to write instead.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_yaml::Value;

use crate::locate::{is_separator, line_of};
use crate::{KafkaCluster, KafkaTopic, SpecError};

/// How many letters may be wrong in a name that is still recognized.
const MISSPELT_MAX: usize = 3;
const API_VERSION: &str = "taffrail.dev/v1alpha1";

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifests {
    /// The cluster.
    pub cluster: KafkaCluster,
    /// Its topics, in the order of the file.
    pub topics: Vec<KafkaTopic>,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is not YAML, or a field has another type than it should.
    #[error("line {line}: {problem}")]
    Syntax {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A field breaks a rule.
    #[error("line {line}, {resource}: {error}")]
    Field {
        /// The line, counted from 1.
        line: usize,
        /// `KafkaTopic orders`.
        resource: String,
        /// What is wrong.
        error: SpecError,
    },
    /// The file as a whole is not what is expected.
    #[error("{0}")]
    Content(String),
}

/// One document of the file.
struct Document<'a> {
    text: &'a str,
    /// The line at which it begins, counted from 0.
    start: usize,
    body: String,
}

/// Reads a file with one KafkaCluster and its KafkaTopics.
pub fn load(text: &str) -> Result<Manifests, LoadError> {
    let mut clusters = Vec::new();
    let mut topics = Vec::new();
    for document in documents(text) {
        let value = document.parse()?;
        if value.is_null() {
            continue;
        }
        match document.kind(&value)?.as_str() {
            "KafkaCluster" => {
                let cluster: KafkaCluster = document.resource(&value)?;
                document.check(&value, cluster.spec.validate())?;
                clusters.push(cluster);
            }
            _ => {
                let topic: KafkaTopic = document.resource(&value)?;
                document.check(&value, topic.validate())?;
                document.check(&value, unclaimed(&topic, &topics))?;
                document.check(&value, belongs(&topic, clusters.first()))?;
                topics.push(topic);
            }
        }
    }
    let count = clusters.len();
    let mut clusters = clusters.into_iter();
    match (clusters.next(), count) {
        (Some(cluster), 1) => Ok(Manifests { cluster, topics }),
        (None, _) => Err(LoadError::Content("has no KafkaCluster: add a document of that kind".to_owned())),
        (Some(_), _) => Err(LoadError::Content(format!("has {count} KafkaClusters: leave one of them"))),
    }
}

fn documents(text: &str) -> Vec<Document<'_>> {
    let mut documents: Vec<Document<'_>> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if documents.is_empty() || is_separator(line) {
            documents.push(Document { text, start: number, body: String::new() });
        }
        let last = documents.last_mut().expect("the first line begins a document");
        if !is_separator(line) {
            last.body.push_str(line);
        }
        last.body.push('\n');
    }
    documents
}

impl Document<'_> {
    fn parse(&self) -> Result<Value, LoadError> {
        serde_yaml::from_str(&self.body).map_err(|error| self.syntax(&error, &[]))
    }

    fn kind(&self, value: &Value) -> Result<String, LoadError> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let wrong = |key: &str, problem: String| self.at(value, SpecError::new(&[key], problem));
        if text("apiVersion") != API_VERSION {
            return Err(wrong("apiVersion", format!("write apiVersion: {API_VERSION}")));
        }
        let kind = text("kind");
        match kind.as_str() {
            "KafkaCluster" | "KafkaTopic" => {}
            "" => return Err(wrong("kind", "write kind: KafkaCluster or kind: KafkaTopic".to_owned())),
            _ => {
                let problem = format!("{kind} is not known here: write KafkaCluster or KafkaTopic");
                return Err(wrong("kind", problem));
            }
        }
        let name = value.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Value::as_str);
        if !name.is_some_and(is_name) {
            let problem = "write a name of lower-case letters, digits and '-', at most 40 of them";
            return Err(self.at(value, SpecError::new(&["metadata", "name"], problem)));
        }
        Ok(kind)
    }

    fn resource<T: DeserializeOwned + Serialize>(&self, value: &Value) -> Result<T, LoadError> {
        let read: T = serde_yaml::from_str(&self.body).map_err(|error| self.typed(value, &error))?;
        let written = serde_yaml::to_value(&read).map_err(|error| self.typed(value, &error))?;
        match unknown(value, &written, &mut Vec::new()) {
            None => Ok(read),
            Some((path, known)) => {
                let field = path.last().map(String::as_str).unwrap_or_default();
                let hint = match config_nearest(field, &known) {
                    Some(known) => format!("is not a field: did you mean {known}?"),
                    None => "is not a field: leave it out".to_owned(),
                };
                Err(self.at(value, SpecError { path, problem: hint }))
            }
        }
    }

    fn check(&self, value: &Value, outcome: Result<(), SpecError>) -> Result<(), LoadError> {
        outcome.map_err(|error| self.at(value, error))
    }

    fn at(&self, value: &Value, error: SpecError) -> LoadError {
        let line = line_of(self.text, self.start, &error.path);
        let name = value.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Value::as_str);
        let kind = value.get("kind").and_then(Value::as_str).unwrap_or("resource");
        let resource = format!("{kind} {}", name.unwrap_or("without a name"));
        LoadError::Field { line, resource, error }
    }

    /// The parser names field and place in one sentence; a field that is missing stands after its parent.
    fn typed(&self, value: &Value, error: &serde_yaml::Error) -> LoadError {
        let whole = error.to_string();
        let text = whole.split(" at line ").next().unwrap_or(&whole);
        let (path, problem) = match text.split_once(": ") {
            Some((path, problem)) if !path.contains(' ') => (path, problem.to_owned()),
            _ => ("", text.to_owned()),
        };
        let mut path: Vec<String> =
            path.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let quoted = problem.split('`').nth(1).map(str::to_owned);
        let problem = match quoted {
            Some(field) if problem.starts_with("missing field") => {
                let (name, problem) = missing(at_path(value, &path), field);
                path.push(name);
                problem
            }
            _ => problem,
        };
        self.at(value, SpecError { path, problem })
    }

    fn syntax(&self, error: &serde_yaml::Error, path: &[String]) -> LoadError {
        let line = error.location().map(|location| self.start + location.line());
        let text = error.to_string();
        let problem = text.split(" at line ").next().unwrap_or(&text).to_owned();
        let line = line.unwrap_or_else(|| line_of(self.text, self.start, path));
        LoadError::Syntax { line, problem: format!("this is not YAML: {problem}") }
    }
}

fn at_path<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

/// The field to point at, and what is wrong with it: one that is missing may be there under a misspelt name.
fn missing(parent: Option<&Value>, field: String) -> (String, String) {
    let given = parent.and_then(Value::as_mapping).into_iter().flat_map(|map| map.keys());
    let misspelt = given.filter_map(Value::as_str).find(|given| distance(given, &field) <= MISSPELT_MAX);
    match misspelt {
        Some(given) => (given.to_owned(), format!("is not a field: did you mean {field}?")),
        None => (field, "is missing: add it".to_owned()),
    }
}

/// The first field of `given` that `written` does not have, with those that it could be.
fn unknown(given: &Value, written: &Value, path: &mut Vec<String>) -> Option<(Vec<String>, Vec<String>)> {
    match (given, written) {
        (Value::Mapping(given), Value::Mapping(written)) => {
            for (key, value) in given {
                let name = key.as_str()?;
                path.push(name.to_owned());
                match written.get(key) {
                    None if !value.is_null() && !is_empty(value) => {
                        let known = written.keys().filter_map(Value::as_str).map(str::to_owned).collect();
                        return Some((path.clone(), known));
                    }
                    None => {}
                    Some(written) => {
                        if let Some(found) = unknown(value, written, path) {
                            return Some(found);
                        }
                    }
                }
                path.pop();
            }
            None
        }
        (Value::Sequence(given), Value::Sequence(written)) => {
            given.iter().zip(written).find_map(|(given, written)| unknown(given, written, path))
        }
        _ => None,
    }
}

/// What is empty is not written again although it is known.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Mapping(map) => map.is_empty(),
        Value::Sequence(list) => list.is_empty(),
        _ => false,
    }
}

/// The field that was meant, among those that are written beside it and those that may be.
fn config_nearest(field: &str, known: &[String]) -> Option<String> {
    const OPTIONAL: [&str; 40] = [
        "image",
        "brokers",
        "config",
        "replicas",
        "storage",
        "resources",
        "persistent",
        "ephemeral",
        "size",
        "storageClass",
        "whenDeleted",
        "whenScaled",
        "rebalance",
        "bytesPerSecond",
        "rollout",
        "approval",
        "sizeLimit",
        "topicName",
        "partitions",
        "deletionPolicy",
        "listeners",
        "advertised",
        "perBroker",
        "nodePort",
        "controllers",
        "rack",
        "topologyKey",
        "topicNamespaces",
        "selector",
        "template",
        "pod",
        "metadata",
        "affinity",
        "tolerations",
        "nodeSelector",
        "topologySpreadConstraints",
        "priorityClassName",
        "securityContext",
        "terminationGracePeriodSeconds",
        "annotations",
    ];
    let all = known.iter().map(String::as_str).chain(OPTIONAL);
    all.map(|name| (distance(field, name), name))
        .filter(|(distance, _)| *distance <= MISSPELT_MAX)
        .min()
        .map(|(_, name)| name.to_owned())
}

/// Levenshtein's, without regard to case.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 40
        && name.bytes().all(is_letter)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
}

fn unclaimed(topic: &KafkaTopic, others: &[KafkaTopic]) -> Result<(), SpecError> {
    let name = topic.topic_name();
    if others.iter().all(|other| other.topic_name() != name) {
        return Ok(());
    }
    let path: &[&str] =
        if topic.spec.topic_name.is_some() { &["spec", "topicName"] } else { &["metadata", "name"] };
    Err(SpecError::new(path, format!("topic {name} is in the file already: leave one of them")))
}

fn belongs(topic: &KafkaTopic, cluster: Option<&KafkaCluster>) -> Result<(), SpecError> {
    let Some(cluster) = cluster else { return Ok(()) };
    let name = cluster.metadata.name.as_deref().unwrap_or_default();
    if topic.spec.cluster_ref.name != name {
        let problem = format!("the file's cluster is {name}: write name: {name}");
        return Err(SpecError::new(&["spec", "clusterRef", "name"], problem));
    }
    let brokers = cluster.spec.brokers.replicas;
    if topic.spec.replicas > brokers {
        let problem = format!("is more than the {brokers} of spec.brokers.replicas: write {brokers}");
        return Err(SpecError::new(&["spec", "replicas"], problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
