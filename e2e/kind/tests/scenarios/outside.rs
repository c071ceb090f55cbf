//! Scenarios of listeners and volumes: what a cluster asks of the Kubernetes around it. Most share the cluster of one broker.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service};
use kind_e2e::{Bed, NAMESPACE, condition, wait};
use kube::ResourceExt;
use resources::KafkaCluster;

use crate::cluster::{MINUTE, bootstrap, pod, ready};
use crate::topics::consume;

const CLAIM: &str = "data-demo-broker-0";
/// A namespace that goes and comes back.
const PLACE: &str = "kept";
const KEPT_BOOTSTRAP: &str = "kept-bootstrap.kept.svc:9092";
const KEPT: &str = "
apiVersion: taffrail.dev/v1alpha1
kind: KafkaCluster
metadata:
  name: kept
spec:
  brokers:
    replicas: 3
    storage: {persistent: {size: 1Gi}}
    resources: {requests: {cpu: 20m, memory: 64Mi}}
---
apiVersion: taffrail.dev/v1alpha1
kind: KafkaTopic
metadata:
  name: letters
spec:
  clusterRef: {name: kept}
  partitions: 3
  replicas: 3
  deletionPolicy: Retain
";

pub(crate) fn listeners(bed: &Bed) -> Result<()> {
    let listeners = r#"{"spec": {"listeners": [
        {"name": "plain", "port": 9092},
        {"name": "node", "port": 9094, "type": "nodeport"},
        {"name": "cloud", "port": 9095, "type": "loadbalancer"}
    ]}}"#;
    let before = pod(bed)?;
    patch(bed, listeners)?;
    wait("another Pod", MINUTE * 2, || Ok((pod(bed)?.uid() != before.uid()).then_some(())))?;
    ready(bed)?;
    let restarted = pod(bed)?;

    // From the machine that kind runs on, with a client that has nothing of ours in it.
    let servers = wait("the address of the node", MINUTE, || bootstrap_servers(bed, "node"))?;
    let records = consume(bed, "orders")?;
    let read = wait("a client from outside", MINUTE * 2, || {
        let read = bed.kcat_here(&["-b", &servers, "-C", "-t", "orders", "-e", "-q"])?;
        Ok(Some(read))
    })?;
    let mut read: Vec<_> = read.lines().map(str::to_owned).collect();
    read.sort();
    ensure!(read == records, "through the node's port {servers}: {read:?}");

    // The balancer has no address: nobody is sent there, and a condition says so.
    let pending = condition(bed, "demo", "ListenersAdvertised")?;
    ensure!(
        pending.starts_with("False AddressPending") && pending.contains("Service demo-cloud-0"),
        "{pending}"
    );
    let inside = format!("demo-cloud-clients.{NAMESPACE}.svc:9095");
    let told = || bed.kcat(&["-b", &inside, "-L"], None);
    ensure!(told()?.contains(" 0 brokers:"), "a listener without an address is told: {}", told()?);
    for (service, address) in [("demo-cloud-0", "192.0.2.10"), ("demo-cloud-clients", "192.0.2.9")] {
        let patch = format!(r#"{{"status": {{"loadBalancer": {{"ingress": [{{"ip": "{address}"}}]}}}}}}"#);
        let what = ["patch", "service", service, "--subresource=status", "--type=merge", "--patch", &patch];
        bed.kubectl(&[&["--namespace", NAMESPACE][..], &what].concat())?;
    }
    wait("the balancer's address", MINUTE * 2, || {
        Ok(told().is_ok_and(|told| told.contains("192.0.2.10:9095")).then_some(()))
    })?;
    ensure!(bootstrap_servers(bed, "cloud")?.as_deref() == Some("192.0.2.9:9095"), "status.listeners");
    wait("the condition", MINUTE, || {
        Ok(condition(bed, "demo", "ListenersAdvertised")?.starts_with("True").then_some(()))
    })?;
    ensure!(pod(bed)?.uid() == restarted.uid(), "an address restarted the Pod");

    patch(bed, r#"{"spec": {"listeners": [{"name": "plain", "port": 9092}]}}"#)?;
    wait("another Pod", MINUTE * 2, || Ok((pod(bed)?.uid() != restarted.uid()).then_some(())))?;
    wait("the Services to go", MINUTE, || {
        Ok(bed.get::<Service>(NAMESPACE, "demo-cloud-0")?.is_none().then_some(()))
    })?;
    ready(bed)
}

pub(crate) fn wrong_listeners(bed: &Bed) -> Result<()> {
    for (listeners, says) in [
        (r#"[{"name": "a", "port": 9092}, {"name": "b", "port": 9092}]"#, "a port of its own"),
        (r#"[{"name": "a", "port": 9092}, {"name": "a", "port": 9093}]"#, "Duplicate value"),
        (r#"[{"name": "a", "port": 9091}]"#, "9090, 9091 and 9600 are the brokers' own"),
        (r#"[{"name": "admin", "port": 9092}]"#, "controller, internal and admin"),
        (r#"[{"name": "a-b", "port": 9092}]"#, "spec.listeners[0].name"),
        (r#"[{"name": "a", "port": 9092, "type": "ingress"}]"#, "spec.listeners[0].type"),
        ("[]", "spec.listeners"),
    ] {
        let Err(error) = patch(bed, &format!(r#"{{"spec": {{"listeners": {listeners}}}}}"#)) else {
            bail!("accepted: {listeners}")
        };
        ensure!(format!("{error:#}").contains(says), "{says}: {error:#}");
    }
    Ok(())
}

pub(crate) fn volume_grown(bed: &Bed) -> Result<()> {
    // The bed's volumes do not grow, whatever their class says: what can be seen is what is asked of them.
    let class = ["patch", "storageclass", "standard", "--patch", r#"{"allowVolumeExpansion": true}"#];
    bed.kubectl(&class)?;
    let (before, records) = (pod(bed)?, consume(bed, "orders")?);
    let set = || bed.get::<StatefulSet>(NAMESPACE, "demo-broker");
    let former = set()?.context("no StatefulSet")?;
    resize(bed, "2Gi")?;
    wait("a larger volume", MINUTE, || Ok((requested(bed)? == "2Gi").then_some(())))?;
    wait("another StatefulSet", MINUTE, || Ok(set()?.filter(|set| set.uid() != former.uid()).map(drop)))?;
    ready(bed)?;
    ensure!(pod(bed)?.uid() == before.uid(), "the Pod was restarted");
    ensure!(consume(bed, "orders")? == records, "other records than before");
    let Err(error) = resize(bed, "1Gi") else { bail!("a volume was to shrink") };
    ensure!(format!("{error:#}").contains("volumes do not shrink"), "{error:#}");
    Ok(())
}

pub(crate) fn volume_larger(bed: &Bed) -> Result<()> {
    let larger = r#"{"spec": {"resources": {"requests": {"storage": "3Gi"}}}}"#;
    bed.kubectl(&["--namespace", NAMESPACE, "patch", "pvc", CLAIM, "--patch", larger])?;
    // An edit makes the operator look.
    bed.kubectl(&["--namespace", NAMESPACE, "annotate", "tkc", "demo", "looked-at=yes"])?;
    std::thread::sleep(MINUTE / 12);
    ready(bed)?;
    ensure!(requested(bed)? == "3Gi", "the volume that somebody enlarged: {}", requested(bed)?);
    Ok(())
}

fn patch(bed: &Bed, patch: &str) -> Result<()> {
    bed.kubectl(&["--namespace", NAMESPACE, "patch", "tkc", "demo", "--type=merge", "--patch", patch])
        .map(drop)
}

fn resize(bed: &Bed, size: &str) -> Result<()> {
    let storage = format!(r#"{{"persistent": {{"size": "{size}"}}}}"#);
    patch(bed, &format!(r#"{{"spec": {{"brokers": {{"storage": {storage}}}}}}}"#))
}

fn requested(bed: &Bed) -> Result<String> {
    let claim: PersistentVolumeClaim = bed.get(NAMESPACE, CLAIM)?.context("no claim")?;
    let requests = claim.spec.and_then(|spec| spec.resources?.requests).context("no request")?;
    Ok(requests.get("storage").context("no size")?.0.clone())
}

/// Where the status says that clients of a listener begin.
fn bootstrap_servers(bed: &Bed, listener: &str) -> Result<Option<String>> {
    let cluster: KafkaCluster = bed.get(NAMESPACE, "demo")?.context("KafkaCluster demo")?;
    let listeners = cluster.status.unwrap_or_default().listeners;
    ensure!(listeners.iter().any(|one| one.bootstrap_servers == bootstrap()), "{listeners:?}");
    Ok(listeners.into_iter().find(|one| one.name == listener).map(|one| one.bootstrap_servers))
}

pub(crate) fn namespace_recreated(bed: &Bed) -> Result<()> {
    bed.namespace(PLACE)?;
    kept(bed)?;
    let lines: String = (0..200).map(|number| format!("letter-{number:03}\n")).collect();
    bed.taffrail(&["produce", "letters", "--bootstrap-server", KEPT_BOOTSTRAP], Some(&lines))?;
    let (id, records) = (kept_id(bed)?, letters(bed)?);
    let mut volumes = Vec::new();
    for broker in 0..3 {
        let claim: Option<PersistentVolumeClaim> = bed.get(PLACE, &format!("data-kept-broker-{broker}"))?;
        volumes.push(claim.and_then(|claim| claim.spec?.volume_name).context("a claim without a volume")?);
    }
    let reclaim = |volume: &str, policy: &str| {
        let patch = format!(r#"{{"spec": {{"persistentVolumeReclaimPolicy": "{policy}"}}}}"#);
        bed.kubectl(&["patch", "pv", volume, "--patch", &patch])
    };
    volumes.iter().try_for_each(|volume| reclaim(volume, "Retain").map(drop))?;
    bed.kubectl(&["delete", "namespace", PLACE, "--timeout=120s"])?;
    // Whoever keeps volumes says for whom: for the claim of that name, whoever makes it.
    for volume in &volumes {
        let free = r#"{"spec": {"claimRef": {"uid": null, "resourceVersion": null}}}"#;
        bed.kubectl(&["patch", "pv", volume, "--type=merge", "--patch", free])?;
    }
    bed.namespace(PLACE)?;
    kept(bed)?;
    ensure!(kept_id(bed)? == id, "cluster {id} became {}", kept_id(bed)?);
    ensure!(letters(bed)? == records, "other records than before");
    volumes.iter().try_for_each(|volume| reclaim(volume, "Delete").map(drop))?;
    bed.kubectl(&["delete", "namespace", PLACE, "--timeout=120s"]).map(drop)
}

/// Applies the cluster that is kept, and waits until it serves.
fn kept(bed: &Bed) -> Result<()> {
    bed.kubectl_with(&["--namespace", PLACE, "apply", "-f", "-"], Some(KEPT))?;
    for object in ["kafkacluster/kept", "kafkatopic/letters"] {
        let wait = ["wait", "--for=condition=Ready", object, "--timeout=180s"];
        bed.kubectl(&[&["--namespace", PLACE], &wait[..]].concat())?;
    }
    Ok(())
}

fn kept_id(bed: &Bed) -> Result<String> {
    let cluster: KafkaCluster = bed.get(PLACE, "kept")?.context("KafkaCluster kept")?;
    cluster.status.and_then(|status| status.cluster_id).context("no cluster id")
}

fn letters(bed: &Bed) -> Result<BTreeSet<String>> {
    let consume = ["consume", "letters", "--from-beginning", "--exit", "--bootstrap-server", KEPT_BOOTSTRAP];
    let read: BTreeSet<_> = bed.taffrail(&consume, None)?.lines().map(str::to_owned).collect();
    ensure!(read.len() == 200, "{} records of 200", read.len());
    Ok(read)
}
