//! Scenarios of Pods that are restarted one after the other, and of what goes wrong meanwhile. They share the cluster of three brokers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kind_e2e::{Bed, Cluster, IMAGE, MINUTE, wait};
use serde_json::{Value, json};

use crate::brokers::{ROLL, trio};
use crate::operators::kill_operator;
use crate::scaling::flights;

/// A topic that takes no writes while a broker is missing. It has no replica to spare, and so holds up no restart.
const STRICT: &str = "
apiVersion: taffrail.dev/v1alpha1
kind: KafkaTopic
metadata:
  name: strict
spec:
  clusterRef: {name: trio}
  partitions: 1
  replicas: 3
  config: {min.insync.replicas: 3}
";

pub(crate) fn under_load(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    let load = trio.load("flights")?;
    let watch = trio.watch()?;
    let before = trio.controller()?;
    trio.configure("num.partitions", 4)?;
    trio.settled(ROLL)?;
    let stopped = watch.end_of_roll()?.stopped;
    let sent = load.end()?;
    let last = stopped.last().context("no Pod was restarted")?;
    ensure!(*last == trio.pod_name(before), "{before} was the active controller: {stopped:?}");
    trio.has_all("flights", &sent)?;
    trio.budget(1)
}

pub(crate) fn image_changed_under_load(bed: &Bed) -> Result<()> {
    let (trio, other) = (trio(bed), bed.second_image()?);
    let load = trio.load("flights")?;
    let watch = trio.watch()?;
    trio.set_image(&other)?;
    trio.settled(ROLL)?;
    watch.end_of_roll()?;
    load.end().map(drop)
}

pub(crate) fn bad_image(bed: &Bed) -> Result<()> {
    let image = |image: &str| json!({ "image": image });
    let good = trio(bed).image()?;
    one_is_hurt(trio(bed), image("taffrail:there-is-none"), &["ImagePull"], image(&good))
}

pub(crate) fn impossible_request(bed: &Bed) -> Result<()> {
    let memory = |memory: &str| json!({ "brokers": { "resources": { "requests": { "memory": memory } } } });
    one_is_hurt(trio(bed), memory("900Gi"), &["Unschedulable", "Insufficient memory"], memory("128Mi"))
}

pub(crate) fn crash_looping(bed: &Bed) -> Result<()> {
    let image = |image: &str| json!({ "image": image });
    let good = trio(bed).image()?;
    // An image that has no program of ours ends at once.
    one_is_hurt(trio(bed), image("kcat:e2e"), &["CrashLoopBackOff"], image(&good))
}

/// Makes a bad edit, waits for what Ready says of it, and corrects it: one Pod was restarted and no other.
fn one_is_hurt(trio: Cluster<'_>, bad: Value, says: &[&str], good: Value) -> Result<()> {
    let watch = trio.watch()?;
    trio.patch(json!({ "spec": bad }))?;
    trio.says("Ready", says, MINUTE * 2)?;
    trio.patch(json!({ "spec": good }))?;
    trio.settled(ROLL)?;
    let lives = watch.end()?.one_down_at_a_time()?.of;
    let hurt = lives.values().filter(|lives| **lives > 1).count();
    ensure!(hurt == 1, "{hurt} Pods were hurt: {lives:?}");
    Ok(())
}

pub(crate) fn image_taken_back(bed: &Bed) -> Result<()> {
    let (trio, second) = (trio(bed), bed.second_image()?);
    let good = trio.image()?;
    let other = if good == second { IMAGE } else { &second };
    let load = trio.load("flights")?;
    let watch = trio.watch()?;
    trio.set_image(other)?;
    trio.is_rolling()?;
    trio.set_image(&good)?;
    trio.settled(ROLL)?;
    load.end()?;
    let lives = watch.end()?.one_down_at_a_time()?.of;
    ensure!(lives.values().any(|lives| *lives == 1), "every Pod was restarted: {lives:?}");
    for id in 0..3 {
        let image = trio.pod(id)?.spec.and_then(|spec| spec.containers.into_iter().next()?.image);
        ensure!(image.as_ref() == Some(&good), "broker {id} runs {image:?}");
    }
    Ok(())
}

pub(crate) fn nothing_to_spare(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    let two = json!({ "min.insync.replicas": 2 });
    flights(bed, 2, two.clone())?;
    // Nobody can be spared, ever: the budget stays open, and the roll goes on.
    std::thread::sleep(Duration::from_secs(6));
    trio.budget(1)?;
    trio.configure("num.partitions", 7)?;
    trio.settled(ROLL)?;
    flights(bed, 3, two)
}

pub(crate) fn refused(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    bed.apply(STRICT)?;
    bed.ready(&["kafkatopic/strict"], MINUTE)?;
    trio.says("Available", &["True Serving"], MINUTE)?;
    // A Pod that cannot be scheduled is one that is missing.
    let node = trio.node_of(2)?;
    bed.kubectl(&["cordon", &node])?;
    trio.delete_pod(2)?;
    trio.budget(0)?;
    let watch = trio.watch()?;
    trio.configure("num.partitions", 5)?;
    trio.says("Ready", &["trio-broker-2"], MINUTE)?;
    trio.says("Available", &["False UnderMinIsr: 1 of "], MINUTE)?;
    std::thread::sleep(Duration::from_secs(10));
    let stopped = watch.end()?.stopped;
    let is_other = |pod: &String| ["trio-broker-0", "trio-broker-1"].contains(&pod.as_str());
    ensure!(!stopped.iter().any(is_other), "a Pod was restarted that could not be spared: {stopped:?}");
    bed.kubectl(&["uncordon", &node])?;
    trio.settled(ROLL)?;
    trio.says("Available", &["True Serving"], MINUTE)?;
    bed.kubectl(&["delete", "tkt", "strict", "--timeout=60s"])?;
    trio.budget(1)
}

pub(crate) fn operator_killed(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    let watch = trio.watch()?;
    trio.configure("num.partitions", 6)?;
    trio.is_rolling()?;
    kill_operator(bed)?;
    trio.settled(ROLL)?;
    watch.end_of_roll().map(drop)
}

pub(crate) fn annotated(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    trio.annotate("taffrail.dev/pause-reconciliation=true")?;
    let rollout = json!({ "approval": "Manual" });
    trio.patch(json!({ "spec": { "config": { "num.partitions": 8 }, "rollout": rollout } }))?;
    let before = trio.read()?;
    wait("the pause", MINUTE, || {
        let status = trio.status()?;
        let paused = status.conditions.iter().find(|one| one.type_ == "ReconciliationPaused");
        ensure!(status.observed_generation < before.metadata.generation, "it was not paused");
        Ok(paused.map(drop))
    })?;
    trio.annotate("taffrail.dev/pause-reconciliation-")?;
    trio.says("Ready", &["ApprovalNeeded"], MINUTE)?;
    let revision = trio.status()?.rollout.context("no rollout")?.revision;
    trio.annotate(&format!("taffrail.dev/approve-rollout={revision}"))?;
    trio.settled(ROLL)?;
    trio.patch(json!({ "spec": { "rollout": { "approval": "Auto" } } }))?;

    let watch = trio.watch()?;
    trio.annotate("taffrail.dev/restarted-at=today")?;
    restarted(trio)?;
    trio.annotate_pod(1, "taffrail.dev/restart=yes")?;
    restarted(trio)?;
    let lives = watch.end()?.one_down_at_a_time()?.of;
    ensure!(lives.get("trio-broker-0") == Some(&2) && lives.get("trio-broker-1") == Some(&3), "{lives:?}");
    Ok(())
}

/// Waits for a restart that was asked for.
fn restarted(trio: Cluster<'_>) -> Result<()> {
    wait("a restart", MINUTE, || Ok((!trio.condition("Ready")?.starts_with("True")).then_some(())))?;
    trio.settled(ROLL)
}
