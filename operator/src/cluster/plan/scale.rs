//! More brokers and fewer: what is seen, as the steps from one number to another want it. The steps themselves are
//! `resources::scale`, which `taffrail dev` follows, too.

use kube::ResourceExt;
use resources::{
    CONTROLLERS_FROM, ControllersSight, RebalanceMode, ScaleBroker, ScaleSight, ScaleStep, VolumePolicy,
    scale,
};

use super::Step;
use crate::cluster::build::Moment;
use crate::cluster::observe::Observed;
use crate::cluster::validate::ValidCluster;
use crate::names;

/// What comes next, if the cluster says enough of itself; it does not before it is founded.
pub(super) fn next(cluster: &ValidCluster, observed: &Observed) -> Option<ScaleStep> {
    let state = observed.cluster()?;
    let brokers = &cluster.spec.brokers;
    let nodes = observed.nodes().filter_map(|broker| {
        let node = broker.node.as_ref().ok()?;
        Some((node.node_id, node.directory_id.parse().ok()?))
    });
    let registered = state.brokers.iter().map(|broker| ScaleBroker {
        id: broker.id,
        is_fenced: broker.is_fenced,
        is_cordoned: broker.is_cordoned,
        is_empty: broker.is_empty(),
    });
    let spread = moment(cluster, observed, None).spread;
    Some(scale(&ScaleSight {
        wanted: brokers.replicas,
        running: running(observed).max(observed.replicas().unwrap_or(0)),
        nodes: nodes.collect(),
        voters: observed.voters.clone(),
        brokers: registered.collect(),
        widest: state.widest_topic.as_ref().map(|topic| (topic.name.clone(), topic.replicas)),
        is_rebalancing: state.rebalance.is_active,
        rate: state.rebalance.bytes_per_second,
        wanted_rate: brokers.rebalance.bytes_per_second,
        left: state.rebalance.partitions_left,
        stuck: state.rebalance.partitions_blocked,
        controllers: cluster.controllers.as_ref().map(|controllers| ControllersSight {
            wanted: controllers.spec.replicas,
            running: running_controllers(observed).max(observed.controller_replicas().unwrap_or(0)),
        }),
        is_to_spread: brokers.rebalance.mode == RebalanceMode::Auto && spread < brokers.replicas,
    }))
}

/// How many brokers there are for now, and over how many of them replicas were spread.
pub(super) fn moment(cluster: &ValidCluster, observed: &Observed, next: Option<&ScaleStep>) -> Moment {
    let wanted = cluster.spec.brokers.replicas;
    // Without a StatefulSet there may be Pods all the same: one that goes is kept until it is empty.
    let has = observed.replicas().unwrap_or_else(|| wanted.max(running(observed)));
    let noted =
        observed.stateful_set.as_ref().and_then(|set| set.annotations().get(names::SPREAD)?.parse().ok());
    let is_stopping = matches!(next, Some(ScaleStep::Stop | ScaleStep::Unregister(_) | ScaleStep::Done));
    let spread = match cluster.spec.brokers.rebalance.mode {
        RebalanceMode::Auto => noted.unwrap_or(has).min(wanted),
        RebalanceMode::Off => wanted,
    };
    let replicas = if has <= wanted || is_stopping { wanted } else { has };
    let wanted = cluster.controllers.as_ref().map_or(0, |controllers| controllers.spec.replicas);
    let has = observed.controller_replicas().unwrap_or_else(|| wanted.max(running_controllers(observed)));
    let is_stopping = matches!(next, Some(ScaleStep::StopControllers));
    let controllers = if has <= wanted || is_stopping { wanted } else { has };
    Moment { replicas, controllers, spread, is_closed: super::roll::is_closed(observed) }
}

/// The step that the operator does itself.
pub(super) fn step(cluster: &ValidCluster, observed: &Observed, next: &ScaleStep) -> Option<Step> {
    let host = |id| names::node_host(&cluster.namespace, &cluster.name, id);
    match next {
        ScaleStep::Cordon(ids) => Some(Step::Cordon { ids: ids.clone() }),
        ScaleStep::Rebalance => {
            Some(Step::Rebalance { bytes_per_second: cluster.spec.brokers.rebalance.bytes_per_second })
        }
        ScaleStep::AddVoter((id, directory)) => {
            Some(Step::AddVoter { id: *id, directory: *directory, host: host(*id) })
        }
        ScaleStep::RemoveVoter((id, directory)) => Some(Step::RemoveVoter { id: *id, directory: *directory }),
        // Its process may still be on its way out.
        ScaleStep::Unregister(id) => (*id >= running(observed)).then_some(Step::Unregister { id: *id }),
        ScaleStep::Done
        | ScaleStep::Stop
        | ScaleStep::StopControllers
        | ScaleStep::Moving { .. }
        | ScaleStep::Waiting(_)
        | ScaleStep::Blocked(_) => None,
    }
}

/// The volumes of brokers that are gone for good, where they are not to stay.
pub(super) fn surplus_claims(cluster: &ValidCluster, observed: &Observed) -> Vec<Step> {
    let Some(state) = observed.cluster() else { return Vec::new() };
    let persistent = cluster.spec.brokers.storage.persistent.as_ref();
    if persistent.is_none_or(|volume| volume.when_scaled == VolumePolicy::Retain) {
        return Vec::new();
    }
    let is_surplus = |id: i32| {
        id >= cluster
            .spec
            .brokers
            .replicas
            .max(running(observed))
            .max(observed.replicas().unwrap_or(i32::MAX))
            && state.brokers.iter().all(|broker| broker.id != id)
    };
    let claims = observed.claims.iter().filter(|claim| {
        let name = claim.name_any();
        let id = names::claimant(&cluster.name, &name).filter(|id| *id < CONTROLLERS_FROM);
        claim.metadata.deletion_timestamp.is_none() && id.is_some_and(is_surplus)
    });
    claims
        .map(|claim| Step::DeleteClaim { name: claim.name_any(), uid: claim.uid().unwrap_or_default() })
        .collect()
}

/// So many dedicated controllers have a Pod, counted from the first on.
fn running_controllers(observed: &Observed) -> i32 {
    let with_pod = observed.controllers.iter().filter(|node| node.pod.is_some());
    with_pod.map(|node| node.id - CONTROLLERS_FROM + 1).max().unwrap_or(0)
}

/// The brokers below this id have a Pod, be it one that is stopping.
fn running(observed: &Observed) -> i32 {
    let with_pod = observed.brokers.iter().filter(|broker| broker.pod.is_some());
    with_pod.map(|broker| broker.id + 1).max().unwrap_or(0)
}
