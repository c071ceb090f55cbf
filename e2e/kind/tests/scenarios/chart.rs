//! Scenarios of the Helm chart: its test, its uninstall, and an install that may do nothing outside of one namespace.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kind_e2e::{Bed, IMAGE, NAMESPACE, OPERATOR_NAMESPACE, wait};
use kube::ResourceExt;
use resources::{KafkaCluster, KafkaTopic};

use crate::cluster::{MINUTE, ready};
use crate::topics::{consume, produce};

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
        let said =
            bed.helm(&["test", "taffrail", "--namespace", OPERATOR_NAMESPACE, "--timeout", "90s", "--logs"])?;
        ensure!(said.contains("Succeeded"), "{said}");
        ensure!(said.contains("holds the Lease") && said.contains("KafkaClusters"), "no log: {said}");
    }
    Ok(())
}

pub(crate) fn reinstalled(bed: &Bed) -> Result<()> {
    ready(bed)?;
    bed.apply(PARCELS)?;
    wait("a finalizer", MINUTE, || Ok((!topic(bed)?.finalizers().is_empty()).then_some(())))?;
    let before = pods(bed)?;

    bed.helm(&["uninstall", "taffrail", "--namespace", OPERATOR_NAMESPACE, "--wait", "--timeout", "200s"])?;
    ensure!(topic(bed)?.finalizers().is_empty(), "a finalizer is left, and nobody to carry it out");
    bed.kubectl(&["get", "crd", "kafkaclusters.taffrail.dev", "kafkatopics.taffrail.dev"])?;
    ensure!(bed.get::<KafkaCluster>(NAMESPACE, "demo")?.is_some(), "the KafkaCluster went along");
    let left = of_release(bed, "taffrail")?;
    ensure!(left.is_empty(), "left behind: {left}");

    // The definitions belong to the first release.
    install(bed, "second", &["--set", "crds.enabled=false"])?;
    bed.apply(&PARCELS.replace("partitions: 2", "partitions: 4"))?;
    wait("the second operator's work", MINUTE, || {
        let partitions = topic(bed)?.status.and_then(|status| status.partitions);
        Ok((partitions == Some(4)).then_some(()))
    })?;
    ensure!(!topic(bed)?.finalizers().is_empty(), "the second operator wants no finalizer");
    let after = pods(bed)?;
    ensure!(after == before, "Pods were restarted: {before:?} became {after:?}");
    bed.helm(&["uninstall", "second", "--namespace", OPERATOR_NAMESPACE, "--wait", "--timeout", "200s"])?;
    install(bed, "taffrail", &[])?;
    ensure!(pods(bed)? == before, "Pods were restarted by the third install");
    ready(bed)
}

pub(crate) fn namespaced(bed: &Bed) -> Result<()> {
    let watched = format!("watchNamespaces={{{NAMESPACE}}}");
    bed.helm(&["uninstall", "taffrail", "--namespace", OPERATOR_NAMESPACE, "--wait", "--timeout", "200s"])?;
    install(bed, "taffrail", &["--set", &watched, "--set", "rbac.clusterReads=false"])?;
    let wide = bed.kubectl(&[
        "get",
        "clusterroles,clusterrolebindings",
        "--selector=app.kubernetes.io/part-of=taffrail",
        "--output=name",
    ])?;
    ensure!(wide.trim().is_empty(), "not only Roles: {wide}");
    bed.helm(&["test", "taffrail", "--namespace", OPERATOR_NAMESPACE, "--timeout", "90s"])?;

    ready(bed)?;
    bed.apply(&PARCELS.replace("name: parcels", "name: letters"))?;
    wait("a topic", MINUTE, || is_as_specified(bed, "letters"))?;
    produce(bed, "letters", &["a", "b"])?;
    ensure!(consume(bed, "letters")? == ["a", "b"], "other records");
    bed.apply(&PARCELS.replace("name: parcels", "name: letters").replace("partitions: 2", "partitions: 3"))?;
    wait("three partitions", MINUTE, || is_as_specified(bed, "letters"))?;
    bed.kubectl(&["--namespace", NAMESPACE, "delete", "tkt", "letters", "parcels", "--timeout=60s"])?;
    roll(bed)
}

/// The cluster of three restarts one Pod after the other, under a producer.
fn roll(bed: &Bed) -> Result<()> {
    let watch = bed.watch_pods("trio")?;
    let load = bed.load(&format!("trio-bootstrap.{NAMESPACE}.svc:9092"), "flights")?;
    let patch = r#"{"metadata": {"annotations": {"taffrail.dev/restarted-at": "without a ClusterRole"}}}"#;
    bed.kubectl(&["--namespace", NAMESPACE, "patch", "tkc", "trio", "--type=merge", "--patch", patch])?;
    wait("the roll's begin", MINUTE, || {
        let cluster: KafkaCluster = bed.get(NAMESPACE, "trio")?.context("KafkaCluster trio")?;
        Ok(cluster.status.and_then(|status| status.rollout).map(drop))
    })?;
    wait("the roll's end", MINUTE * 5, || {
        let cluster: KafkaCluster = bed.get(NAMESPACE, "trio")?.context("KafkaCluster trio")?;
        let status = cluster.status.context("no status")?;
        let is_ready = status.conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
        Ok((is_ready && status.rollout.is_none()).then_some(()))
    })?;
    let (most_down, lives, _) = watch.end()?;
    load.end()?;
    ensure!(most_down == 1, "{most_down} Pods were down at once");
    ensure!(lives.values().all(|lives| *lives == 2), "not every Pod was restarted once: {lives:?}");
    Ok(())
}

/// Installs the image under test as a release.
pub(crate) fn install(bed: &Bed, release: &str, more: &[&str]) -> Result<()> {
    let (repository, tag) = IMAGE.split_once(':').context("the image has a tag")?;
    let (repository, tag) = (format!("image.repository={repository}"), format!("image.tag={tag}"));
    let chart = bed.chart();
    let mut arguments = vec!["install", release, &chart, "--namespace", OPERATOR_NAMESPACE];
    arguments.extend([
        "--create-namespace",
        "--set",
        &repository,
        "--set",
        &tag,
        "--wait",
        "--timeout",
        "120s",
    ]);
    arguments.extend(more);
    bed.helm(&arguments).map(drop)
}

fn topic(bed: &Bed) -> Result<KafkaTopic> {
    bed.get(NAMESPACE, "parcels")?.context("KafkaTopic parcels")
}

fn is_as_specified(bed: &Bed, name: &str) -> Result<Option<()>> {
    let topic: KafkaTopic = bed.get(NAMESPACE, name)?.context("no KafkaTopic")?;
    let (generation, status) = (topic.metadata.generation, topic.status.context("no status")?);
    let is_seen = |one: &&_| {
        let one: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition = one;
        one.type_ == "Ready" && one.observed_generation == generation
    };
    Ok(status.conditions.iter().find(is_seen).filter(|one| one.reason == "AsSpecified").map(|_| ()))
}

/// The identity of every broker's Pod.
fn pods(bed: &Bed) -> Result<BTreeMap<String, String>> {
    let selector = "--selector=app.kubernetes.io/name=taffrail";
    let names = bed.kubectl(&["--namespace", NAMESPACE, "get", "pods", selector, "--output=name"])?;
    let names = names.lines().filter_map(|line| line.strip_prefix("pod/"));
    names
        .map(|name| {
            let pod: Pod = bed.get(NAMESPACE, name)?.with_context(|| name.to_owned())?;
            Ok((name.to_owned(), pod.uid().unwrap_or_default()))
        })
        .collect()
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
