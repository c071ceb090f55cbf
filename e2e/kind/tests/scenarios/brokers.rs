//! Scenarios of a cluster of several brokers: founded, wiped, replaced, and without an operator. They and others share it, and
//! leave it with three.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use kind_e2e::{Bed, Cluster, MINUTE, wait};

use crate::operators::{kill_operator, operators};

const TRIO: &str = "
apiVersion: taffrail.dev/v1alpha1
kind: KafkaCluster
metadata:
  name: trio
spec:
  brokers:
    replicas: 3
    storage:
      persistent:
        size: 1Gi
    resources:
      requests:
        cpu: 50m
        memory: 128Mi
  config:
    min.insync.replicas: 2
---
apiVersion: taffrail.dev/v1alpha1
kind: KafkaTopic
metadata:
  name: flights
spec:
  clusterRef:
    name: trio
  partitions: 12
  replicas: 3
";
/// A topic that nobody has looked at while there is no operator.
const WAITING: &str = "
apiVersion: taffrail.dev/v1alpha1
kind: KafkaTopic
metadata:
  name: waiting
spec:
  clusterRef: {name: trio}
  partitions: 1
  replicas: 3
";
/// Records that are there from the beginning.
const FLIGHTS: usize = 4000;
/// A roll of three Pods, each of which Kubernetes makes again.
pub(crate) const ROLL: Duration = Duration::from_secs(300);

pub(crate) fn trio(bed: &Bed) -> Cluster<'_> {
    bed.cluster("trio")
}

pub(crate) fn install(bed: &Bed) -> Result<()> {
    bed.apply(TRIO)?;
    trio(bed).settled(MINUTE * 3)?;
    bed.ready(&["kafkatopic/flights"], MINUTE)?;
    trio(bed).produce("flights", (0..FLIGHTS).map(|number| format!("{number:06}{}", "x".repeat(1000))))
}

pub(crate) fn disk_wiped(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    let before = trio.voter(1)?;
    bed.kubectl(&["delete", "pvc", &trio.claim_name(1), "--wait=false"])?;
    trio.delete_pod(1)?;
    trio.another_voter(1, &before)?;
    trio.settled(MINUTE * 3)
}

pub(crate) fn replaced(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    let before = trio.voter(2)?;
    trio.annotate_pod(2, "taffrail.dev/delete-pod-and-pvc=yes")?;
    trio.another_voter(2, &before)?;
    trio.settled(MINUTE * 3)?;
    ensure!(trio.consume("flights")?.len() >= FLIGHTS, "records are lost");
    Ok(())
}

pub(crate) fn operator_gone(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    let (id, records, former) = (trio.id()?, trio.consume("flights")?, trio.pods()?);
    operators(bed, 0)?;
    bed.apply(WAITING)?;
    for (field, expected) in [
        ("type", "Ready Reconciling Stalled"),
        ("status", "Unknown Unknown Unknown"),
        ("reason", "Pending Pending Pending"),
    ] {
        let said = bed.field("tkt/waiting", &format!(".status.conditions[*].{field}"))?;
        ensure!(said == expected, "without an operator {field} is {said}");
    }
    let pods: Vec<_> = former.keys().map(String::as_str).collect();
    bed.kubectl(&[&["delete", "pods", "--wait=false"], &pods[..]].concat())?;
    wait("three brokers", MINUTE * 2, || {
        let pods = trio.pods()?;
        for (pod, uid) in &former {
            ensure!(pods.get(pod).is_some_and(|now| now != uid), "{pod} is the old one");
        }
        Ok((trio.stateful_set()?.status.and_then(|status| status.ready_replicas) == Some(3)).then_some(()))
    })?;
    // The operator's Pod, in which our command line is run elsewhere, is not there.
    let consume = ["consume", "flights", "--from-beginning", "--exit", "--bootstrap-server"];
    let exec = ["exec", &trio.pod_name(0), "--", "taffrail"];
    let read = bed.kubectl(&[&exec[..], &consume, &[&trio.bootstrap()]].concat())?;
    let mut read: Vec<_> = read.lines().collect();
    read.sort_unstable();
    ensure!(read == records, "{} records of {}", read.len(), records.len());
    operators(bed, 1)?;
    trio.settled(MINUTE * 2)?;
    bed.ready(&["kafkatopic/waiting"], MINUTE)?;
    bed.kubectl(&["delete", "tkt", "waiting", "--timeout=60s"])?;
    ensure!(trio.id()? == id, "another cluster id in the status");
    ensure!(trio.state_of(0)?["clusterId"] == id.as_str(), "another cluster id");
    Ok(())
}

pub(crate) fn founded_once(bed: &Bed) -> Result<()> {
    let early = bed.cluster("early");
    let (cluster, _) = TRIO.split_once("---").context("two documents")?;
    bed.apply(&cluster.replace("name: trio", "name: early"))?;
    wait("a StatefulSet", MINUTE, || bed.get::<StatefulSet>("early-broker"))?;
    kill_operator(bed)?;
    let written = wait("a cluster id", MINUTE * 2, || early.id().map(Some))?;
    kill_operator(bed)?;
    early.says("Ready", &["True"], MINUTE * 3)?;
    for id in 0..3 {
        let state = early.state_of(id)?;
        ensure!(state["clusterId"] == written.as_str(), "{written} was written: {state}");
    }
    bed.kubectl(&["delete", "tkc/early", "--timeout=60s"]).map(drop)
}
