//! Scenarios of a KafkaTopic.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kind_e2e::{Bed, NAMESPACE, wait};
use resources::KafkaTopic;

use crate::cluster::{MINUTE, bootstrap};

/// What a watch tells needs no look once a minute.
const AT_ONCE: Duration = Duration::from_secs(8);

const ORDERS: &str = "
apiVersion: taffrail.dev/v1alpha1
kind: KafkaTopic
metadata:
  name: orders
spec:
  clusterRef:
    name: demo
  partitions: 3
  replicas: 1
  config:
    retention.ms: 604800000
";

pub(crate) fn produce_and_consume(bed: &Bed) -> Result<()> {
    bed.apply(ORDERS)?;
    bed.kubectl(&[
        "--namespace",
        NAMESPACE,
        "wait",
        "--for=condition=Ready",
        "kafkatopic/orders",
        "--timeout=60s",
    ])?;
    produce(bed, "orders", &["one", "two", "three"])?;
    let records = consume(bed, "orders")?;
    ensure!(records == ["one", "three", "two"], "{records:?}");

    // The same with a client that has nothing of ours in it.
    bed.kcat(&["-b", &bootstrap(), "-P", "-t", "kcat", "-k", "key"], Some("a\nb\n"))?;
    let read = bed.kcat(&["-b", &bootstrap(), "-C", "-t", "kcat", "-e", "-q", "-f", "%k=%s\n"], None)?;
    ensure!(read == "key=a\nkey=b\n", "{read:?}");
    let columns = bed.kubectl(&["--namespace", NAMESPACE, "get", "tkt", "orders", "--no-headers"])?;
    let columns: Vec<_> = columns.split_whitespace().collect();
    ensure!(matches!(columns[..], ["orders", "demo", "3", "1", "True", _]), "columns: {columns:?}");
    Ok(())
}

pub(crate) fn altered(bed: &Bed) -> Result<()> {
    bed.apply(&ORDERS.replace("partitions: 3", "partitions: 5").replace("604800000", "86400000"))?;
    wait("five partitions", MINUTE, || Ok((status(bed, "orders")?.0 == Some(5)).then_some(())))?;
    let configs = bed
        .taffrail(&["configs", "describe", "--topic", "orders", "--bootstrap-server", &bootstrap()], None)?;
    ensure!(
        configs.lines().any(|line| line.contains("retention.ms") && line.contains("86400000")),
        "{configs}"
    );

    bed.apply(ORDERS)?;
    wait("a refusal", MINUTE, || {
        let (_, reason, message) = status(bed, "orders")?;
        ensure!(reason == "NotSupported" && message.contains("write 5"), "{reason}: {message}");
        Ok(Some(()))
    })?;
    bed.apply(&ORDERS.replace("partitions: 3", "partitions: 5"))?;
    wait("Ready", MINUTE, || Ok((status(bed, "orders")?.1 == "AsSpecified").then_some(())))?;

    let Err(error) = bed.apply(&ORDERS.replace("name: demo", "name: other")) else {
        bail!("clusterRef was changed")
    };
    ensure!(format!("{error:#}").contains("clusterRef cannot be changed"), "{error:#}");
    Ok(())
}

pub(crate) fn recreated(bed: &Bed) -> Result<()> {
    let yaml = ORDERS.replace("name: orders", "name: lost");
    bed.apply(&yaml)?;
    wait("Ready", MINUTE, || Ok((status(bed, "lost")?.1 == "AsSpecified").then_some(())))?;
    bed.taffrail(&["topics", "delete", "lost", "--bootstrap-server", &bootstrap()], None)?;
    // An edit of any kind makes the operator look at once.
    bed.kubectl(&["--namespace", NAMESPACE, "annotate", "tkt", "lost", "looked-at=yes"])?;
    wait("the topic", MINUTE * 2, || exists(bed, "lost").map(|exists| exists.then_some(())))?;
    let events =
        bed.kubectl(&["--namespace", NAMESPACE, "get", "events", "--field-selector=reason=TopicMissing"])?;
    ensure!(events.contains("Warning"), "no Warning event: {events}");
    bed.kubectl(&["--namespace", NAMESPACE, "delete", "tkt", "lost"]).map(drop)
}

pub(crate) fn two_resources(bed: &Bed) -> Result<()> {
    bed.apply(
        &ORDERS
            .replace("name: orders", "name: second")
            .replace("partitions: 3", "topicName: orders\n  partitions: 9"),
    )?;
    wait("NotOwner", MINUTE, || {
        let (_, reason, message) = status(bed, "second")?;
        ensure!(reason == "NotOwner" && message.contains("KafkaTopic orders"), "{reason}: {message}");
        Ok(Some(()))
    })?;
    bed.kubectl(&["--namespace", NAMESPACE, "delete", "tkt", "second"])?;
    ensure!(exists(bed, "orders")?, "who did not own the topic took it along");
    Ok(())
}

pub(crate) fn of_two_namespaces(bed: &Bed) -> Result<()> {
    let cluster = |patch: &str| {
        bed.kubectl(&["--namespace", NAMESPACE, "patch", "tkc", "demo", "--type=merge", "--patch", patch])
    };
    let ready = |namespace: &str, name: &str| -> Result<String> {
        let topic: KafkaTopic = bed.get(namespace, name)?.with_context(|| format!("KafkaTopic {name}"))?;
        let conditions = topic.status.unwrap_or_default().conditions;
        let ready = conditions.into_iter().find(|one| one.type_ == "Ready").context("no condition")?;
        Ok(format!("{} {}: {}", ready.status, ready.reason, ready.message))
    };
    let says = |namespace: &str, name: &str, wanted: &str| {
        wait(wanted, MINUTE * 2, || {
            let ready = ready(namespace, name)?;
            ensure!(ready.contains(wanted), "{ready}");
            Ok(Some(()))
        })
    };
    bed.kubectl(&["create", "namespace", "team"])?;
    let shared = ORDERS.replace("name: orders", "name: shared");
    let theirs = shared.replace("    name: demo", "    name: demo\n    namespace: kafka");
    bed.kubectl_with(&["--namespace", "team", "apply", "-f", "-"], Some(&theirs))?;
    says("team", "shared", "False NotAdmitted")?;
    cluster(r#"{"spec": {"topicNamespaces": {"from": "Names", "names": ["team"]}}}"#)?;
    says("team", "shared", "True AsSpecified")?;
    bed.apply(&shared)?;
    says(NAMESPACE, "shared", "False NotOwner: topic shared belongs to KafkaTopic shared of namespace team")?;
    // The owner goes while another one claims the topic: that one has it, with its records, and at once.
    produce(bed, "shared", &["kept"])?;
    bed.kubectl(&["--namespace", "team", "delete", "tkt", "shared", "--timeout=60s"])?;
    wait("the heir", AT_ONCE, || {
        let ready = ready(NAMESPACE, "shared")?;
        ensure!(ready.contains("True AsSpecified"), "{ready}");
        Ok(Some(()))
    })?;
    ensure!(consume(bed, "shared")? == ["kept"], "the topic was deleted");
    bed.kubectl(&["--namespace", NAMESPACE, "delete", "tkt", "shared", "--timeout=60s"])?;
    ensure!(!exists(bed, "shared")?, "the topic is still there");
    by_labels(bed, &theirs, &cluster)?;
    bed.kubectl(&["delete", "namespace", "team"])?;
    let Err(error) = cluster(r#"{"spec": {"topicNamespaces": {"from": "All", "names": ["team"]}}}"#) else {
        bail!("names beside from: All were accepted")
    };
    ensure!(format!("{error:#}").contains("names belong to from: Names"), "{error:#}");
    cluster(r#"{"spec": {"topicNamespaces": null}}"#).map(drop)
}

/// The labels of a namespace say whether its topics are admitted; a change of them is noticed at once.
fn by_labels(bed: &Bed, theirs: &str, cluster: &dyn Fn(&str) -> Result<String>) -> Result<()> {
    cluster(
        r#"{"spec": {"topicNamespaces":
            {"from": "Selector", "names": null, "selector": {"matchLabels": {"kafka": "shared"}}}}}"#,
    )?;
    bed.kubectl_with(&["--namespace", "team", "apply", "-f", "-"], Some(theirs))?;
    let says = |wanted: &str, patience| {
        wait(wanted, patience, || {
            let topic: KafkaTopic = bed.get("team", "shared")?.context("KafkaTopic shared")?;
            let conditions = topic.status.unwrap_or_default().conditions;
            let ready = conditions.into_iter().find(|one| one.type_ == "Ready").context("no condition")?;
            ensure!(ready.reason == wanted, "{}: {}", ready.reason, ready.message);
            Ok(Some(()))
        })
    };
    says("NotAdmitted", MINUTE)?;
    bed.kubectl(&["label", "namespace", "team", "kafka=shared"])?;
    says("AsSpecified", AT_ONCE)?;
    bed.kubectl(&["label", "namespace", "team", "kafka-"])?;
    says("NotAdmitted", AT_ONCE)?;
    // What is not admitted any more deletes nothing; what is, does.
    bed.kubectl(&["label", "namespace", "team", "kafka=shared"])?;
    says("AsSpecified", AT_ONCE)?;
    bed.kubectl(&["--namespace", "team", "delete", "tkt", "shared", "--timeout=60s"])?;
    ensure!(!exists(bed, "shared")?, "the topic is still there");
    Ok(())
}

pub(crate) fn deleted(bed: &Bed) -> Result<()> {
    for (name, policy, stays) in [("goes", "Delete", false), ("stays", "Retain", true)] {
        let yaml = ORDERS.replace("name: orders", &format!("name: {name}"));
        bed.apply(&format!("{yaml}  deletionPolicy: {policy}\n"))?;
        wait("Ready", MINUTE, || Ok((status(bed, name)?.1 == "AsSpecified").then_some(())))?;
        bed.kubectl(&["--namespace", NAMESPACE, "delete", "tkt", name, "--timeout=60s"])?;
        ensure!(exists(bed, name)? == stays, "topic {name}, deletionPolicy {policy}");
    }
    Ok(())
}

/// The partitions that the status names, and the reason and message of Ready.
fn status(bed: &Bed, name: &str) -> Result<(Option<i32>, String, String)> {
    let topic: KafkaTopic = bed.get(NAMESPACE, name)?.with_context(|| format!("KafkaTopic {name}"))?;
    let generation = topic.metadata.generation;
    let status = topic.status.context("no status")?;
    let ready =
        status.conditions.iter().find(|condition| condition.type_ == "Ready").context("no condition")?;
    ensure!(ready.observed_generation == generation, "the operator has not seen this generation");
    Ok((status.partitions, ready.reason.clone(), ready.message.clone()))
}

fn exists(bed: &Bed, topic: &str) -> Result<bool> {
    let topics = bed.taffrail(&["topics", "list", "--bootstrap-server", &bootstrap(), "-o", "json"], None)?;
    Ok(topics.contains(&format!("\"{topic}\"")))
}

/// Sends lines with the cluster's Service as the only address that is known.
pub(crate) fn produce(bed: &Bed, topic: &str, lines: &[&str]) -> Result<()> {
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    bed.taffrail(&["produce", topic, "--bootstrap-server", &bootstrap()], Some(&input)).map(drop)
}

/// All records of a topic, sorted: between partitions there is no order.
pub(crate) fn consume(bed: &Bed, topic: &str) -> Result<Vec<String>> {
    let arguments = ["consume", topic, "--from-beginning", "--exit", "--bootstrap-server", &bootstrap()];
    let mut lines: Vec<_> = bed.taffrail(&arguments, None)?.lines().map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}
