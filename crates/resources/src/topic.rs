//! KafkaTopic.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cluster::{BROKERS_MAX, config_error, within_replicas};
use crate::{ConfigValues, SpecError};

/// A topic of a Kafka cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "taffrail.dev",
    version = "v1alpha1",
    kind = "KafkaTopic",
    plural = "kafkatopics",
    shortname = "tkt",
    category = "taffrail",
    namespaced,
    status = "KafkaTopicStatus",
    doc = "A topic of a Kafka cluster. The operator creates it, keeps its partitions, replicas and configurations as they are written here, and deletes it with its resource.",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Cluster","type":"string","jsonPath":".spec.clusterRef.name"}"#,
    printcolumn = r#"{"name":"Partitions","type":"integer","jsonPath":".spec.partitions"}"#,
    printcolumn = r#"{"name":"Replicas","type":"integer","jsonPath":".spec.replicas"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "self.clusterRef == oldSelf.clusterRef",
        "message": "clusterRef cannot be changed: make another KafkaTopic",
        "fieldPath": ".clusterRef",
    },
    {
        "rule": "has(self.topicName) == has(oldSelf.topicName) && \
                 (!has(self.topicName) || self.topicName == oldSelf.topicName)",
        "message": "topicName cannot be changed: make another KafkaTopic",
    },
]))]
pub struct KafkaTopicSpec {
    /// The cluster that has the topic.
    pub cluster_ref: ClusterRef,
    /// The topic's name, where it differs from the resource's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249))]
    pub topic_name: Option<String>,
    /// How many partitions. They can become more, not fewer.
    #[schemars(range(min = 1))]
    pub partitions: i32,
    /// How many replicas each of them has; no more than there are brokers.
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: i32,
    /// Topic configurations by Kafka's names.
    #[serde(default, skip_serializing_if = "ConfigValues::is_empty")]
    pub config: ConfigValues,
    /// What becomes of the topic when the resource is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// A KafkaCluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRef {
    /// Its name.
    #[schemars(length(min = 1, max = 40))]
    pub name: String,
    /// Its namespace, where that is another one: the cluster's `spec.topicNamespaces` has to admit this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// What becomes of a topic when its resource is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It goes, with its records.
    #[default]
    Delete,
    /// It stays.
    Retain,
}

/// What the operator knows of a topic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaTopicStatus {
    /// Ready, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The generation that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The topic's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<String>,
    /// The partitions that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// The replicas that each of them has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
}

impl KafkaTopic {
    /// The topic's name in the cluster.
    pub fn topic_name(&self) -> &str {
        self.spec.topic_name.as_deref().or(self.metadata.name.as_deref()).unwrap_or_default()
    }

    /// The namespace of its cluster.
    pub fn cluster_namespace(&self) -> &str {
        self.spec.cluster_ref.namespace.as_deref().or(self.metadata.namespace.as_deref()).unwrap_or_default()
    }

    /// Every rule that can be checked without the cluster.
    pub fn validate(&self) -> Result<(), SpecError> {
        let name = self.topic_name();
        let path: &[&str] =
            if self.spec.topic_name.is_some() { &["spec", "topicName"] } else { &["metadata", "name"] };
        types::validate_topic_name(name).map_err(|error| SpecError::new(path, error.to_string()))?;
        if name.starts_with("__") {
            return Err(SpecError::new(
                path,
                format!("{name}: names that begin with __ belong to the brokers"),
            ));
        }
        if self.spec.partitions < 1 {
            return Err(SpecError::new(
                &["spec", "partitions"],
                "a topic has at least one partition: write 1",
            ));
        }
        if !(1..=BROKERS_MAX).contains(&self.spec.replicas) {
            let problem =
                format!("is not 1 to {BROKERS_MAX}: write 3 for records that survive the loss of a broker");
            return Err(SpecError::new(&["spec", "replicas"], problem));
        }
        if self.spec.config.0.len() > 64 {
            return Err(SpecError::new(&["spec", "config"], "has more than 64 keys"));
        }
        let (path, values) = (["spec", "config"], &self.spec.config);
        config::validate_topic_overrides(&values.0, &config::BrokerLayers::none())
            .map_err(|error| config_error(&path, values, &error))?;
        within_replicas(&path, values, "min.insync.replicas", self.spec.replicas)
    }
}
