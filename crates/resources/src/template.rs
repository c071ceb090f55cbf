//! What whoever runs a cluster adds to its Pods: `template`, of brokers and of dedicated controllers. What would break a node, or
//! what the operator goes by, is refused.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SpecError;

/// What begins with these belongs to the operator or to Kubernetes, among labels.
const RESERVED_LABELS: [&str; 4] =
    ["app.kubernetes.io/", "apps.kubernetes.io/", "statefulset.kubernetes.io/", "taffrail.dev/"];
/// What begins with this belongs to the operator, among annotations.
const RESERVED_ANNOTATIONS: [&str; 1] = ["taffrail.dev/"];

/// What is added to the objects of nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// What is added to each Pod. A change restarts the Pods one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodTemplate>,
}

/// What is added to each Pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Labels and annotations beside the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<PodMetadata>,
    /// Near which nodes and Pods it is to run, and near which not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<v1::Affinity>,
    /// Taints of nodes that it may run on all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub tolerations: Vec<v1::Toleration>,
    /// Labels that its node has to have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// How the Pods are spread, instead of one to a node and evenly over racks as far as that goes. One without a labelSelector
    /// counts the Pods of its own kind in this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub topology_spread_constraints: Option<Vec<v1::TopologySpreadConstraint>>,
    /// The PriorityClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Replaces single fields of the operator's own: user, group and fsGroup 65532, fsGroupChangePolicy OnRootMismatch,
    /// runAsNonRoot, and the seccompProfile RuntimeDefault. Pods stay within Pod Security `restricted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<v1::PodSecurityContext>,
    /// The seconds that a node has to stop in before it is killed; 60 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub termination_grace_period_seconds: Option<i64>,
}

/// Labels and annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodMetadata {
    /// Labels; none that begins with `app.kubernetes.io/` or `taffrail.dev/`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations; none that begins with `taffrail.dev/`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Template {
    /// Whether nothing is in it that would break a node; `of` is the field that has it.
    pub(crate) fn validate(&self, of: &str) -> Result<(), SpecError> {
        let Some(pod) = &self.pod else { return Ok(()) };
        let refused = |path: &[&str], problem: String| {
            Err(SpecError::new(&[&["spec", of, "template", "pod"], path].concat(), problem))
        };
        if let Some(metadata) = &pod.metadata {
            for (field, keys, reserved) in [
                ("labels", &metadata.labels, &RESERVED_LABELS[..]),
                ("annotations", &metadata.annotations, &RESERVED_ANNOTATIONS),
            ] {
                let taken = keys.keys().find(|key| reserved.iter().any(|prefix| key.starts_with(prefix)));
                if let Some(key) = taken {
                    let prefix = key.split('/').next().unwrap_or_default();
                    let problem = format!("what begins with {prefix}/ is not yours: leave it out");
                    return refused(&["metadata", field, key], problem);
                }
            }
        }
        if let Some(seconds) = pod.termination_grace_period_seconds.filter(|seconds| *seconds < 1) {
            let problem = format!("{seconds} leaves no time to stop in: write 60, or leave it out");
            return refused(&["terminationGracePeriodSeconds"], problem);
        }
        let Some(context) = &pod.security_context else { return Ok(()) };
        let restricted = |field: &str, problem: &str| {
            let problem = format!("{problem}: nodes run under Pod Security restricted");
            refused(&["securityContext", field], problem)
        };
        if context.run_as_non_root == Some(false) {
            return restricted("runAsNonRoot", "write true, or leave it out");
        }
        if context.run_as_user == Some(0) {
            return restricted("runAsUser", "0 is root: write another one, or leave it out");
        }
        if context.seccomp_profile.as_ref().is_some_and(|profile| profile.type_ == "Unconfined") {
            return restricted("seccompProfile", "write RuntimeDefault or Localhost, or leave it out");
        }
        if context.windows_options.is_some() {
            return refused(
                &["securityContext", "windowsOptions"],
                "nodes run on Linux: leave it out".to_owned(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Template;

    fn read(pod: Value) -> Template {
        serde_json::from_value(json!({ "pod": pod })).expect("a template")
    }

    #[test]
    fn what_is_the_operators_or_breaks_a_node_is_refused_by_name() {
        for (pod, says) in [
            (
                json!({ "metadata": { "labels": { "app.kubernetes.io/name": "mine" } } }),
                "metadata.labels.app.kubernetes.io/name: what begins with app.kubernetes.io/ is not yours",
            ),
            (
                json!({ "metadata": { "labels": { "apps.kubernetes.io/pod-index": "7" } } }),
                "metadata.labels.apps.kubernetes.io/pod-index: what begins with apps.kubernetes.io/ is not yours",
            ),
            (
                json!({ "metadata": { "annotations": { "taffrail.dev/rack": "a" } } }),
                "metadata.annotations.taffrail.dev/rack: what begins with taffrail.dev/ is not yours",
            ),
            (
                json!({ "terminationGracePeriodSeconds": 0 }),
                "terminationGracePeriodSeconds: 0 leaves no time",
            ),
            (json!({ "securityContext": { "runAsUser": 0 } }), "securityContext.runAsUser: 0 is root"),
            (
                json!({ "securityContext": { "runAsNonRoot": false } }),
                "securityContext.runAsNonRoot: write true",
            ),
            (
                json!({ "securityContext": { "seccompProfile": { "type": "Unconfined" } } }),
                "securityContext.seccompProfile: write RuntimeDefault",
            ),
            (
                json!({ "securityContext": { "windowsOptions": {} } }),
                "securityContext.windowsOptions: nodes run on Linux",
            ),
        ] {
            let error = read(pod).validate("controllers").expect_err(says).to_string();
            assert!(error.starts_with(&format!("spec.controllers.template.pod.{says}")), "{error}");
        }
    }

    #[test]
    fn what_is_left_may_be_written() {
        let pod = json!({
            "metadata": { "labels": { "team": "orders" }, "annotations": { "prometheus.io/scrape": "false" } },
            "tolerations": [{ "key": "kafka", "operator": "Exists" }],
            "nodeSelector": { "disk": "fast" },
            "topologySpreadConstraints": [],
            "priorityClassName": "high",
            "securityContext": { "runAsUser": 1000, "fsGroup": 1000 },
            "terminationGracePeriodSeconds": 120,
        });
        let template = read(pod.clone());
        assert_eq!(template.validate("brokers"), Ok(()));
        assert_eq!(
            serde_json::to_value(&template).expect("is JSON"),
            json!({ "pod": pod }),
            "nothing is lost"
        );
    }
}
