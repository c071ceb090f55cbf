//! Scenarios of a KafkaCluster.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kind_e2e::{Bed, Cluster, MINUTE, Namespaced, wait};
use kube::ResourceExt;
use resources::{KafkaCluster, KafkaTopic};

use crate::chart;
use crate::operators::metric;

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

pub(crate) fn demo(bed: &Bed) -> Cluster<'_> {
    bed.cluster("demo")
}

pub(crate) fn install(bed: &Bed) -> Result<()> {
    chart::install(bed, "taffrail", &[])?;
    bed.apply(DEMO)?;
    // Two minutes are what is promised, images apart.
    bed.ready(&["kafkacluster/demo"], MINUTE * 2)?;
    let columns = bed.kubectl(&["get", "tkc", "demo", "--no-headers"])?;
    let columns: Vec<_> = columns.split_whitespace().collect();
    ensure!(matches!(columns[..], ["demo", "True", "Running", "1/1", _, _]), "columns: {columns:?}");
    Ok(())
}

pub(crate) fn pod_deleted(bed: &Bed) -> Result<()> {
    let demo = demo(bed);
    let (before, records) = (demo.pod(0)?, demo.consume("orders")?);
    demo.delete_pod(0)?;
    demo.another_pod(0, &before)?;
    ready(bed)?;
    ensure!(demo.consume("orders")? == records, "other records than before");
    Ok(())
}

pub(crate) fn example(bed: &Bed) -> Result<()> {
    bed.namespace("example")?;
    let example = include_str!("../../../../examples/demo.yaml");
    bed.apply_in("example", example)?;
    for object in ["kafkacluster/demo", "kafkatopic/orders", "kafkatopic/customers"] {
        bed.ready(&["--namespace", "example", object], MINUTE * 2)?;
    }
    // Topics have finalizers and the cluster goes at the same time: neither waits for the other.
    bed.kubectl(&["delete", "namespace", "example", "--timeout=120s"]).map(drop)
}

pub(crate) fn children_deleted(bed: &Bed) -> Result<()> {
    let demo = demo(bed);
    let (id, config_map) = (demo.id()?, config_map_name(&demo.pod(0)?)?);
    for child in [
        "service/demo-bootstrap",
        "service/demo-nodes",
        "poddisruptionbudget/demo",
        &format!("configmap/{config_map}"),
        "statefulset/demo-broker",
    ] {
        bed.kubectl(&["delete", child])?;
        wait(child, MINUTE, || bed.kubectl(&["get", child]).map(Some))
            .with_context(|| format!("{child} is not made again"))?;
    }
    ready(bed)?;
    ensure!(demo.id()? == id, "another cluster id");
    ensure!(demo.consume("orders")?.len() == 3, "the records are gone");
    Ok(())
}

pub(crate) fn configuration_changed(bed: &Bed) -> Result<()> {
    let demo = demo(bed);
    let before = demo.pod(0)?;
    demo.configure("num.partitions", 4)?;
    let after = demo.another_pod(0, &before)?;
    ready(bed)?;
    let value = demo.ask(&["configs", "describe", "--broker", "0", "-o", "json"])?;
    let value: serde_json::Value = serde_json::from_str(&value)?;
    ensure!(value.to_string().contains("num.partitions"), "{value}");
    bed.gone(&format!("configmap/{}", config_map_name(&before)?), MINUTE)?;
    ensure!(demo.pod(0)?.uid() == after.uid(), "the Pod was restarted twice for one change");
    Ok(())
}

pub(crate) fn idle(bed: &Bed) -> Result<()> {
    ready(bed)?;
    let before = versions(bed)?;
    // A write would follow a reconcile, and a label makes one happen.
    let rounds = || metric(bed, r#"taffrail_operator_reconciles_total{kind="KafkaCluster"}"#);
    let label = |label: &str| bed.kubectl(&["label", "--overwrite", "pod", "demo-broker-0", label]);
    label("looked-at=yes")?;
    let begun = rounds()?;
    wait("a reconcile", MINUTE, || {
        label("looked-at=again")?;
        label("looked-at=yes")?;
        Ok((rounds()? > begun).then_some(()))
    })?;
    ensure!(versions(bed)? == before, "something was written");
    Ok(())
}

/// Of a few objects that the operator writes.
fn versions(bed: &Bed) -> Result<[Option<String>; 5]> {
    fn version<K: Namespaced>(bed: &Bed, name: &str) -> Result<Option<String>> {
        Ok(bed.get::<K>(name)?.and_then(|object| object.meta().resource_version.clone()))
    }
    Ok([
        version::<KafkaCluster>(bed, "demo")?,
        version::<KafkaTopic>(bed, "orders")?,
        version::<StatefulSet>(bed, "demo-broker")?,
        version::<Service>(bed, "demo-bootstrap")?,
        version::<ConfigMap>(bed, &config_map_name(&demo(bed).pod(0)?)?)?,
    ])
}

pub(crate) fn deleted(bed: &Bed) -> Result<()> {
    let demo = demo(bed);
    let id = demo.id()?;
    let delete = || {
        bed.kubectl(&["delete", "tkc", "demo"])?;
        bed.gone("pod/demo-broker-0", MINUTE * 2)
    };
    delete()?;
    ensure!(demo.claim(0)?.metadata.deletion_timestamp.is_none(), "the volume goes");

    bed.apply(&DEMO.replace("size: 1Gi", "size: 1Gi\n        whenDeleted: Delete"))?;
    ready(bed)?;
    ensure!(demo.id()? == id, "another cluster id on the same volume");
    ensure!(demo.consume("orders")?.len() == 3, "the records are gone");
    wait("an owner of the volume", MINUTE, || {
        Ok((!demo.claim(0)?.owner_references().is_empty()).then_some(()))
    })?;
    delete()?;
    bed.gone("pvc/data-demo-broker-0", MINUTE * 2)
}

fn config_map_name(pod: &Pod) -> Result<String> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let map = volumes.filter_map(|volume| volume.config_map.as_ref()).next();
    Ok(map.context("a volume from a ConfigMap")?.name.clone())
}

/// Waits until the operator says so of the generation that there is, and the Pod takes records.
pub(crate) fn ready(bed: &Bed) -> Result<()> {
    let demo = demo(bed);
    wait("Ready", MINUTE * 2, || {
        let ready = demo.condition("Ready")?;
        ensure!(ready.starts_with("True"), "{ready}");
        demo.produce("probe", ["x"])?;
        Ok(Some(()))
    })
}
