//! Scenarios of a cluster with dedicated controllers, whose brokers know where they stand.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kind_e2e::{Bed, NAMESPACE, condition, wait};
use resources::KafkaCluster;

use crate::cluster::MINUTE;

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
const BOOTSTRAP: &str = "split-bootstrap.kafka.svc:9092";

pub(crate) fn install(bed: &Bed) -> Result<()> {
    // A rack that nobody knows is said, and its brokers wait for it.
    bed.apply(SPLIT)?;
    wait("the missing label", MINUTE * 2, || {
        let ready = condition(bed, "split", "Ready")?;
        ensure!(ready.contains("RackUnknown") && ready.contains("example.com/hall"), "{ready}");
        Ok(Some(()))
    })?;
    bed.kubectl(&["label", "node", "--all", "example.com/hall=west"])?;
    settled(bed)?;
    ensure!(voters(bed)? == BTreeSet::from([1000, 1001, 1002]), "{:?}", voters(bed)?);
    for id in 0..3 {
        let pod: Pod = bed.get(NAMESPACE, &format!("split-broker-{id}"))?.context("no Pod")?;
        let rack = pod.metadata.annotations.unwrap_or_default().remove("taffrail.dev/rack");
        ensure!(rack.as_deref() == Some("west"), "broker {id} stands in {rack:?}");
    }
    let topic = ["wait", "--for=condition=Ready", "kafkatopic/parcels", "--timeout=60s"];
    bed.kubectl(&[&["--namespace", NAMESPACE][..], &topic].concat())?;
    let acks = ["-b", BOOTSTRAP, "-P", "-t", "parcels", "-X", "acks=all"];
    bed.kcat(&acks, Some("one\ntwo\nthree\n"))?;
    ensure!(read(bed)? == ["one", "three", "two"], "{:?}", read(bed)?);
    let Err(error) = patch(bed, r#"{"spec": {"controllers": null}}"#) else {
        bail!("controllers were taken away")
    };
    ensure!(format!("{error:#}").contains("controllers cannot be added or removed"), "{error:#}");
    Ok(())
}

pub(crate) fn scaled(bed: &Bed) -> Result<()> {
    let watch = bed.watch_pods("split")?;
    let load = bed.load(BOOTSTRAP, "parcels")?;
    for (replicas, expected) in [(5, 1000..1005), (3, 1000..1003)] {
        patch(bed, &format!(r#"{{"spec": {{"controllers": {{"replicas": {replicas}}}}}}}"#))?;
        settled(bed)?;
        ensure!(voters(bed)? == expected.clone().collect(), "of {expected:?} there vote {:?}", voters(bed)?);
    }
    wait("the Pod to go", MINUTE, || {
        Ok(bed.get::<Pod>(NAMESPACE, "split-controller-1004")?.is_none().then_some(()))
    })?;
    load.end()?;
    let (_, lives, _) = watch.end()?;
    ensure!(lives.values().all(|lives| *lives == 1), "a Pod was restarted: {lives:?}");
    let claim: Option<PersistentVolumeClaim> = bed.get(NAMESPACE, "data-split-controller-1004")?;
    ensure!(claim.is_some(), "a volume that is to be retained is gone");
    Ok(())
}

pub(crate) fn rolled(bed: &Bed) -> Result<()> {
    let leader = cluster(bed)?.status.and_then(|status| status.controllers?.leader).context("no leader")?;
    let load = bed.load(BOOTSTRAP, "parcels")?;
    let watch = bed.watch_pods("split")?;
    patch(bed, r#"{"spec": {"config": {"num.partitions": 4}}}"#)?;
    settled(bed)?;
    let (most_down, lives, stopped) = watch.end()?;
    load.end()?;
    ensure!(most_down == 1, "{most_down} Pods were down at once");
    ensure!(lives.values().all(|lives| *lives == 2), "not every Pod was restarted once: {lives:?}");
    let (controllers, brokers) = stopped.split_at(3);
    ensure!(controllers.iter().all(|pod| pod.contains("controller")), "controllers first: {stopped:?}");
    ensure!(brokers.iter().all(|pod| pod.contains("broker")), "brokers then: {stopped:?}");
    let last = &controllers[2];
    ensure!(*last == format!("split-controller-{leader}"), "{leader} was active: {stopped:?}");
    bed.kubectl(&["--namespace", NAMESPACE, "delete", "tkc/split", "tkt/parcels", "--timeout=120s"]).map(drop)
}

fn patch(bed: &Bed, patch: &str) -> Result<()> {
    bed.kubectl(&["--namespace", NAMESPACE, "patch", "tkc", "split", "--type=merge", "--patch", patch])
        .map(drop)
}

fn cluster(bed: &Bed) -> Result<KafkaCluster> {
    bed.get(NAMESPACE, "split")?.context("KafkaCluster split")
}

fn voters(bed: &Bed) -> Result<BTreeSet<i32>> {
    let status = cluster(bed)?.status.unwrap_or_default();
    Ok(status.controllers.context("no controllers in the status")?.voters.into_iter().collect())
}

fn settled(bed: &Bed) -> Result<()> {
    kind_e2e::settled(bed, "split", MINUTE * 5)
}

fn read(bed: &Bed) -> Result<Vec<String>> {
    let arguments = ["consume", "parcels", "--from-beginning", "--exit", "--bootstrap-server", BOOTSTRAP];
    let mut lines: Vec<_> = bed.taffrail(&arguments, None)?.lines().map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}
