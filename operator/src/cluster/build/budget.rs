//! The PodDisruptionBudget: one Pod at a time, and none while the cluster could not bear it.

use serde_json::json;

use super::{Kind, Moment, Resource};
use crate::cluster::validate::ValidCluster;
use crate::names;

pub(super) fn build(cluster: &ValidCluster, moment: Moment) -> Resource {
    let selector = json!({ "matchLabels": names::node_labels(&cluster.name) });
    let content = json!({ "spec": { "maxUnavailable": i32::from(!moment.is_closed), "selector": selector } });
    Resource::new(cluster, Kind::PodDisruptionBudget, cluster.name.clone(), content)
}
