//! The custom resource definitions as YAML.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::CustomResourceExt;
use serde_yaml::Value;

use crate::{KafkaCluster, KafkaTopic};

/// Fields of Kubernetes' own types whose descriptions are cut to their first sentences, so that a definition stays small enough
/// for whatever keeps it whole: an annotation, a Helm release.
const EMBEDDED: [&str; 4] = ["affinity", "tolerations", "topologySpreadConstraints", "securityContext"];

/// Each definition with the plural of its resource.
pub fn definitions() -> Result<Vec<(String, String)>, serde_yaml::Error> {
    let cluster =
        (KafkaCluster::crd(), &["Ready", "Available", "Reconciling", "Stalled", "ListenersAdvertised"][..]);
    let topic = (KafkaTopic::crd(), &["Ready", "Reconciling", "Stalled"][..]);
    let text = [cluster, topic].into_iter().map(|(definition, conditions)| {
        let mut yaml = serde_yaml::to_value(&definition)?;
        say_unknown(&mut yaml, conditions)?;
        shorten_embedded(&mut yaml);
        each_description(&mut yaml, &unfold);
        // Readers of YAML 1.1, the API server's among them, take a bare Off for false, and may take this for a date.
        let yaml = serde_yaml::to_string(&yaml)?;
        let yaml = yaml
            .replace("- Off\n", "- 'Off'\n")
            .replace(": 1970-01-01T00:00:00Z", ": '1970-01-01T00:00:00Z'");
        Ok((definition.spec.names.plural, yaml))
    });
    text.collect()
}

/// What is said of an object that no operator has looked at yet, by the API server itself.
fn say_unknown(definition: &mut Value, conditions: &[&str]) -> Result<(), serde_yaml::Error> {
    let condition = |type_: &&str| Condition {
        type_: (*type_).to_owned(),
        status: "Unknown".to_owned(),
        reason: "Pending".to_owned(),
        message: "no operator has looked at it yet".to_owned(),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
        observed_generation: None,
    };
    let conditions: Vec<_> = conditions.iter().map(condition).collect();
    let status = BTreeMap::from([("conditions", conditions)]);
    let properties = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    properties["status"]["default"] = serde_yaml::to_value(status)?;
    Ok(())
}

fn shorten_embedded(schema: &mut Value) {
    if let Value::Sequence(items) = schema {
        items.iter_mut().for_each(shorten_embedded);
    }
    let Value::Mapping(fields) = schema else { return };
    for (key, value) in fields {
        // What the field is for is said in our words, and as a whole.
        match key.as_str().is_some_and(|key| EMBEDDED.contains(&key)) {
            true => {
                for part in ["properties", "items"] {
                    value.get_mut(part).into_iter().for_each(|embedded| each_description(embedded, &shorten));
                }
            }
            false => shorten_embedded(value),
        }
    }
}

fn each_description(schema: &mut Value, change: &impl Fn(&mut String)) {
    match schema {
        Value::Mapping(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key.as_str() == Some("description") => change(text),
                    other => each_description(other, change),
                }
            }
        }
        Value::Sequence(items) => items.iter_mut().for_each(|item| each_description(item, change)),
        _ => {}
    }
}

/// Cuts to the first sentence.
fn shorten(description: &mut String) {
    description.truncate(first_sentence(description));
}

/// Whoever reads a description folds its lines: only paragraphs and lists keep theirs.
fn unfold(description: &mut String) {
    if !["\n\n", "\n-", "\n *"].iter().any(|kept| description.contains(kept)) {
        *description = description.replace('\n', " ");
    }
}

/// Where the first sentence ends.
fn first_sentence(text: &str) -> usize {
    let mut ends = text.match_indices(['.', '\n']).map(|(at, _)| at + 1);
    let is_end = |end: &usize| {
        let (before, after) = text.split_at(*end);
        let is_short = ["e.g.", "i.e.", "etc."].iter().any(|short| before.ends_with(short));
        !is_short && after.starts_with([' ', '\n'])
    };
    ends.find(is_end).unwrap_or(text.len())
}

#[cfg(test)]
mod tests;
