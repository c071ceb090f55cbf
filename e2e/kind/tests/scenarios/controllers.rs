//! Scenarios of a cluster with dedicated controllers, whose brokers know where they stand.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kind_e2e::{Bed, Cluster, MINUTE};
use serde_json::json;

const SPLIT: &str = "
apiVersion: taffrail.dev/v1alpha1
kind: KafkaCluster
metadata:
  name: split
spec:
  brokers:
    replicas: 3
    rack: {topologyKey: example.com/hall}
    storage: {persistent: {size: 1Gi}}
    resources: {requests: {cpu: 20m, memory: 64Mi}}
  controllers:
    replicas: 3
    storage: {persistent: {size: 1Gi}}
    resources: {requests: {cpu: 20m, memory: 64Mi}}
  config: {min.insync.replicas: 2}
---
apiVersion: taffrail.dev/v1alpha1
kind: KafkaTopic
metadata:
  name: parcels
spec:
  clusterRef: {name: split}
  partitions: 3
  replicas: 3
";
/// One of its changes: of five controllers, or of six Pods one after the other.
const CHANGE: Duration = Duration::from_secs(300);

fn split(bed: &Bed) -> Cluster<'_> {
    bed.cluster("split")
}

pub(crate) fn install(bed: &Bed) -> Result<()> {
    let split = split(bed);
    // A rack that nobody knows is said, and its brokers wait for it.
    bed.apply(SPLIT)?;
    split.says("Ready", &["RackUnknown", "example.com/hall"], MINUTE * 2)?;
    bed.kubectl(&["label", "node", "--all", "example.com/hall=west"])?;
    split.settled(CHANGE)?;
    ensure!(voters(split)? == BTreeSet::from([1000, 1001, 1002]), "{:?}", voters(split)?);
    for id in 0..3 {
        let rack = split.pod(id)?.metadata.annotations.unwrap_or_default().remove("taffrail.dev/rack");
        ensure!(rack.as_deref() == Some("west"), "broker {id} stands in {rack:?}");
    }
    bed.ready(&["kafkatopic/parcels"], MINUTE)?;
    let acks = ["-b", &split.bootstrap(), "-P", "-t", "parcels", "-X", "acks=all"];
    bed.kcat(&acks, Some("one\ntwo\nthree\n"))?;
    let read = split.consume("parcels")?;
    ensure!(read == ["one", "three", "two"], "{read:?}");
    let Err(error) = split.patch(json!({ "spec": { "controllers": null } })) else {
        bail!("controllers were taken away")
    };
    ensure!(format!("{error:#}").contains("controllers cannot be added or removed"), "{error:#}");
    Ok(())
}

pub(crate) fn scaled(bed: &Bed) -> Result<()> {
    let split = split(bed);
    let watch = split.watch()?;
    let load = split.load("parcels")?;
    for (replicas, expected) in [(5, 1000..1005), (3, 1000..1003)] {
        split.patch(json!({ "spec": { "controllers": { "replicas": replicas } } }))?;
        split.settled(CHANGE)?;
        let voters = voters(split)?;
        ensure!(voters == expected.clone().collect(), "of {expected:?} there vote {voters:?}");
    }
    bed.gone("pod/split-controller-1004", MINUTE)?;
    load.end()?;
    watch.end()?.each(1)?;
    let claim: Option<PersistentVolumeClaim> = bed.get("data-split-controller-1004")?;
    ensure!(claim.is_some(), "a volume that is to be retained is gone");
    Ok(())
}

pub(crate) fn rolled(bed: &Bed) -> Result<()> {
    let split = split(bed);
    let leader = split.status()?.controllers.and_then(|controllers| controllers.leader);
    let load = split.load("parcels")?;
    let watch = split.watch()?;
    split.configure("num.partitions", 4)?;
    split.settled(CHANGE)?;
    let stopped = watch.end_of_roll()?.stopped;
    load.end()?;
    let (controllers, brokers) = stopped.split_at(3);
    ensure!(controllers.iter().all(|pod| pod.contains("controller")), "controllers first: {stopped:?}");
    ensure!(brokers.iter().all(|pod| pod.contains("broker")), "brokers then: {stopped:?}");
    let active = format!("split-controller-{}", leader.context("no leader")?);
    ensure!(controllers[2] == active, "{active} was active: {stopped:?}");
    bed.kubectl(&["delete", "tkc/split", "tkt/parcels", "--timeout=120s"]).map(drop)
}

fn voters(split: Cluster<'_>) -> Result<BTreeSet<i32>> {
    let controllers = split.status()?.controllers.context("no controllers in the status")?;
    Ok(controllers.voters.into_iter().collect())
}
