//! What a KafkaCluster says of itself, in its status and through its brokers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use resources::KafkaCluster;
use serde_json::Value;

use crate::{Bed, NAMESPACE, wait};

/// A condition of a cluster in the scenarios' namespace as `Status Reason: message`. One of an older generation is none.
pub fn condition(bed: &Bed, cluster: &str, name: &str) -> Result<String> {
    let found: Option<KafkaCluster> = bed.get(NAMESPACE, cluster)?;
    let found = found.with_context(|| format!("KafkaCluster {cluster}"))?;
    let generation = found.metadata.generation;
    let conditions = found.status.unwrap_or_default().conditions;
    let one = conditions.into_iter().find(|condition| condition.type_ == name).context("no condition")?;
    ensure!(one.observed_generation == generation, "the operator has not seen this generation");
    Ok(format!("{} {}: {}", one.status, one.reason, one.message))
}

/// Waits until this generation of a cluster runs and nothing is on its way any more.
pub fn settled(bed: &Bed, cluster: &str, limit: Duration) -> Result<()> {
    wait("Ready, and not Reconciling", limit, || {
        let (ready, reconciling) =
            (condition(bed, cluster, "Ready")?, condition(bed, cluster, "Reconciling")?);
        ensure!(ready.starts_with("True") && reconciling.starts_with("False"), "{ready}; {reconciling}");
        Ok(Some(()))
    })
}

/// What a broker says of itself and the cluster, `/v1/state`.
pub fn broker_state(bed: &Bed, cluster: &str, id: i32) -> Result<Value> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{cluster}-broker-{id}:9600/proxy/v1/state");
    Ok(serde_json::from_str(&bed.kubectl(&["get", "--raw", &path])?)?)
}
