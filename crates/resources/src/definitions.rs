//! The custom resource definitions as YAML.

use kube::CustomResourceExt;
use serde_yaml::Value;

use crate::{KafkaCluster, KafkaTopic};

/// Fields of Kubernetes' own types whose descriptions are cut to their first sentences, so that a definition stays small enough
/// for whatever keeps it whole: an annotation, a Helm release.
const EMBEDDED: [&str; 4] = ["affinity", "tolerations", "topologySpreadConstraints", "securityContext"];

/// Each definition with the plural of its resource.
pub fn definitions() -> Result<Vec<(String, String)>, serde_yaml::Error> {
    let definitions = [KafkaCluster::crd(), KafkaTopic::crd()];
    let text = definitions.into_iter().map(|definition| {
        let mut yaml = serde_yaml::to_value(&definition)?;
        shorten_embedded(&mut yaml);
        unfold(&mut yaml);
        // The API server's reader still takes a bare Off for false.
        let yaml = serde_yaml::to_string(&yaml)?.replace("- Off\n", "- 'Off'\n");
        Ok((definition.spec.names.plural, yaml))
    });
    text.collect()
}

fn shorten_embedded(schema: &mut Value) {
    if let Value::Sequence(items) = schema {
        items.iter_mut().for_each(shorten_embedded);
    }
    let Value::Mapping(fields) = schema else { return };
    for (key, value) in fields {
        match key.as_str() {
            // What the field is for is said in our words, and as a whole.
            Some(key) if EMBEDDED.contains(&key) => {
                for part in ["properties", "items"] {
                    value.get_mut(part).into_iter().for_each(shorten);
                }
            }
            _ => shorten_embedded(value),
        }
    }
}

/// Cuts every description to its first sentence.
fn shorten(schema: &mut Value) {
    match schema {
        Value::Mapping(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key.as_str() == Some("description") => {
                        text.truncate(first_sentence(text));
                    }
                    other => shorten(other),
                }
            }
        }
        Value::Sequence(items) => items.iter_mut().for_each(shorten),
        _ => {}
    }
}

/// Whoever reads a description folds its lines: only paragraphs and lists keep theirs.
fn unfold(schema: &mut Value) {
    match schema {
        Value::Mapping(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key.as_str() == Some("description") => {
                        if !["\n\n", "\n-", "\n *"].iter().any(|kept| text.contains(kept)) {
                            *text = text.replace('\n', " ");
                        }
                    }
                    other => unfold(other),
                }
            }
        }
        Value::Sequence(items) => items.iter_mut().for_each(unfold),
        _ => {}
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
