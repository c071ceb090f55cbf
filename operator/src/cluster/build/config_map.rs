//! The ConfigMap with `broker.yaml`.

use serde_json::json;

use super::{Kind, Resource};
use crate::cluster::validate::ValidCluster;

pub(super) fn build(cluster: &ValidCluster) -> Resource {
    let content = json!({ "immutable": true, "data": { "broker.yaml": cluster.broker_yaml } });
    Resource::new(cluster, Kind::ConfigMap, cluster.config_map.clone(), content)
}
