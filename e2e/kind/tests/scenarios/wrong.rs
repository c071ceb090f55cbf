//! The wrong specs of `refused.yaml`: read here for the rules without an API server, and for a real one.

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};

/// All of them, by who refuses them.
#[derive(Debug, Deserialize)]
pub(crate) struct Cases {
    pub(crate) create: Vec<Case>,
    pub(crate) update: Vec<Case>,
    pub(crate) condition: Vec<Case>,
}

/// A wrong spec.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) kind: String,
    pub(crate) change: Value,
    pub(crate) says: Vec<String>,
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

impl Cases {
    pub(crate) fn read() -> Result<Cases> {
        Ok(serde_yaml::from_str(include_str!("refused.yaml"))?)
    }
}

impl Case {
    /// The good one with the change in it.
    pub(crate) fn object(&self, name: &str) -> Value {
        let mut object = good(&self.kind, name);
        merge(&mut object, &self.change);
        object
    }
}

/// A spec with nothing wrong in it.
pub(crate) fn good(kind: &str, name: &str) -> Value {
    let spec = match kind {
        "KafkaCluster" => {
            json!({ "brokers": { "replicas": 1, "storage": { "persistent": { "size": "1Gi" } } } })
        }
        _ => json!({ "clusterRef": { "name": "demo" }, "partitions": 1, "replicas": 1 }),
    };
    json!({
        "apiVersion": "taffrail.dev/v1alpha1",
        "kind": kind,
        "metadata": { "name": name, "labels": { "case": "wrong" } },
        "spec": spec,
    })
}

/// A merge patch, as RFC 7386 has it.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, change) in changes {
        match change {
            Value::Null => drop(into.as_object_mut().map(|fields| fields.remove(key))),
            _ => merge(&mut into[key.as_str()], change),
        }
    }
}
