//! What is said of a topic: pure, from what was seen and what came of the plan.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use resources::{KafkaTopic, KafkaTopicStatus};

use super::plan::{Found, Verdict};
use crate::conditions::{Said, merge};

/// The status of a resource, after its plan was carried out as far as it went.
pub(crate) fn status(
    topic: &KafkaTopic,
    verdict: &Verdict,
    found: Option<&Found>,
    now: &Time,
) -> KafkaTopicStatus {
    let before = topic.status.clone().unwrap_or_default();
    let said = match verdict {
        Verdict::Ready => [
            Said::new("Ready", true, "AsSpecified", "the topic is as this generation wants it"),
            Said::new("Reconciling", false, "Done", ""),
            Said::new("Stalled", false, "NotStalled", ""),
        ],
        Verdict::Waits { reason, message } => [
            Said::new("Ready", false, reason, message),
            Said::new("Reconciling", true, reason, message),
            Said::new("Stalled", false, "NotStalled", ""),
        ],
        Verdict::Stalled { reason, message } => [
            Said::new("Ready", false, reason, message),
            Said::new("Reconciling", false, "Stalled", ""),
            Said::new("Stalled", true, reason, message),
        ],
    };
    KafkaTopicStatus {
        conditions: merge(&before.conditions, &said, topic.metadata.generation, now),
        observed_generation: topic.metadata.generation,
        topic_id: found.map(|found| found.topic_id.clone()).or(before.topic_id),
        topic_name: Some(topic.topic_name().to_owned()),
        partitions: found.map(|found| found.partitions).or(before.partitions),
        replicas: found.map(|found| found.replicas).or(before.replicas),
    }
}
