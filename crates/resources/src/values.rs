//! Kafka configurations in YAML: people write numbers and booleans bare, Kafka knows text only.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Deserializer;
use serde::{Deserialize, Serialize};

/// Keys and values, the values as Kafka writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ConfigValues(pub BTreeMap<String, String>);

impl ConfigValues {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for ConfigValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ConfigValues, D::Error> {
        let values = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
        // The API server stores anything here, and one resource that cannot be read at all would keep the operator from
        // listing the others. A list or an object stays as it was written, for the rules of its key to refuse.
        let text = |(key, value): (String, serde_json::Value)| match value {
            serde_json::Value::String(text) => (key, text),
            other => (key, other.to_string()),
        };
        Ok(ConfigValues(values.into_iter().map(text).collect()))
    }
}

impl JsonSchema for ConfigValues {
    fn schema_name() -> Cow<'static, str> {
        "ConfigValues".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// Text, number or boolean cannot be told apart in a structural schema, so that the rule stands beside it.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "maxProperties": 64,
            "additionalProperties": { "x-kubernetes-preserve-unknown-fields": true },
        })
    }
}
