//! Scenarios of the machines below: drained, stopped, gone for good, and the zones in which they stand. Most share the cluster
//! of three brokers, each of which is on a worker of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kind_e2e::{Bed, Cluster, MINUTE, WORKERS, ZONE, wait};
use serde_json::Value;

use crate::brokers::trio;
use crate::operators::move_off;

const HEALED: Duration = Duration::from_secs(300);
const ZONES: &str = "
apiVersion: taffrail.dev/v1alpha1
kind: KafkaCluster
metadata:
  name: zones
spec:
  brokers:
    replicas: 4
    rack: {topologyKey: topology.kubernetes.io/zone}
    storage: {persistent: {size: 1Gi, whenDeleted: Delete}}
    resources: {requests: {cpu: 20m, memory: 64Mi}}
---
apiVersion: taffrail.dev/v1alpha1
kind: KafkaTopic
metadata:
  name: cargo
spec:
  clusterRef: {name: zones}
  partitions: 24
  replicas: 3
";

pub(crate) fn drained(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    let (first, second) = (trio.node_of(1)?, trio.node_of(2)?);
    ensure!(first != second, "two brokers on {first}");
    let watch = trio.watch()?;
    let load = trio.load("flights")?;
    drain(bed, &first, 60)?;
    // Its volume is there, so it waits for its node; and nobody else is let go meanwhile.
    trio.budget(0)?;
    let Err(refusal) = drain(bed, &second, 20) else { bail!("a second broker was evicted") };
    ensure!(format!("{refusal:#}").contains("disruption budget"), "{refusal:#}");
    two_in_sync(trio)?;
    bed.kubectl(&["uncordon", &first])?;
    // The second drain goes on as soon as the first broker is back.
    drain(bed, &second, 180)?;
    bed.kubectl(&["uncordon", &second])?;
    trio.settled(HEALED)?;
    load.end()?;
    let lives = watch.end()?.one_down_at_a_time()?.of;
    let expected = [("trio-broker-0", 1), ("trio-broker-1", 2), ("trio-broker-2", 2)];
    ensure!(lives == expected.map(|(pod, lives)| (pod.to_owned(), lives)).into(), "{lives:?}");
    Ok(())
}

pub(crate) fn drained_in_mid_roll(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    // Their volumes keep the brokers where they are.
    let nodes = [trio.node_of(1)?, trio.node_of(0)?, trio.node_of(2)?];
    let load = trio.load("flights")?;
    let watch = trio.watch()?;
    trio.configure("num.partitions", 9)?;
    trio.says("Ready", &["False"], MINUTE)?;
    // One after the other, as whoever upgrades the nodes does it.
    for node in nodes {
        drain(bed, &node, 240)?;
        bed.kubectl(&["uncordon", &node])?;
    }
    trio.settled(HEALED)?;
    load.end()?;
    let lives = watch.end()?.one_down_at_a_time()?.of;
    // Each was evicted once, and restarted before that or not.
    ensure!(lives.values().all(|lives| (2..=3).contains(lives)), "{lives:?}");
    Ok(())
}

pub(crate) fn stopped(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    let node = trio.node_of(2)?;
    vacate(bed, &node)?;
    let before = trio.pods()?;
    let load = trio.load("flights")?;
    bed.machine("stop", &node)?;
    trio.budget(0)?;
    // A roll that is asked for now waits: what runs cannot be spared.
    trio.configure("num.partitions", 10)?;
    trio.says("Ready", &["False", "trio-broker-2"], MINUTE * 2)?;
    // Longer than Kubernetes takes to give the node up.
    std::thread::sleep(MINUTE * 3 / 2);
    let meanwhile = trio.pods()?;
    ensure!(meanwhile == before, "deleted by force, or restarted: {before:?} became {meanwhile:?}");
    two_in_sync(trio)?;
    bed.machine("start", &node)?;
    bed.kubectl(&["uncordon", &node])?;
    trio.settled(HEALED)?;
    load.end()?;
    let after = trio.pods()?;
    let rolled = before.iter().all(|(pod, uid)| after.get(pod).is_some_and(|now| now != uid));
    ensure!(rolled, "not rolled: {before:?} became {after:?}");
    trio.budget(1)
}

pub(crate) fn gone_for_good(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    let (pod, node) = (trio.pod_name(1), trio.node_of(1)?);
    vacate(bed, &node)?;
    let (before, directory) = (trio.pods()?, trio.voter(1)?);
    let load = trio.load("flights")?;
    bed.lose(&node)?;
    // Kubernetes makes the Pod again, but its volume was on the worker.
    wait("a Pod that has nowhere to go", MINUTE * 3, || {
        let ready = trio.condition("Ready")?;
        let is_another = trio.pods()?.get(&pod).is_some_and(|uid| Some(uid) != before.get(&pod));
        ensure!(is_another && ready.contains(&pod) && ready.contains("Unschedulable"), "{ready}");
        Ok(Some(()))
    })?;
    trio.annotate_pod(1, "taffrail.dev/delete-pod-and-pvc=yes")?;
    trio.another_voter(1, &directory)?;
    trio.settled(HEALED)?;
    trio.has_all("flights", &load.end()?)?;
    let crowded = trio.node_of(1)?;
    ensure!(crowded != node, "it is on the worker that is gone");
    // Whatever comes after finds three workers, and the brokers on one each.
    bed.machine("start", &node)?;
    wait("the worker", MINUTE * 2, || {
        bed.kubectl(&["wait", "--for=condition=Ready", &format!("node/{node}"), "--timeout=1s"]).map(Some)
    })?;
    bed.kubectl(&["cordon", &crowded])?;
    trio.annotate_pod(1, "taffrail.dev/delete-pod-and-pvc=yes")?;
    wait("the new worker", MINUTE * 3, || Ok(trio.node_of(1)?.eq(&node).then_some(())))?;
    bed.kubectl(&["uncordon", &crowded])?;
    trio.settled(HEALED)
}

pub(crate) fn spread_over_zones(bed: &Bed) -> Result<()> {
    let zones = bed.cluster("zones");
    let (cluster, cargo) = ZONES.split_once("---").context("two documents")?;
    bed.apply(cluster)?;
    zones.settled(MINUTE * 4)?;
    // Not before: a topic is placed on the brokers that there are.
    bed.apply(cargo)?;
    bed.ready(&["kafkatopic/cargo"], MINUTE)?;
    in_each_zone(bed, zones, 4)?;
    zones.scale(5)?;
    zones.settled(MINUTE * 4)?;
    in_each_zone(bed, zones, 5)?;
    bed.kubectl(&["delete", "tkc/zones", "tkt/cargo", "--timeout=120s"]).map(drop)
}

/// Each partition of the cluster over zones has a replica in each of them, and no broker is left out.
fn in_each_zone(bed: &Bed, cluster: Cluster<'_>, brokers: usize) -> Result<()> {
    let label = format!(".metadata.labels.{}", ZONE.replace('.', "\\."));
    let zone = |id| bed.field(&format!("node/{}", cluster.node_of(id)?), &label);
    let zones =
        (0..brokers).map(|id| Ok((id as u64, zone(id as i64)?))).collect::<Result<BTreeMap<_, _>>>()?;
    let mut used = BTreeSet::new();
    for partition in cluster.partitions("cargo")? {
        let replicas = ids(&partition["replicas"]);
        let places: BTreeSet<_> = replicas.iter().filter_map(|id| zones.get(id)).collect();
        ensure!(places.len() == WORKERS, "{replicas:?} stand in {places:?}: {zones:?}");
        used.extend(replicas);
    }
    ensure!(used.len() == brokers, "of {brokers} brokers {used:?} have replicas");
    Ok(())
}

/// The partition that has fewest replicas in sync has two.
fn two_in_sync(trio: Cluster<'_>) -> Result<()> {
    let in_sync = |partition: &Value| ids(&partition["isr"]).len();
    let fewest = trio.partitions("flights")?.iter().map(in_sync).min();
    ensure!(fewest == Some(2), "a partition has {fewest:?} replicas in sync");
    Ok(())
}

fn ids(list: &Value) -> Vec<u64> {
    list.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

/// `kubectl drain` of a worker, as far as the brokers are concerned; other clusters of the scenarios stay where they are.
fn drain(bed: &Bed, node: &str, seconds: u32) -> Result<()> {
    let timeout = format!("--timeout={seconds}s");
    let ours = "--pod-selector=app.kubernetes.io/instance=trio";
    bed.kubectl(&["drain", node, ours, "--delete-emptydir-data", &timeout]).map(drop)
}

/// Lets nothing new onto a worker, and takes the operator off it: what is to be seen is not that it moves.
fn vacate(bed: &Bed, node: &str) -> Result<()> {
    bed.kubectl(&["cordon", node])?;
    move_off(bed, node)
}
