//! Scenarios of listeners and volumes: what a cluster asks of the Kubernetes around it. Most share the cluster of one broker.

use anyhow::{Context, Result, bail, ensure};
use kind_e2e::{Bed, Cluster, MINUTE, NAMESPACE, wait};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::cluster::{demo, ready};

/// A namespace that goes and comes back.
const PLACE: &str = "kept";
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
    let demo = demo(bed);
    let before = demo.pod(0)?;
    listen(
        demo,
        json!([
            { "name": "plain", "port": 9092 },
            { "name": "node", "port": 9094, "type": "nodeport" },
            { "name": "cloud", "port": 9095, "type": "loadbalancer" },
        ]),
    )?;
    let restarted = demo.another_pod(0, &before)?;
    ready(bed)?;

    // From the machine that kind runs on, with a client that has nothing of ours in it.
    let servers = wait("the address of the node", MINUTE, || bootstrap_servers(demo, "node"))?;
    let records = demo.consume("orders")?;
    let read = wait("a client from outside", MINUTE * 2, || {
        bed.kcat_here(&["-b", &servers, "-C", "-t", "orders", "-e", "-q"]).map(Some)
    })?;
    let mut read: Vec<_> = read.lines().collect();
    read.sort_unstable();
    ensure!(read == records, "through the node's port {servers}: {read:?}");

    // The balancer has no address: nobody is sent there, and a condition says so.
    let pending = demo.condition("ListenersAdvertised")?;
    ensure!(
        pending.starts_with("False AddressPending") && pending.contains("Service demo-cloud-0"),
        "{pending}"
    );
    let inside = format!("demo-cloud-clients.{NAMESPACE}.svc:9095");
    let told = || bed.kcat(&["-b", &inside, "-L"], None);
    ensure!(told()?.contains(" 0 brokers:"), "a listener without an address is told: {}", told()?);
    for (service, address) in [("demo-cloud-0", "192.0.2.10"), ("demo-cloud-clients", "192.0.2.9")] {
        let ingress = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": address }] } } }).to_string();
        let status = ["--subresource=status", "--type=merge", "--patch", &ingress];
        bed.kubectl(&[&["patch", "service", service], &status[..]].concat())?;
    }
    wait("the balancer's address", MINUTE * 2, || {
        Ok(told().is_ok_and(|told| told.contains("192.0.2.10:9095")).then_some(()))
    })?;
    ensure!(bootstrap_servers(demo, "cloud")?.as_deref() == Some("192.0.2.9:9095"), "status.listeners");
    demo.says("ListenersAdvertised", &["True"], MINUTE)?;
    ensure!(demo.pod(0)?.uid() == restarted.uid(), "an address restarted the Pod");

    listen(demo, json!([{ "name": "plain", "port": 9092 }]))?;
    demo.another_pod(0, &restarted)?;
    bed.gone("service/demo-cloud-0", MINUTE)?;
    ready(bed)
}

pub(crate) fn wrong_listeners(bed: &Bed) -> Result<()> {
    for (listeners, says) in [
        (json!([{ "name": "a", "port": 9092 }, { "name": "b", "port": 9092 }]), "a port of its own"),
        (json!([{ "name": "a", "port": 9092 }, { "name": "a", "port": 9093 }]), "Duplicate value"),
        (json!([{ "name": "a", "port": 9091 }]), "9090, 9091 and 9600 are the brokers' own"),
        (json!([{ "name": "admin", "port": 9092 }]), "controller, internal and admin"),
        (json!([{ "name": "a-b", "port": 9092 }]), "spec.listeners[0].name"),
        (json!([{ "name": "a", "port": 9092, "type": "ingress" }]), "spec.listeners[0].type"),
        (json!([]), "spec.listeners"),
    ] {
        let Err(error) = listen(demo(bed), listeners) else { bail!("accepted, and not {says}") };
        ensure!(format!("{error:#}").contains(says), "{says}: {error:#}");
    }
    Ok(())
}

fn listen(demo: Cluster<'_>, listeners: Value) -> Result<()> {
    demo.patch(json!({ "spec": { "listeners": listeners } }))
}

/// Where the status says that clients of a listener begin.
fn bootstrap_servers(demo: Cluster<'_>, listener: &str) -> Result<Option<String>> {
    let listeners = demo.status()?.listeners;
    ensure!(listeners.iter().any(|one| one.bootstrap_servers == demo.bootstrap()), "{listeners:?}");
    Ok(listeners.into_iter().find(|one| one.name == listener).map(|one| one.bootstrap_servers))
}

pub(crate) fn volume_grown(bed: &Bed) -> Result<()> {
    let (demo, claim) = (demo(bed), demo(bed).claim_name(0));
    let (before, former, records) = (demo.pod(0)?, demo.stateful_set()?, demo.consume("orders")?);
    // A class that refuses is told, and holds nothing else up: not in this edit, and not in the next.
    let is_refused = || demo.says("Stalled", &["True Forbidden", &claim], MINUTE);
    may_grow(bed, false)?;
    resize(demo, "2Gi")?;
    is_refused()?;
    wait("another StatefulSet", MINUTE, || Ok((demo.stateful_set()?.uid() != former.uid()).then_some(())))?;
    ensure!(demo.pod(0)?.uid() == before.uid(), "the Pod was restarted");
    demo.configure("num.partitions", 5)?;
    let before = demo.another_pod(0, &before)?;
    is_refused()?;
    ensure!(requested(demo)? == "1Gi", "a volume grew that may not");
    // The bed's volumes do not grow, whatever their class says: what can be seen is what is asked of them. By now the operator
    // tries once a minute.
    may_grow(bed, true)?;
    wait("a larger volume", MINUTE * 2, || Ok((requested(demo)? == "2Gi").then_some(())))?;
    ready(bed)?;
    demo.says("Stalled", &["False"], MINUTE)?;
    ensure!(demo.pod(0)?.uid() == before.uid(), "the Pod was restarted");
    ensure!(demo.consume("orders")? == records, "other records than before");
    let Err(error) = resize(demo, "1Gi") else { bail!("a volume was to shrink") };
    ensure!(format!("{error:#}").contains("volumes do not shrink"), "{error:#}");
    Ok(())
}

pub(crate) fn volume_larger(bed: &Bed) -> Result<()> {
    let demo = demo(bed);
    let larger = r#"{"spec": {"resources": {"requests": {"storage": "3Gi"}}}}"#;
    bed.kubectl(&["patch", "pvc", &demo.claim_name(0), "--patch", larger])?;
    // An edit makes the operator look.
    demo.annotate("looked-at=yes")?;
    std::thread::sleep(MINUTE / 12);
    ready(bed)?;
    ensure!(requested(demo)? == "3Gi", "the volume that somebody enlarged: {}", requested(demo)?);
    Ok(())
}

/// Whether the class of the bed's volumes lets them grow.
fn may_grow(bed: &Bed, is_allowed: bool) -> Result<()> {
    let patch = json!({ "allowVolumeExpansion": is_allowed }).to_string();
    bed.kubectl(&["patch", "storageclass", "standard", "--patch", &patch]).map(drop)
}

fn resize(demo: Cluster<'_>, size: &str) -> Result<()> {
    demo.patch(json!({ "spec": { "brokers": { "storage": { "persistent": { "size": size } } } } }))
}

/// How large the broker's volume is to be.
fn requested(demo: Cluster<'_>) -> Result<String> {
    let requests = demo.claim(0)?.spec.and_then(|spec| spec.resources?.requests).context("no request")?;
    Ok(requests.get("storage").context("no size")?.0.clone())
}

pub(crate) fn namespace_recreated(bed: &Bed) -> Result<()> {
    let kept = bed.cluster_in(PLACE, "kept");
    found_kept(bed)?;
    kept.produce("letters", (0..200).map(|number| format!("letter-{number:03}")))?;
    let (id, records) = (kept.id()?, kept.consume("letters")?);
    ensure!(records.len() == 200, "{} records of 200", records.len());
    let volume = |id| kept.claim(id)?.spec.and_then(|spec| spec.volume_name).context("no volume");
    let volumes = (0..3).map(volume).collect::<Result<Vec<_>>>()?;
    let patch = |spec: &Value| {
        let patch = json!({ "spec": spec }).to_string();
        let patch =
            |volume: &String| bed.kubectl(&["patch", "pv", volume, "--type=merge", "--patch", &patch]);
        volumes.iter().try_for_each(|volume| patch(volume).map(drop))
    };
    patch(&json!({ "persistentVolumeReclaimPolicy": "Retain" }))?;
    bed.kubectl(&["delete", "namespace", PLACE, "--timeout=120s"])?;
    // Whoever keeps volumes says for whom: for the claim of that name, whoever makes it.
    patch(&json!({ "claimRef": { "uid": null, "resourceVersion": null } }))?;
    found_kept(bed)?;
    ensure!(kept.id()? == id, "cluster {id} became {}", kept.id()?);
    ensure!(kept.consume("letters")? == records, "other records than before");
    patch(&json!({ "persistentVolumeReclaimPolicy": "Delete" }))?;
    bed.kubectl(&["delete", "namespace", PLACE, "--timeout=120s"]).map(drop)
}

/// Makes the namespace with the cluster that is kept, and waits until it serves.
fn found_kept(bed: &Bed) -> Result<()> {
    bed.namespace(PLACE)?;
    bed.apply_in(PLACE, KEPT)?;
    bed.ready(&["--namespace", PLACE, "kafkacluster/kept"], MINUTE * 3)?;
    bed.ready(&["--namespace", PLACE, "kafkatopic/letters"], MINUTE * 3)
}
