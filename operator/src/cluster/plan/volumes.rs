//! Volumes: whose they are, and how large. They grow and never shrink; one that is larger than asked for is somebody's wish.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec};
use kube::ResourceExt;
use resources::{CONTROLLERS_FROM, Persistent, Storage, VolumePolicy};

use super::{Blocked, Step};
use crate::cluster::observe::Observed;
use crate::cluster::validate::ValidCluster;
use crate::names;
use crate::quantity::quantity;

/// The nodes of one kind, and what their StatefulSet was made with.
struct Pool<'a> {
    field: &'static str,
    storage: &'a Storage,
    set: Option<&'a StatefulSet>,
}

fn pools<'a>(cluster: &'a ValidCluster, observed: &'a Observed) -> Vec<Pool<'a>> {
    let brokers = Pool {
        field: "spec.brokers.storage",
        storage: &cluster.spec.brokers.storage,
        set: observed.stateful_set.as_ref(),
    };
    let controllers = cluster.controllers.as_ref().map(|controllers| Pool {
        field: "spec.controllers.storage",
        storage: &controllers.spec.storage,
        set: observed.controller_set.as_ref(),
    });
    [brokers].into_iter().chain(controllers).collect()
}

/// Refuses what no volume can become.
pub(super) fn check(cluster: &ValidCluster, observed: &Observed) -> Result<(), Blocked> {
    pools(cluster, observed).iter().try_for_each(check_pool)
}

fn check_pool(pool: &Pool<'_>) -> Result<(), Blocked> {
    let Some(set) = pool.set else { return Ok(()) };
    let field = pool.field;
    let has = template(set).map(|claim| (size(claim).unwrap_or_default(), claim.storage_class_name.as_ref()));
    let message = match (has, pool.storage.persistent.as_ref()) {
        (None, None) => return Ok(()),
        (None, Some(_)) => format!("{field}: is ephemeral and cannot be changed: write ephemeral: {{}}"),
        (Some((has_size, has_class)), Some(wants))
            if wants.storage_class.is_none() || wants.storage_class.as_ref() == has_class =>
        {
            if quantity(&wants.size) >= quantity(has_size) {
                return Ok(());
            }
            format!("{field}.persistent.size: volumes do not shrink: write size: {has_size}")
        }
        (Some((size, class)), _) => {
            let class = class.map(|class| format!(", storageClass: {class}")).unwrap_or_default();
            format!("{field}: cannot be changed: write persistent: {{size: {size}{class}}}")
        }
    };
    Err(Blocked { reason: "StorageImmutable", message })
}

/// Each claim with what the spec says of the volumes of its node's kind.
fn claims<'a>(
    cluster: &'a ValidCluster,
    observed: &'a Observed,
) -> impl Iterator<Item = (&'a PersistentVolumeClaim, &'a Persistent)> {
    observed.claims.iter().filter_map(|claim| {
        let id = names::claimant(&cluster.name, &claim.name_any())?;
        let storage = match &cluster.controllers {
            Some(controllers) if id >= CONTROLLERS_FROM => &controllers.spec.storage,
            _ => &cluster.spec.brokers.storage,
        };
        Some((claim, storage.persistent.as_ref()?))
    })
}

/// Makes volumes go with the cluster, or stay.
pub(super) fn owned(cluster: &ValidCluster, observed: &Observed) -> Vec<Step> {
    let step = |(claim, persistent): (&PersistentVolumeClaim, &Persistent)| {
        let is_owned = persistent.when_deleted == VolumePolicy::Delete;
        let is_now = claim.owner_references().iter().any(|owner| owner.uid == cluster.uid);
        (is_now != is_owned).then(|| Step::OwnClaim { name: claim.name_any(), is_owned })
    };
    claims(cluster, observed).filter_map(step).collect()
}

/// Volumes that are too small grow.
pub(super) fn grown(cluster: &ValidCluster, observed: &Observed) -> Vec<Step> {
    let step = |(claim, persistent): (&PersistentVolumeClaim, &Persistent)| {
        let has = quantity(size(claim.spec.as_ref()?)?);
        let is_small = claim.metadata.deletion_timestamp.is_none() && has < quantity(&persistent.size);
        is_small.then(|| Step::GrowClaim { name: claim.name_any(), size: persistent.size.clone() })
    };
    claims(cluster, observed).filter_map(step).collect()
}

/// Kubernetes does not let a StatefulSet's claims change: another one takes its Pods over. The names of those that are not to be
/// applied now, and what to do with them first.
pub(super) fn replaced_sets(cluster: &ValidCluster, observed: &Observed) -> (Vec<String>, Vec<Step>) {
    let (mut held, mut steps) = (Vec::new(), Vec::new());
    for pool in pools(cluster, observed) {
        let Some(set) = pool.set else { continue };
        let (name, uid) = (set.name_any(), set.uid().unwrap_or_default());
        let has = template(set).and_then(size).map(quantity);
        let wants = pool.storage.persistent.as_ref().map(|persistent| quantity(&persistent.size));
        if set.metadata.deletion_timestamp.is_some() {
            held.push(name);
        } else if has != wants {
            held.push(name.clone());
            steps.push(Step::DeleteStatefulSet { name, uid });
        }
    }
    (held, steps)
}

fn template(set: &StatefulSet) -> Option<&PersistentVolumeClaimSpec> {
    set.spec.as_ref()?.volume_claim_templates.as_ref()?.first()?.spec.as_ref()
}

fn size(claim: &PersistentVolumeClaimSpec) -> Option<&str> {
    Some(claim.resources.as_ref()?.requests.as_ref()?.get("storage")?.0.as_str())
}
