//! Scenarios of a KafkaCluster.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service};
use kind_e2e::{Bed, NAMESPACE, OPERATOR_NAMESPACE, wait};
use kube::ResourceExt;
use resources::{KafkaCluster, KafkaTopic};

use crate::chart;
use crate::topics::{consume, produce};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// The cluster that the scenarios share.
const DEMO: &str = "
apiVersion: taffrail.dev/v1alpha1
kind: KafkaCluster
metadata:
  name: demo
spec:
  brokers:
    replicas: 1
    storage:
      persistent:
        size: 1Gi
    resources:
      requests:
        cpu: 100m
        memory: 256Mi
";

pub(crate) fn install(bed: &Bed) -> Result<()> {
    chart::install(bed, "taffrail", &[])?;
    bed.apply(DEMO)?;
    // Two minutes are what is promised, images apart.
    bed.kubectl(&[
        "--namespace",
        NAMESPACE,
        "wait",
        "--for=condition=Ready",
        "kafkacluster/demo",
        "--timeout=120s",
    ])?;
    let columns = bed.kubectl(&["--namespace", NAMESPACE, "get", "tkc", "demo", "--no-headers"])?;
    let columns: Vec<_> = columns.split_whitespace().collect();
    ensure!(matches!(columns[..], ["demo", "True", "Running", "1/1", _, _]), "columns: {columns:?}");
    Ok(())
}

pub(crate) fn pod_deleted(bed: &Bed) -> Result<()> {
    let before = pod(bed)?;
    let records = consume(bed, "orders")?;
    bed.kubectl(&["--namespace", NAMESPACE, "delete", "pod", "demo-broker-0", "--wait=false"])?;
    wait("another Pod", MINUTE * 2, || Ok((pod(bed)?.uid() != before.uid()).then_some(())))?;
    ready(bed)?;
    ensure!(consume(bed, "orders")? == records, "other records than before");
    Ok(())
}

pub(crate) fn example(bed: &Bed) -> Result<()> {
    bed.namespace("example")?;
    let example = include_str!("../../../../examples/demo.yaml");
    bed.kubectl_with(&["--namespace", "example", "apply", "-f", "-"], Some(example))?;
    for object in ["kafkacluster/demo", "kafkatopic/orders", "kafkatopic/customers"] {
        let arguments = ["--namespace", "example", "wait", "--for=condition=Ready", object, "--timeout=120s"];
        bed.kubectl(&arguments)?;
    }
    // Topics have finalizers and the cluster goes at the same time: neither waits for the other.
    bed.kubectl(&["delete", "namespace", "example", "--timeout=120s"]).map(drop)
}

pub(crate) fn children_deleted(bed: &Bed) -> Result<()> {
    let id = cluster_id(bed)?;
    let config_map = config_map_name(bed)?;
    for child in [
        "service/demo-bootstrap",
        "service/demo-nodes",
        "poddisruptionbudget/demo",
        &format!("configmap/{config_map}"),
        "statefulset/demo-broker",
    ] {
        bed.kubectl(&["--namespace", NAMESPACE, "delete", child])?;
        let (_, name) = child.split_once('/').context("kind/name")?;
        wait(child, MINUTE, || bed.kubectl(&["--namespace", NAMESPACE, "get", child]).map(Some))
            .with_context(|| format!("{name} is not made again"))?;
    }
    ready(bed)?;
    ensure!(cluster_id(bed)? == id, "another cluster id");
    ensure!(consume(bed, "orders")?.len() == 3, "the records are gone");
    Ok(())
}

pub(crate) fn configuration_changed(bed: &Bed) -> Result<()> {
    let before = pod(bed)?;
    let old_map = config_map_name(bed)?;
    let patch = r#"{"spec": {"config": {"num.partitions": 4}}}"#;
    bed.kubectl(&["--namespace", NAMESPACE, "patch", "tkc", "demo", "--type=merge", "--patch", patch])?;
    let after = wait("another Pod", MINUTE * 2, || {
        let pod = pod(bed)?;
        Ok((pod.uid() != before.uid()).then_some(pod))
    })?;
    ready(bed)?;
    let value = bed.taffrail(
        &["configs", "describe", "--broker", "0", "--bootstrap-server", &bootstrap(), "-o", "json"],
        None,
    )?;
    let value: serde_json::Value = serde_json::from_str(&value)?;
    ensure!(value.to_string().contains("num.partitions"), "{value}");
    wait("the old ConfigMap to go", MINUTE, || {
        Ok(bed.get::<ConfigMap>(NAMESPACE, &old_map)?.is_none().then_some(()))
    })?;
    ensure!(pod(bed)?.uid() == after.uid(), "the Pod was restarted twice for one change");
    Ok(())
}

pub(crate) fn idle(bed: &Bed) -> Result<()> {
    let versions = || -> Result<Vec<Option<String>>> {
        Ok(vec![
            bed.get::<KafkaCluster>(NAMESPACE, "demo")?.and_then(|object| object.resource_version()),
            bed.get::<KafkaTopic>(NAMESPACE, "orders")?.and_then(|object| object.resource_version()),
            bed.get::<StatefulSet>(NAMESPACE, "demo-broker")?.and_then(|object| object.resource_version()),
            bed.get::<Service>(NAMESPACE, "demo-bootstrap")?.and_then(|object| object.resource_version()),
            bed.get::<ConfigMap>(NAMESPACE, &config_map_name(bed)?)?
                .and_then(|object| object.resource_version()),
        ])
    };
    ready(bed)?;
    let before = versions()?;
    // A write would follow a reconcile, and a label makes one happen.
    bed.kubectl(&["--namespace", NAMESPACE, "label", "pod", "demo-broker-0", "looked-at=yes"])?;
    let rounds = || -> Result<u64> {
        let metrics = bed.kubectl(&[
            "get", "--raw",
            &format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/services/taffrail-operator-metrics:metrics/proxy/metrics"),
        ])?;
        let line = metrics.lines().find_map(|line| {
            line.strip_prefix(r#"taffrail_operator_reconciles_total{kind="KafkaCluster"} "#)
        });
        Ok(line.context("no count of reconciles")?.trim().parse()?)
    };
    let begun = rounds()?;
    wait("a reconcile", MINUTE, || {
        bed.kubectl(&[
            "--namespace",
            NAMESPACE,
            "label",
            "--overwrite",
            "pod",
            "demo-broker-0",
            "looked-at=again",
        ])?;
        bed.kubectl(&[
            "--namespace",
            NAMESPACE,
            "label",
            "--overwrite",
            "pod",
            "demo-broker-0",
            "looked-at=yes",
        ])?;
        Ok((rounds()? > begun).then_some(()))
    })?;
    ensure!(versions()? == before, "something was written");
    Ok(())
}

pub(crate) fn deleted(bed: &Bed) -> Result<()> {
    let id = cluster_id(bed)?;
    bed.kubectl(&["--namespace", NAMESPACE, "delete", "tkc", "demo"])?;
    gone(bed)?;
    let claim: Option<PersistentVolumeClaim> = bed.get(NAMESPACE, "data-demo-broker-0")?;
    ensure!(claim.is_some_and(|claim| claim.metadata.deletion_timestamp.is_none()), "the volume is gone");

    bed.apply(&DEMO.replace("size: 1Gi", "size: 1Gi\n        whenDeleted: Delete"))?;
    ready(bed)?;
    ensure!(cluster_id(bed)? == id, "another cluster id on the same volume");
    ensure!(consume(bed, "orders")?.len() == 3, "the records are gone");
    wait("an owner of the volume", MINUTE, || {
        let claim: PersistentVolumeClaim = bed.get(NAMESPACE, "data-demo-broker-0")?.context("no claim")?;
        Ok((!claim.owner_references().is_empty()).then_some(()))
    })?;
    bed.kubectl(&["--namespace", NAMESPACE, "delete", "tkc", "demo"])?;
    gone(bed)?;
    wait("the volume to go", MINUTE * 2, || {
        Ok(bed.get::<PersistentVolumeClaim>(NAMESPACE, "data-demo-broker-0")?.is_none().then_some(()))
    })
}

fn gone(bed: &Bed) -> Result<()> {
    wait("the Pod to go", MINUTE * 2, || {
        Ok(bed.get::<Pod>(NAMESPACE, "demo-broker-0")?.is_none().then_some(()))
    })
}

pub(crate) fn pod(bed: &Bed) -> Result<Pod> {
    bed.get(NAMESPACE, "demo-broker-0")?.context("Pod demo-broker-0")
}

fn config_map_name(bed: &Bed) -> Result<String> {
    let pod = pod(bed)?;
    let volumes = pod.spec.and_then(|spec| spec.volumes).unwrap_or_default();
    let map =
        volumes.into_iter().find_map(|volume| volume.config_map).context("a volume from a ConfigMap")?;
    Ok(map.name)
}

fn cluster_id(bed: &Bed) -> Result<String> {
    let cluster: KafkaCluster = bed.get(NAMESPACE, "demo")?.context("KafkaCluster demo")?;
    cluster.status.and_then(|status| status.cluster_id).context("no cluster id")
}

/// Where clients in the cluster begin.
pub(crate) fn bootstrap() -> String {
    format!("demo-bootstrap.{NAMESPACE}.svc:9092")
}

/// Waits until the operator says so of the generation that there is, and the Pod is ready.
pub(crate) fn ready(bed: &Bed) -> Result<()> {
    wait("Ready", MINUTE * 2, || {
        let cluster: KafkaCluster = bed.get(NAMESPACE, "demo")?.context("KafkaCluster demo")?;
        let generation = cluster.metadata.generation;
        let status = cluster.status.unwrap_or_default();
        let ready =
            status.conditions.iter().find(|condition| condition.type_ == "Ready").context("no condition")?;
        ensure!(
            ready.status == "True" && ready.observed_generation == generation,
            "{}: {}",
            ready.reason,
            ready.message
        );
        produce(bed, "probe", &["x"])?;
        Ok(Some(()))
    })
}
