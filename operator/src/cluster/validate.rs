//! From a KafkaCluster as it was read to what the next steps build from. Pure.

use std::path::PathBuf;

use config::node::{LogFormat, Logging, Peer};
use kube::ResourceExt;
use resources::{KafkaCluster, KafkaClusterSpec, NodePlace, VOTERS_MAX, node_config};
use serde_json::json;

use super::plan::Blocked;
use crate::names;

/// Stands for the id of whichever broker reads the file: no broker has it.
const TEMPLATE_ID: i32 = -1;

/// A cluster whose spec can be carried out.
#[derive(Clone, Debug)]
pub(crate) struct ValidCluster {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    pub(crate) spec: KafkaClusterSpec,
    pub(crate) image: String,
    /// `broker.yaml` of every broker: each takes its id and its name from its environment.
    pub(crate) broker_yaml: String,
    /// Named after what is in it, so that a Pod never reads half of a change.
    pub(crate) config_map: String,
    /// Of all that a Pod is made from, as the user wrote it: a newer operator, which renders another Pod from the same
    /// spec, restarts none.
    pub(crate) pod_hash: String,
    /// The revision that somebody approved, where that is asked for.
    pub(crate) approved: Option<String>,
}

/// Checks the spec. `current_image` is what the StatefulSet has, `default_image` the operator's own.
pub(crate) fn validate(
    cluster: &KafkaCluster,
    current_image: Option<&str>,
    default_image: &str,
) -> Result<ValidCluster, Blocked> {
    let spec = &cluster.spec;
    spec.validate().map_err(|error| Blocked {
        reason: if error.path.get(1).is_some_and(|field| field == "config") {
            "InvalidConfig"
        } else {
            "InvalidSpec"
        },
        message: error.to_string(),
    })?;
    let name = cluster.name_any();
    let is_label = name.starts_with(|first: char| first.is_ascii_lowercase()) && !name.contains('.');
    if name.len() > 40 || !is_label {
        let message = format!(
            "metadata.name: {name} becomes a part of DNS names: write at most 40 letters, digits and dashes, a letter first"
        );
        return Err(Blocked { reason: "InvalidSpec", message });
    }
    let namespace = cluster.namespace().unwrap_or_default();
    let image = spec.image.as_deref().or(current_image).unwrap_or(default_image).to_owned();
    let broker_yaml = broker_yaml(spec, &namespace, &name)
        .map_err(|error| Blocked { reason: "InvalidConfig", message: error.to_string() })?;
    let config_map = format!("{name}-config-{}", names::hash(&broker_yaml));
    let mut inputs = vec![
        json!(image),
        json!(config_map),
        json!(spec.brokers.resources),
        json!(spec.brokers.storage.ephemeral),
    ];
    inputs.extend(cluster.annotations().get(names::RESTARTED_AT).map(|text| json!(text)));
    Ok(ValidCluster {
        uid: cluster.uid().unwrap_or_default(),
        spec: spec.clone(),
        image,
        pod_hash: names::hash(&json!(inputs).to_string()),
        approved: cluster.annotations().get(names::APPROVE).cloned(),
        broker_yaml,
        config_map,
        name,
        namespace,
    })
}

fn broker_yaml(spec: &KafkaClusterSpec, namespace: &str, name: &str) -> Result<String, serde_yaml::Error> {
    // All that may ever vote, also those that are not there yet: adding brokers restarts none.
    let voter = |id| Peer {
        id,
        host: names::broker_host(namespace, name, id),
        controller_port: names::CONTROLLER_PORT,
        admin_port: names::ADMIN_PORT,
    };
    let place = NodePlace {
        node_id: TEMPLATE_ID,
        bind_host: "0.0.0.0".to_owned(),
        host: names::own_host(namespace, name),
        port: names::CLIENT_PORT,
        inter_broker_port: Some(names::INTER_BROKER_PORT),
        controller_port: names::CONTROLLER_PORT,
        admin_port: names::ADMIN_PORT,
        token_file: PathBuf::from("/etc/taffrail/admin/token"),
        data_dir: PathBuf::from("/var/lib/taffrail/data"),
        log: Logging { format: LogFormat::Json, ..Logging::default() },
        voters: (0..VOTERS_MAX).map(voter).collect(),
    };
    let mut config = serde_yaml::to_value(node_config(spec, &place))?;
    config["nodeId"] = serde_yaml::Value::String(format!("${{env:{}}}", names::POD_INDEX));
    serde_yaml::to_string(&config)
}
