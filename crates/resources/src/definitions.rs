//! The custom resource definitions as YAML.

use kube::CustomResourceExt;

use crate::{KafkaCluster, KafkaTopic};

/// Each definition with the plural of its resource.
pub fn definitions() -> Result<Vec<(String, String)>, serde_yaml::Error> {
    let definitions = [KafkaCluster::crd(), KafkaTopic::crd()];
    let text = definitions.into_iter().map(|definition| {
        let yaml = serde_yaml::to_string(&definition)?;
        // The API server's reader still takes a bare Off for false.
        Ok((definition.spec.names.plural, yaml.replace("- Off\n", "- 'Off'\n")))
    });
    text.collect()
}
