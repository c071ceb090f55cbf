//! `taffrail crds`.

use kube::CustomResourceExt;
use resources::{KafkaCluster, KafkaTopic};

use crate::output::line;

/// Prints the definitions as YAML, for `kubectl apply --server-side -f -`.
pub(crate) fn run() -> anyhow::Result<()> {
    for definition in [KafkaCluster::crd(), KafkaTopic::crd()] {
        line("---")?;
        line(serde_yaml::to_string(&definition)?.trim_end())?;
    }
    Ok(())
}
