//! What whoever runs a cluster adds to its Pods. Pure; what may not be added was refused before.

use resources::PodTemplate;
use serde_json::{Map, Value, json};

/// Adds a template to the spec of a Pod; its metadata and how it is spread are built where the labels are known.
pub(super) fn add(pod: &mut Value, template: &PodTemplate) {
    let mut more = Map::new();
    let mut set = |key: &str, value: Option<Value>| {
        more.extend(value.map(|value| (key.to_owned(), value)));
    };
    set("affinity", template.affinity.as_ref().map(|one| json!(one)));
    set("tolerations", (!template.tolerations.is_empty()).then(|| json!(template.tolerations)));
    set("nodeSelector", (!template.node_selector.is_empty()).then(|| json!(template.node_selector)));
    set("priorityClassName", template.priority_class_name.as_ref().map(|one| json!(one)));
    set("securityContext", template.security_context.as_ref().map(|one| json!(one)));
    set("terminationGracePeriodSeconds", template.termination_grace_period_seconds.map(|one| json!(one)));
    merge(pod, &Value::Object(more));
}

/// Puts `more` over `base`, field by field; a list replaces a list.
pub(super) fn merge(base: &mut Value, more: &Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => {
            for (key, value) in more {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, more) => *base = more.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{add, merge};

    #[test]
    fn single_fields_are_replaced_and_the_others_stay() {
        let mut base = json!({ "a": { "b": 1, "c": [1, 2] }, "d": true });
        merge(&mut base, &json!({ "a": { "c": [3], "e": "new" } }));
        assert_eq!(base, json!({ "a": { "b": 1, "c": [3], "e": "new" }, "d": true }));
    }

    #[test]
    fn what_is_not_in_the_template_is_not_in_the_pod() {
        let mut pod = json!({ "terminationGracePeriodSeconds": 60, "securityContext": { "fsGroup": 65532 } });
        let before = pod.clone();
        add(&mut pod, &serde_json::from_value(json!({})).expect("a template"));
        assert_eq!(pod, before);
        let template =
            json!({ "terminationGracePeriodSeconds": 90, "securityContext": { "runAsUser": 1000 } });
        add(&mut pod, &serde_json::from_value(template).expect("a template"));
        let expected = json!({
            "terminationGracePeriodSeconds": 90,
            "securityContext": { "fsGroup": 65532, "runAsUser": 1000 },
        });
        assert_eq!(pod, expected);
    }
}
