//! The ConfigMaps: one with `broker.yaml`, and one with the addresses that clients are told.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Kind, Resource};
use crate::cluster::listeners::{Told, file};
use crate::cluster::validate::ValidCluster;
use crate::names;

/// One for brokers, and one for dedicated controllers.
pub(super) fn build(cluster: &ValidCluster) -> Vec<Resource> {
    let controllers = cluster.controllers.iter().map(|one| (&one.config_map, &one.yaml));
    let all = [(&cluster.config_map, &cluster.broker_yaml)].into_iter().chain(controllers);
    let config_map = |(name, yaml): (&String, &String)| {
        let content = json!({ "immutable": true, "data": { "broker.yaml": yaml } });
        Resource::new(cluster, Kind::ConfigMap, name.clone(), content)
    };
    all.map(config_map).collect()
}

/// A file for each broker. It changes under brokers that run, so that they need no restart to tell clients something new.
pub(super) fn advertised(cluster: &ValidCluster, told: &Told) -> Resource {
    // Kubernetes drops what is empty.
    if told.brokers.is_empty() {
        return Resource::new(cluster, Kind::ConfigMap, names::advertised(&cluster.name), json!({}));
    }
    let files = told.brokers.iter().map(|(id, addresses)| (format!("{id}.json"), file(addresses)));
    let content = json!({ "data": files.collect::<BTreeMap<_, _>>() });
    Resource::new(cluster, Kind::ConfigMap, names::advertised(&cluster.name), content)
}
