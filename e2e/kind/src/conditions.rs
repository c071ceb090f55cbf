//! What a KafkaCluster or a KafkaTopic says of itself.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{Bed, wait};

/// A condition of an object, named as `kind/name`, as `Status Reason: message`. One of an older generation is none.
pub fn condition(bed: &Bed, namespace: &str, object: &str, condition: &str) -> Result<String> {
    let found = bed.kubectl(&["--namespace", namespace, "get", object, "--output=json"])?;
    let found: Value = serde_json::from_str(&found)?;
    let conditions = found["status"]["conditions"].as_array().context("no conditions")?;
    let one = conditions.iter().find(|one| one["type"] == condition).context("no condition")?;
    let is_seen = one["observedGeneration"] == found["metadata"]["generation"];
    ensure!(is_seen, "the operator has not seen this generation");
    let text = |key: &str| one[key].as_str().unwrap_or_default();
    Ok(format!("{} {}: {}", text("status"), text("reason"), text("message")))
}

/// Waits until a condition has all these words in it.
pub fn says(
    bed: &Bed,
    (namespace, object): (&str, &str),
    name: &str,
    words: &[&str],
    limit: Duration,
) -> Result<()> {
    wait(&format!("{name} of {object} to say {words:?}"), limit, || {
        let said = condition(bed, namespace, object, name)?;
        ensure!(words.iter().all(|words| said.contains(words)), "{said}");
        Ok(Some(()))
    })
}
