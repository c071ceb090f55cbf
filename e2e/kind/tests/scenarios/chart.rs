//! Scenarios of the Helm chart: its test, its uninstall, and an install that may do nothing outside of one namespace.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use kind_e2e::{Bed, IMAGE, MINUTE, NAMESPACE, wait};
use kube::ResourceExt;

use crate::brokers::{ROLL, trio};
use crate::cluster::{demo, ready};
use crate::topics;

/// A topic of the cluster that the scenarios share.
const PARCELS: &str = "
apiVersion: taffrail.dev/v1alpha1
kind: KafkaTopic
metadata:
  name: parcels
spec:
  clusterRef:
    name: demo
  partitions: 2
  replicas: 1
";

pub(crate) fn tested(bed: &Bed) -> Result<()> {
    // Twice: the Pod of the one before is in nobody's way.
    for _ in 0..2 {
        let said = bed.helm(&["test", "taffrail", "--timeout", "90s", "--logs"])?;
        ensure!(said.contains("Succeeded"), "{said}");
        ensure!(said.contains("holds the Lease") && said.contains("KafkaClusters"), "no log: {said}");
    }
    Ok(())
}

pub(crate) fn reinstalled(bed: &Bed) -> Result<()> {
    ready(bed)?;
    bed.apply(PARCELS)?;
    let finalizers = || Ok(topics::read(bed, "parcels")?.finalizers().len());
    wait("a finalizer", MINUTE, || finalizers().map(|count| (count > 0).then_some(())))?;
    let before = pods(bed)?;

    uninstall(bed, "taffrail")?;
    ensure!(finalizers()? == 0, "a finalizer is left, and nobody to carry it out");
    bed.kubectl(&["get", "crd", "kafkaclusters.taffrail.dev", "kafkatopics.taffrail.dev"])?;
    demo(bed).read().context("the KafkaCluster went along")?;
    let left = of_release(bed, "taffrail")?;
    ensure!(left.is_empty(), "left behind: {left}");

    // The definitions belong to the first release.
    install(bed, "second", &["--set", "crds.enabled=false"])?;
    bed.apply(&PARCELS.replace("partitions: 2", "partitions: 4"))?;
    topics::has_partitions(bed, "parcels", 4)?;
    ensure!(finalizers()? > 0, "the second operator wants no finalizer");
    let after = pods(bed)?;
    ensure!(after == before, "Pods were restarted: {before:?} became {after:?}");
    uninstall(bed, "second")?;
    install(bed, "taffrail", &[])?;
    ensure!(pods(bed)? == before, "Pods were restarted by the third install");
    ready(bed)
}

pub(crate) fn namespaced(bed: &Bed) -> Result<()> {
    let watched = format!("watchNamespaces={{{NAMESPACE}}}");
    uninstall(bed, "taffrail")?;
    install(bed, "taffrail", &["--set", &watched, "--set", "rbac.clusterReads=false"])?;
    let wide = bed.kubectl(&[
        "get",
        "clusterroles,clusterrolebindings",
        "--selector=app.kubernetes.io/part-of=taffrail",
        "--output=name",
    ])?;
    ensure!(wide.trim().is_empty(), "not only Roles: {wide}");
    bed.helm(&["test", "taffrail", "--timeout", "90s"])?;

    ready(bed)?;
    let letters = PARCELS.replace("name: parcels", "name: letters");
    bed.apply(&letters)?;
    topics::says(bed, "letters", &["AsSpecified"])?;
    demo(bed).produce("letters", ["a", "b"])?;
    ensure!(demo(bed).consume("letters")? == ["a", "b"], "other records");
    bed.apply(&letters.replace("partitions: 2", "partitions: 3"))?;
    topics::says(bed, "letters", &["AsSpecified"])?;
    bed.kubectl(&["delete", "tkt", "letters", "parcels", "--timeout=60s"])?;
    roll(bed)
}

/// The cluster of three restarts one Pod after the other, under a producer.
fn roll(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    let load = trio.load("flights")?;
    let watch = trio.watch()?;
    trio.annotate("taffrail.dev/restarted-at=without a ClusterRole")?;
    wait("the roll's begin", MINUTE, || Ok(trio.status()?.rollout.map(drop)))?;
    trio.settled(ROLL)?;
    watch.end_of_roll()?;
    load.end().map(drop)
}

/// Installs the image under test as a release.
pub(crate) fn install(bed: &Bed, release: &str, more: &[&str]) -> Result<()> {
    let (repository, tag) = IMAGE.split_once(':').context("the image has a tag")?;
    let (repository, tag) = (format!("image.repository={repository}"), format!("image.tag={tag}"));
    let chart = bed.chart();
    let install = ["install", release, &chart, "--create-namespace", "--wait", "--timeout", "120s"];
    bed.helm(&[&install, &["--set", &repository, "--set", &tag][..], more].concat()).map(drop)
}

fn uninstall(bed: &Bed, release: &str) -> Result<()> {
    bed.helm(&["uninstall", release, "--wait", "--timeout", "200s"]).map(drop)
}

/// The Pods of all clusters.
fn pods(bed: &Bed) -> Result<BTreeMap<String, String>> {
    bed.pods("app.kubernetes.io/name=taffrail")
}

/// What still belongs to a release, definitions apart.
fn of_release(bed: &Bed, release: &str) -> Result<String> {
    let kinds =
        "deployments,jobs,services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings";
    let selector =
        format!("--selector=app.kubernetes.io/instance={release},app.kubernetes.io/part-of=taffrail");
    let found = bed.kubectl(&["get", kinds, "--all-namespaces", &selector, "--output=name"])?;
    Ok(found.trim().to_owned())
}
