//! From a KafkaCluster as it was read to what the next steps build from. Pure.

use std::ops::Range;
use std::path::PathBuf;

use config::node::{Address, Listener, LogFormat, Logging, Peer, Role};
use kube::ResourceExt;
use resources::{
    CONTROLLERS_FROM, CONTROLLERS_MAX, KafkaCluster, KafkaClusterSpec, ListenerType, NodePlace, Template,
    VOTERS_MAX, node_config, voters,
};
use serde_json::{Value, json};

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
    /// The dedicated controllers, if there are any.
    pub(crate) controllers: Option<Controllers>,
    /// The revision that somebody approved, where that is asked for.
    pub(crate) approved: Option<String>,
}

/// The dedicated controllers.
#[derive(Clone, Debug)]
pub(crate) struct Controllers {
    pub(crate) spec: resources::Controllers,
    /// Their `broker.yaml`, its ConfigMap, and what their Pods are made from: as for brokers.
    pub(crate) yaml: String,
    pub(crate) config_map: String,
    pub(crate) pod_hash: String,
}

impl ValidCluster {
    /// What the Pod of a node is to be made from.
    pub(crate) fn pod_hash_of(&self, id: i32) -> &String {
        match &self.controllers {
            Some(controllers) if id >= CONTROLLERS_FROM => &controllers.pod_hash,
            _ => &self.pod_hash,
        }
    }

    /// Whether the metadata goes with the Pods that have it.
    pub(crate) fn is_ephemeral(&self) -> bool {
        let storage = self.controllers.as_ref().map_or(&self.spec.brokers.storage, |one| &one.spec.storage);
        storage.ephemeral.is_some()
    }

    /// Of all Pods together: what somebody approves.
    pub(crate) fn revision(&self) -> String {
        match &self.controllers {
            None => self.pod_hash.clone(),
            Some(controllers) => names::hash(&format!("{} {}", self.pod_hash, controllers.pod_hash)),
        }
    }

    /// The nodes that vote from the start.
    pub(crate) fn first_voters(&self) -> Range<i32> {
        match &self.controllers {
            None => 0..voters(self.spec.brokers.replicas),
            Some(controllers) => CONTROLLERS_FROM..CONTROLLERS_FROM + controllers.spec.replicas,
        }
    }
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
    let render = |roles: &[Role]| {
        node_yaml(spec, &namespace, &name, roles)
            .map_err(|error| Blocked { reason: "InvalidConfig", message: error.to_string() })
    };
    let restarted_at = cluster.annotations().get(names::RESTARTED_AT);
    let pod_hash = |config_map: &str, resources: Value, ephemeral: Value, template: &Option<Template>| {
        let mut inputs = vec![json!(image), json!(config_map), resources, ephemeral];
        inputs.extend(template.as_ref().map(|template| json!(template)));
        inputs.extend(restarted_at.map(|text| json!(text)));
        names::hash(&Value::from(inputs).to_string())
    };
    let broker_yaml = match spec.controllers {
        None => render(&[Role::Broker, Role::Controller])?,
        Some(_) => render(&[Role::Broker])?,
    };
    let config_map = format!("{name}-config-{}", names::hash(&broker_yaml));
    let controllers = spec.controllers.clone().map(|spec| {
        let yaml = render(&[Role::Controller])?;
        let config_map = format!("{name}-config-{}", names::hash(&yaml));
        let (resources, ephemeral) = (json!(spec.resources), json!(spec.storage.ephemeral));
        let pod_hash = pod_hash(&config_map, resources, ephemeral, &spec.template);
        Ok(Controllers { spec, yaml, config_map, pod_hash })
    });
    Ok(ValidCluster {
        uid: cluster.uid().unwrap_or_default(),
        spec: spec.clone(),
        pod_hash: pod_hash(
            &config_map,
            json!(spec.brokers.resources),
            json!(spec.brokers.storage.ephemeral),
            &spec.brokers.template,
        ),
        controllers: controllers.transpose()?,
        approved: cluster.annotations().get(names::APPROVE).cloned(),
        broker_yaml,
        config_map,
        image,
        name,
        namespace,
    })
}

fn node_yaml(
    spec: &KafkaClusterSpec,
    namespace: &str,
    name: &str,
    roles: &[Role],
) -> Result<String, serde_yaml::Error> {
    // All that may ever vote, also those that are not there yet: adding brokers restarts none.
    let voter = |id| Peer {
        id,
        host: names::node_host(namespace, name, id),
        controller_port: names::CONTROLLER_PORT,
        admin_port: names::ADMIN_PORT,
    };
    let host = names::own_host(namespace, name);
    // What is reached from outside has no address before Kubernetes gives it one.
    let listener = |listener: &resources::KafkaListener| Listener {
        name: names::listener(listener),
        bind: format!("0.0.0.0:{}", listener.port),
        advertised: (listener.kind == ListenerType::Internal)
            .then(|| Address { host: host.clone(), port: listener.port }),
    };
    let is_broker = roles.contains(&Role::Broker);
    let voting = match spec.controllers {
        None => 0..VOTERS_MAX,
        Some(_) => CONTROLLERS_FROM..CONTROLLERS_FROM + CONTROLLERS_MAX,
    };
    let advertised_file = format!("/etc/taffrail/advertised/${{env:{}}}.json", names::POD_INDEX);
    let place = NodePlace {
        node_id: TEMPLATE_ID,
        bind_host: "0.0.0.0".to_owned(),
        roles: roles.to_vec(),
        host: host.clone(),
        listeners: spec.listeners.iter().filter(|_| is_broker).map(listener).collect(),
        advertised_file: is_broker.then(|| PathBuf::from(advertised_file)),
        rack_file: (is_broker && spec.brokers.rack.is_some())
            .then(|| PathBuf::from("/etc/taffrail/rack/rack")),
        inter_broker_port: is_broker.then_some(names::INTER_BROKER_PORT),
        controller_port: names::CONTROLLER_PORT,
        admin_port: names::ADMIN_PORT,
        token_file: PathBuf::from("/etc/taffrail/admin/token"),
        data_dir: PathBuf::from("/var/lib/taffrail/data"),
        log: Logging { format: LogFormat::Json, ..Logging::default() },
        voters: voting.map(voter).collect(),
    };
    let mut config = serde_yaml::to_value(node_config(spec, &place))?;
    config["nodeId"] = serde_yaml::Value::String(format!("${{env:{}}}", names::POD_INDEX));
    serde_yaml::to_string(&config)
}
