//! Scenarios of a KafkaTopic.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kind_e2e::{Bed, MINUTE, NAMESPACE, condition, wait};
use resources::KafkaTopic;
use serde_json::{Value, json};

use crate::cluster::demo;

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
    let demo = demo(bed);
    bed.apply(ORDERS)?;
    bed.ready(&["kafkatopic/orders"], MINUTE)?;
    demo.produce("orders", ["one", "two", "three"])?;
    let records = demo.consume("orders")?;
    ensure!(records == ["one", "three", "two"], "{records:?}");

    // The same with a client that has nothing of ours in it.
    let bootstrap = demo.bootstrap();
    bed.kcat(&["-b", &bootstrap, "-P", "-t", "kcat", "-k", "key"], Some("a\nb\n"))?;
    let read = bed.kcat(&["-b", &bootstrap, "-C", "-t", "kcat", "-e", "-q", "-f", "%k=%s\n"], None)?;
    ensure!(read == "key=a\nkey=b\n", "{read:?}");
    let columns = bed.kubectl(&["get", "tkt", "orders", "--no-headers"])?;
    let columns: Vec<_> = columns.split_whitespace().collect();
    ensure!(matches!(columns[..], ["orders", "demo", "3", "1", "True", _]), "columns: {columns:?}");
    Ok(())
}

pub(crate) fn altered(bed: &Bed) -> Result<()> {
    bed.apply(&ORDERS.replace("partitions: 3", "partitions: 5").replace("604800000", "86400000"))?;
    has_partitions(bed, "orders", 5)?;
    let configs = demo(bed).ask(&["configs", "describe", "--topic", "orders"])?;
    ensure!(
        configs.lines().any(|line| line.contains("retention.ms") && line.contains("86400000")),
        "{configs}"
    );

    bed.apply(ORDERS)?;
    says(bed, "orders", &["NotSupported", "write 5"])?;
    bed.apply(&ORDERS.replace("partitions: 3", "partitions: 5"))?;
    says(bed, "orders", &["AsSpecified"])?;

    let Err(error) = bed.apply(&ORDERS.replace("name: demo", "name: other")) else {
        bail!("clusterRef was changed")
    };
    ensure!(format!("{error:#}").contains("clusterRef cannot be changed"), "{error:#}");
    Ok(())
}

pub(crate) fn recreated(bed: &Bed) -> Result<()> {
    bed.apply(&ORDERS.replace("name: orders", "name: lost"))?;
    says(bed, "lost", &["AsSpecified"])?;
    demo(bed).ask(&["topics", "delete", "lost"])?;
    // An edit of any kind makes the operator look at once.
    bed.kubectl(&["annotate", "tkt", "lost", "looked-at=yes"])?;
    wait("the topic", MINUTE * 2, || exists(bed, "lost").map(|exists| exists.then_some(())))?;
    let events = bed.kubectl(&["get", "events", "--field-selector=reason=TopicMissing"])?;
    ensure!(events.contains("Warning"), "no Warning event: {events}");
    bed.kubectl(&["delete", "tkt", "lost"]).map(drop)
}

pub(crate) fn two_resources(bed: &Bed) -> Result<()> {
    bed.apply(
        &ORDERS
            .replace("name: orders", "name: second")
            .replace("partitions: 3", "topicName: orders\n  partitions: 9"),
    )?;
    says(bed, "second", &["NotOwner", "KafkaTopic orders"])?;
    bed.kubectl(&["delete", "tkt", "second"])?;
    ensure!(exists(bed, "orders")?, "who did not own the topic took it along");
    Ok(())
}

pub(crate) fn of_two_namespaces(bed: &Bed) -> Result<()> {
    let demo = demo(bed);
    let admit = |from: Value| demo.patch(json!({ "spec": { "topicNamespaces": from } }));
    bed.kubectl(&["create", "namespace", "team"])?;
    let shared = ORDERS.replace("name: orders", "name: shared");
    let theirs = shared.replace("    name: demo", "    name: demo\n    namespace: kafka");
    bed.apply_in("team", &theirs)?;
    team_says(bed, "False NotAdmitted", MINUTE * 2)?;
    admit(json!({ "from": "Names", "names": ["team"] }))?;
    team_says(bed, "True AsSpecified", MINUTE * 2)?;
    // Which of the two is older is told by whole seconds.
    std::thread::sleep(Duration::from_secs(1));
    bed.apply(&shared)?;
    let not_owner = "False NotOwner: topic shared belongs to KafkaTopic shared of namespace team";
    says(bed, "shared", &[not_owner])?;
    // The owner goes while another one claims the topic: that one has it, with its records, and at once.
    demo.produce("shared", ["kept"])?;
    bed.kubectl(&["--namespace", "team", "delete", "tkt", "shared", "--timeout=60s"])?;
    kind_e2e::says(bed, (NAMESPACE, "tkt/shared"), "Ready", &["True AsSpecified"], AT_ONCE)?;
    ensure!(demo.consume("shared")? == ["kept"], "the topic was deleted");
    bed.kubectl(&["delete", "tkt", "shared", "--timeout=60s"])?;
    ensure!(!exists(bed, "shared")?, "the topic is still there");
    admit(
        json!({ "from": "Selector", "names": null, "selector": { "matchLabels": { "kafka": "shared" } } }),
    )?;
    by_labels(bed, &theirs)?;
    bed.kubectl(&["delete", "namespace", "team"])?;
    let Err(error) = admit(json!({ "from": "All", "names": ["team"] })) else {
        bail!("names beside from: All were accepted")
    };
    ensure!(format!("{error:#}").contains("names belong to from: Names"), "{error:#}");
    admit(Value::Null)
}

/// The labels of a namespace say whether its topics are admitted; a change of them is noticed at once.
fn by_labels(bed: &Bed, theirs: &str) -> Result<()> {
    let label = |label: &str| bed.kubectl(&["label", "namespace", "team", label]);
    bed.apply_in("team", theirs)?;
    team_says(bed, "NotAdmitted", MINUTE)?;
    label("kafka=shared")?;
    team_says(bed, "AsSpecified", AT_ONCE)?;
    label("kafka-")?;
    team_says(bed, "NotAdmitted", AT_ONCE)?;
    // What is not admitted any more deletes nothing; what is, does.
    label("kafka=shared")?;
    team_says(bed, "AsSpecified", AT_ONCE)?;
    bed.kubectl(&["--namespace", "team", "delete", "tkt", "shared", "--timeout=60s"])?;
    ensure!(!exists(bed, "shared")?, "the topic is still there");
    Ok(())
}

/// Waits until Ready of the other namespace's KafkaTopic says so.
fn team_says(bed: &Bed, words: &str, limit: Duration) -> Result<()> {
    kind_e2e::says(bed, ("team", "tkt/shared"), "Ready", &[words], limit)
}

pub(crate) fn deleted(bed: &Bed) -> Result<()> {
    for (name, policy, stays) in [("goes", "Delete", false), ("stays", "Retain", true)] {
        let yaml = ORDERS.replace("name: orders", &format!("name: {name}"));
        bed.apply(&format!("{yaml}  deletionPolicy: {policy}\n"))?;
        says(bed, name, &["AsSpecified"])?;
        bed.kubectl(&["delete", "tkt", name, "--timeout=60s"])?;
        ensure!(exists(bed, name)? == stays, "topic {name}, deletionPolicy {policy}");
    }
    Ok(())
}

/// A KafkaTopic as the API server has it.
pub(crate) fn read(bed: &Bed, name: &str) -> Result<KafkaTopic> {
    bed.get(name)?.with_context(|| format!("KafkaTopic {name}"))
}

/// Ready of a KafkaTopic.
pub(crate) fn ready(bed: &Bed, name: &str) -> Result<String> {
    condition(bed, NAMESPACE, &format!("tkt/{name}"), "Ready")
}

/// Waits until Ready of a KafkaTopic has all these words in it.
pub(crate) fn says(bed: &Bed, name: &str, words: &[&str]) -> Result<()> {
    kind_e2e::says(bed, (NAMESPACE, &format!("tkt/{name}")), "Ready", words, MINUTE * 2)
}

/// Waits until the status of a KafkaTopic names so many partitions.
pub(crate) fn has_partitions(bed: &Bed, name: &str, partitions: i32) -> Result<()> {
    wait(&format!("{partitions} partitions"), MINUTE, || {
        let has = read(bed, name)?.status.and_then(|status| status.partitions);
        ensure!(has == Some(partitions), "{has:?} partitions; {}", ready(bed, name)?);
        Ok(Some(()))
    })
}

fn exists(bed: &Bed, topic: &str) -> Result<bool> {
    let topics = demo(bed).ask(&["topics", "list", "-o", "json"])?;
    Ok(topics.contains(&format!("\"{topic}\"")))
}
