//! The PodDisruptionBudget: one Pod at a time.

use serde_json::json;

use super::{Kind, Resource};
use crate::cluster::validate::ValidCluster;
use crate::names;

pub(super) fn build(cluster: &ValidCluster) -> Resource {
    let selector = json!({ "matchLabels": names::broker_labels(&cluster.name) });
    let content = json!({ "spec": { "maxUnavailable": 1, "selector": selector } });
    Resource::new(cluster, Kind::PodDisruptionBudget, cluster.name.clone(), content)
}
