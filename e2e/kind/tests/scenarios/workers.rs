//! Scenarios of the machines below: drained, stopped, gone for good, and the zones in which they stand. Most share the cluster
//! of three brokers, each of which is on a worker of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kind_e2e::{Bed, NAMESPACE, OPERATOR_NAMESPACE, WORKERS, ZONE, condition, settled, wait};
use kube::ResourceExt;
use serde_json::Value;

use crate::brokers::{BOOTSTRAP, budget, count, patch, read, voter};
use crate::cluster::MINUTE;

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
    let (first, second) = (bed.node_of("trio-broker-1")?, bed.node_of("trio-broker-2")?);
    ensure!(first != second, "two brokers on {first}");
    let watch = bed.watch_pods("trio")?;
    let load = bed.load(BOOTSTRAP, "flights")?;
    drain(bed, &first, 60)?;
    // Its volume is there, so it waits for its node; and nobody else is let go meanwhile.
    budget(bed, 0)?;
    let Err(refusal) = drain(bed, &second, 20) else { bail!("a second broker was evicted") };
    ensure!(format!("{refusal:#}").contains("disruption budget"), "{refusal:#}");
    let fewest = fewest_in_sync(bed)?;
    ensure!(fewest == 2, "a partition has {fewest} replicas in sync");
    bed.kubectl(&["uncordon", &first])?;
    // The second drain goes on as soon as the first broker is back.
    drain(bed, &second, 180)?;
    bed.kubectl(&["uncordon", &second])?;
    settled(bed, "trio", HEALED)?;
    load.end()?;
    let (most_down, lives, _) = watch.end()?;
    ensure!(most_down == 1, "{most_down} Pods were down at once");
    let expected = [("trio-broker-0", 1), ("trio-broker-1", 2), ("trio-broker-2", 2)];
    ensure!(lives == expected.map(|(pod, lives)| (pod.to_owned(), lives)).into(), "{lives:?}");
    Ok(())
}

pub(crate) fn drained_in_mid_roll(bed: &Bed) -> Result<()> {
    // Their volumes keep the brokers where they are.
    let nodes = [1, 0, 2].map(|id| bed.node_of(&format!("trio-broker-{id}")));
    let watch = bed.watch_pods("trio")?;
    let load = bed.load(BOOTSTRAP, "flights")?;
    patch(bed, r#"{"spec": {"config": {"num.partitions": 9}}}"#)?;
    wait("the roll", MINUTE, || Ok(condition(bed, "trio", "Ready")?.starts_with("False").then_some(())))?;
    // One after the other, as whoever upgrades the nodes does it.
    for node in nodes {
        let node = node?;
        drain(bed, &node, 240)?;
        bed.kubectl(&["uncordon", &node])?;
    }
    settled(bed, "trio", HEALED)?;
    load.end()?;
    let (most_down, lives, _) = watch.end()?;
    ensure!(most_down == 1, "{most_down} Pods were down at once: {lives:?}");
    // Each was evicted once, and restarted before that or not.
    ensure!(lives.values().all(|lives| (2..=3).contains(lives)), "{lives:?}");
    Ok(())
}

pub(crate) fn stopped(bed: &Bed) -> Result<()> {
    let node = bed.node_of("trio-broker-2")?;
    vacate(bed, &node)?;
    let before = pods(bed)?;
    let load = bed.load(BOOTSTRAP, "flights")?;
    wait_for_load(bed)?;
    bed.machine("stop", &node)?;
    budget(bed, 0)?;
    // A roll that is asked for now waits: what runs cannot be spared.
    patch(bed, r#"{"spec": {"config": {"num.partitions": 10}}}"#)?;
    wait("the reason", MINUTE * 2, || {
        let ready = condition(bed, "trio", "Ready")?;
        ensure!(ready.starts_with("False") && ready.contains("trio-broker-2"), "{ready}");
        Ok(Some(()))
    })?;
    // Longer than Kubernetes takes to give the node up.
    std::thread::sleep(MINUTE * 3 / 2);
    let meanwhile = pods(bed)?;
    ensure!(meanwhile == before, "deleted by force, or restarted: {before:?} became {meanwhile:?}");
    let fewest = fewest_in_sync(bed)?;
    ensure!(fewest == 2, "a partition has {fewest} replicas in sync");
    bed.machine("start", &node)?;
    bed.kubectl(&["uncordon", &node])?;
    settled(bed, "trio", HEALED)?;
    load.end()?;
    let after = pods(bed)?;
    let rolled = before.iter().all(|(pod, uid)| after.get(pod).is_some_and(|now| now != uid));
    ensure!(rolled, "not rolled: {before:?} became {after:?}");
    budget(bed, 1)
}

pub(crate) fn gone_for_good(bed: &Bed) -> Result<()> {
    let (pod, node) = ("trio-broker-1", bed.node_of("trio-broker-1")?);
    vacate(bed, &node)?;
    let (before, directory) = (pods(bed)?, voter(bed, 1)?.context("broker 1 votes")?);
    let load = bed.load(BOOTSTRAP, "flights")?;
    wait_for_load(bed)?;
    bed.machine("stop", &node)?;
    bed.kubectl(&["delete", "node", &node])?;
    // Kubernetes makes the Pod again, but its volume was on the worker.
    wait("a Pod that has nowhere to go", MINUTE * 3, || {
        let ready = condition(bed, "trio", "Ready")?;
        let is_another = pods(bed)?.get(pod).is_some_and(|uid| Some(uid) != before.get(pod));
        ensure!(is_another && ready.contains(pod) && ready.contains("Unschedulable"), "{ready}");
        Ok(Some(()))
    })?;
    annotate(bed, pod, "taffrail.dev/delete-pod-and-pvc=yes")?;
    wait("another voter", MINUTE * 3, || Ok(voter(bed, 1)?.filter(|now| *now != directory)))?;
    settled(bed, "trio", HEALED)?;
    let sent = load.end()?;
    let read = read(bed)?;
    ensure!(sent.iter().all(|line| read.contains(line)), "records are lost");
    ensure!(bed.node_of(pod)? != node, "it is on the worker that is gone");
    // Whatever comes after finds three workers, and the brokers on one each.
    bed.machine("start", &node)?;
    wait("the worker", MINUTE * 2, || {
        bed.kubectl(&["wait", "--for=condition=Ready", &format!("node/{node}"), "--timeout=1s"]).map(Some)
    })?;
    bed.kubectl(&["cordon", &bed.node_of(pod)?])?;
    let crowded = bed.node_of(pod)?;
    annotate(bed, pod, "taffrail.dev/delete-pod-and-pvc=yes")?;
    wait("the new worker", MINUTE * 3, || Ok(bed.node_of(pod)?.eq(&node).then_some(())))?;
    bed.kubectl(&["uncordon", &crowded])?;
    settled(bed, "trio", HEALED)
}

pub(crate) fn spread_over_zones(bed: &Bed) -> Result<()> {
    let (cluster, cargo) = ZONES.split_once("---").context("two documents")?;
    bed.apply(cluster)?;
    settled(bed, "zones", MINUTE * 4)?;
    // Not before: a topic is placed on the brokers that there are.
    bed.apply(cargo)?;
    let topic = ["wait", "--for=condition=Ready", "kafkatopic/cargo", "--timeout=60s"];
    bed.kubectl(&[&["--namespace", NAMESPACE][..], &topic].concat())?;
    in_each_zone(bed, 4)?;
    let scale = ["scale", "kafkacluster/zones", "--replicas=5"];
    bed.kubectl(&[&["--namespace", NAMESPACE][..], &scale].concat())?;
    settled(bed, "zones", MINUTE * 4)?;
    in_each_zone(bed, 5)?;
    bed.kubectl(&["--namespace", NAMESPACE, "delete", "tkc/zones", "tkt/cargo", "--timeout=120s"]).map(drop)
}

/// Each partition of the cluster over zones has a replica in each of them, and no broker is left out.
fn in_each_zone(bed: &Bed, brokers: usize) -> Result<()> {
    let mut zones = BTreeMap::new();
    for id in 0..brokers {
        let node = bed.node_of(&format!("zones-broker-{id}"))?;
        let label = format!("--output=jsonpath={{.metadata.labels.{}}}", ZONE.replace('.', "\\."));
        zones.insert(id as u64, bed.kubectl(&["get", "node", &node, &label])?);
    }
    let mut used = BTreeSet::new();
    for partition in partitions(bed, "cargo", "zones-bootstrap.kafka.svc:9092")? {
        let replicas = ids(&partition["replicas"]);
        let places: BTreeSet<_> = replicas.iter().filter_map(|id| zones.get(id)).collect();
        ensure!(places.len() == WORKERS, "{replicas:?} stand in {places:?}: {zones:?}");
        used.extend(replicas);
    }
    ensure!(used.len() == brokers, "of {brokers} brokers {used:?} have replicas");
    Ok(())
}

/// How many replicas in sync the partition has that has fewest.
fn fewest_in_sync(bed: &Bed) -> Result<usize> {
    let partitions = partitions(bed, "flights", BOOTSTRAP)?;
    partitions.iter().map(|partition| ids(&partition["isr"]).len()).min().context("no partition")
}

fn partitions(bed: &Bed, topic: &str, bootstrap: &str) -> Result<Vec<Value>> {
    let said =
        bed.taffrail(&["topics", "describe", topic, "--bootstrap-server", bootstrap, "-o", "json"], None)?;
    let said: Value = serde_json::from_str(&said)?;
    let topic = if said.is_array() { &said[0] } else { &said };
    topic["partitions"].as_array().cloned().with_context(|| format!("no partitions in {topic}"))
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
    let ours = ["--namespace", OPERATOR_NAMESPACE];
    let there = format!("--field-selector=spec.nodeName={node}");
    let selector = "--selector=app.kubernetes.io/name=taffrail-operator";
    bed.kubectl(&[&ours[..], &["delete", "pods", selector, &there]].concat())?;
    let rollout = ["rollout", "status", "deployment/taffrail-operator", "--timeout=90s"];
    bed.kubectl(&[&ours[..], &rollout].concat()).map(drop)
}

/// The producer has to be there before anything happens.
fn wait_for_load(bed: &Bed) -> Result<()> {
    let before = count(bed)?;
    wait("the first records", MINUTE, || Ok((count(bed)? > before).then_some(())))
}

fn annotate(bed: &Bed, pod: &str, annotation: &str) -> Result<()> {
    bed.kubectl(&["--namespace", NAMESPACE, "annotate", "--overwrite", "pod", pod, annotation]).map(drop)
}

/// The brokers' Pods by name, and who they are.
fn pods(bed: &Bed) -> Result<BTreeMap<String, String>> {
    let mut pods = BTreeMap::new();
    for id in 0..3 {
        let name = format!("trio-broker-{id}");
        if let Some(pod) = bed.get::<Pod>(NAMESPACE, &name)? {
            pods.insert(name, pod.uid().unwrap_or_default());
        }
    }
    Ok(pods)
}
