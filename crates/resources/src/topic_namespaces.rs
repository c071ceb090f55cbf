//! Which namespaces may have topics of a cluster: `spec.topicNamespaces`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SpecError;

// What is wrong where the parts do not belong together; said by the API server, and by who reads a file without one.
const NAMES_AND_FROM: &str =
    "names belong to from: Names, and it needs them: write {from: Names, names: [orders]}";
const SELECTOR_AND_FROM: &str = "selector belongs to from: Selector, which needs it: \
                                 write {from: Selector, selector: {matchLabels: {team: orders}}}";

/// The namespaces whose KafkaTopics may be of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "(self.from == 'Names') == (has(self.names) && size(self.names) > 0)",
        "message": NAMES_AND_FROM,
    },
    {
        "rule": "(self.from == 'Selector') == has(self.selector)",
        "message": SELECTOR_AND_FROM,
    },
]))]
pub struct TopicNamespaces {
    /// Which namespaces, beside the cluster's own.
    #[serde(default)]
    pub from: TopicSource,
    /// The names of those namespaces, with `from: Names`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    pub names: Vec<String>,
    /// What the labels of those namespaces have to match, with `from: Selector`; an empty one matches all. The operator needs the
    /// right to read namespaces for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// Which namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TopicSource {
    /// The cluster's own.
    #[default]
    Same,
    /// Those of a list, and the cluster's own.
    Names,
    /// All.
    All,
    /// Those whose labels match, and the cluster's own.
    Selector,
}

/// Whether a namespace may have topics of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    /// It may.
    Open,
    /// It may not.
    Closed,
    /// It may if its labels match.
    ByLabels(Selector),
}

impl Admission {
    /// Whether a namespace with these labels may.
    pub fn admits(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Admission::Open => true,
            Admission::Closed => false,
            Admission::ByLabels(selector) => selector.matches(labels),
        }
    }
}

impl TopicNamespaces {
    /// Whether KafkaTopics of a namespace may be of a cluster in `own`.
    pub fn admission(&self, own: &str, namespace: &str) -> Admission {
        let open_if = |is_open| if is_open { Admission::Open } else { Admission::Closed };
        match self.from {
            _ if namespace == own => Admission::Open,
            TopicSource::Same => Admission::Closed,
            TopicSource::Names => open_if(self.names.iter().any(|name| name == namespace)),
            TopicSource::All => Admission::Open,
            TopicSource::Selector => match self.parsed() {
                Ok(Some(selector)) => Admission::ByLabels(selector),
                Ok(None) | Err(_) => Admission::Closed,
            },
        }
    }

    /// Whether it can be understood.
    pub(crate) fn validate(&self) -> Result<(), SpecError> {
        let path = ["spec", "topicNamespaces"];
        if (self.from == TopicSource::Names) == self.names.is_empty() {
            return Err(SpecError::new(&path, NAMES_AND_FROM));
        }
        if (self.from == TopicSource::Selector) != self.selector.is_some() {
            return Err(SpecError::new(&path, SELECTOR_AND_FROM));
        }
        self.parsed()
            .map(drop)
            .map_err(|problem| SpecError::new(&[&path[..], &["selector"]].concat(), problem))
    }

    /// The selector, or what is wrong with it: Kubernetes' schema leaves that to whoever reads it.
    fn parsed(&self) -> Result<Option<Selector>, String> {
        let Some(selector) = &self.selector else { return Ok(None) };
        for one in selector.match_expressions.iter().flatten() {
            let has_values = one.values.as_ref().is_some_and(|values| !values.is_empty());
            match one.operator.as_str() {
                "In" | "NotIn" if !has_values => {
                    return Err(format!("{} {} needs values: write values: [orders]", one.key, one.operator));
                }
                "Exists" | "DoesNotExist" if has_values => {
                    return Err(format!("{} {} takes no values: leave them out", one.key, one.operator));
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
                other => {
                    return Err(format!("operator {other}: write In, NotIn, Exists or DoesNotExist"));
                }
            }
        }
        Selector::try_from(selector.clone()).map(Some).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::{Admission, TopicNamespaces};

    fn read(value: Value) -> TopicNamespaces {
        serde_json::from_value(value).expect("topicNamespaces")
    }

    #[test]
    fn namespaces_are_admitted_by_place_by_name_or_by_label() {
        let labels = |team: &str| BTreeMap::from([("team".to_owned(), team.to_owned())]);
        for (spec, admitted, not) in [
            (json!({}), vec!["kafka"], vec!["shop", "bank"]),
            (json!({ "from": "Names", "names": ["shop"] }), vec!["kafka", "shop"], vec!["bank"]),
            (json!({ "from": "All" }), vec!["kafka", "shop", "bank"], vec![]),
            (
                json!({ "from": "Selector", "selector": { "matchLabels": { "team": "shop" } } }),
                vec!["kafka", "shop"],
                vec!["bank"],
            ),
            (
                json!({ "from": "Selector", "selector": { "matchExpressions": [
                    { "key": "team", "operator": "NotIn", "values": ["bank"] }, { "key": "team", "operator": "Exists" },
                ] } }),
                vec!["kafka", "shop"],
                vec!["bank"],
            ),
            (json!({ "from": "Selector", "selector": {} }), vec!["kafka", "shop", "bank"], vec![]),
        ] {
            let spec = read(spec);
            spec.validate().expect("is right");
            // Each namespace has a label that says its name.
            let admits = |name: &str| spec.admission("kafka", name).admits(&labels(name));
            assert!(admitted.iter().all(|name| admits(name)), "{spec:?}");
            assert!(!not.iter().any(|name| admits(name)), "{spec:?}");
        }
        let own = read(json!({ "from": "Selector", "selector": { "matchLabels": { "team": "shop" } } }));
        assert_eq!(own.admission("kafka", "kafka"), Admission::Open, "whatever labels its own namespace has");
    }

    #[test]
    fn what_cannot_be_understood_says_what_to_write() {
        let with = |expression: Value| json!({ "from": "Selector", "selector": { "matchExpressions": [expression] } });
        for (spec, says) in [
            (json!({ "from": "Names" }), "spec.topicNamespaces: names belong to from: Names"),
            (json!({ "names": ["shop"] }), "spec.topicNamespaces: names belong to from: Names"),
            (json!({ "from": "Selector" }), "spec.topicNamespaces: selector belongs to from: Selector"),
            (json!({ "selector": {} }), "spec.topicNamespaces: selector belongs to from: Selector"),
            (
                with(json!({ "key": "team", "operator": "In" })),
                "spec.topicNamespaces.selector: team In needs values",
            ),
            (
                with(json!({ "key": "team", "operator": "Exists", "values": ["shop"] })),
                "spec.topicNamespaces.selector: team Exists takes no values",
            ),
            (
                with(json!({ "key": "team", "operator": "Is", "values": ["shop"] })),
                "spec.topicNamespaces.selector: operator Is: write In",
            ),
        ] {
            let spec = read(spec);
            let error = spec.validate().expect_err(says).to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
