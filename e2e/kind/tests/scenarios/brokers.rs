//! Scenarios of a cluster of several brokers. They share one, and leave it with three.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kind_e2e::{Bed, IMAGE, NAMESPACE, OPERATOR_NAMESPACE, broker_state, condition, wait};
use resources::{KafkaCluster, KafkaTopic};
use serde_json::Value;

use crate::cluster::MINUTE;

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
pub(crate) const BOOTSTRAP: &str = "trio-bootstrap.kafka.svc:9092";
/// A roll of three Pods, each of which Kubernetes makes again.
pub(crate) const ROLL: Duration = Duration::from_secs(300);

pub(crate) fn install(bed: &Bed) -> Result<()> {
    bed.apply(TRIO)?;
    settled(bed, MINUTE * 3)?;
    let topic = ["wait", "--for=condition=Ready", "kafkatopic/flights", "--timeout=60s"];
    bed.kubectl(&[&["--namespace", NAMESPACE][..], &topic].concat())?;
    let lines: String = (0..4000).map(|number| format!("{number:06}{}\n", "x".repeat(1000))).collect();
    bed.taffrail(&["produce", "flights", "--bootstrap-server", BOOTSTRAP], Some(&lines)).map(drop)
}

pub(crate) fn rolled_under_load(bed: &Bed) -> Result<()> {
    let before = controller(bed)?;
    let load = bed.load(BOOTSTRAP, "flights")?;
    // The producer has to be there before anything happens.
    wait("the first records", MINUTE, || Ok((count(bed)? > 4000).then_some(())))?;
    let watch = bed.watch_pods("trio")?;
    patch(bed, r#"{"spec": {"config": {"num.partitions": 4}}}"#)?;
    settled(bed, ROLL)?;
    let (most_down, lives, stopped) = watch.end()?;
    let sent = load.end()?;
    ensure!(most_down == 1, "{most_down} Pods were down at once");
    ensure!(lives.values().all(|lives| *lives == 2), "not every Pod was restarted once: {lives:?}");
    let last = stopped.last().context("no Pod was restarted")?;
    ensure!(*last == format!("trio-broker-{before}"), "{before} was the active controller: {stopped:?}");
    let read = read(bed)?;
    let lost: Vec<_> = sent.iter().filter(|line| !read.contains(*line)).take(5).collect();
    ensure!(lost.is_empty(), "of {} records these are lost: {lost:?}", sent.len());
    budget(bed, 1)
}

pub(crate) fn image_changed_under_load(bed: &Bed) -> Result<()> {
    let other = IMAGE.replace(":e2e", ":e2e-2");
    bed.tag(IMAGE, &other)?;
    bed.load_image(&other)?;
    let load = bed.load(BOOTSTRAP, "flights")?;
    let watch = bed.watch_pods("trio")?;
    patch(bed, &format!(r#"{{"spec": {{"image": "{other}"}}}}"#))?;
    settled(bed, ROLL)?;
    let (most_down, lives, _) = watch.end()?;
    load.end()?;
    ensure!(most_down == 1, "{most_down} Pods were down at once");
    ensure!(lives.values().all(|lives| *lives == 2), "not every Pod was restarted once: {lives:?}");
    Ok(())
}

pub(crate) fn bad_image(bed: &Bed) -> Result<()> {
    let watch = bed.watch_pods("trio")?;
    // Without an image in the spec the StatefulSet's stays, and that is the bad one.
    let good = cluster(bed)?.spec.image.unwrap_or_else(|| IMAGE.to_owned());
    patch(bed, r#"{"spec": {"image": "taffrail:there-is-none"}}"#)?;
    wait("a Pod without an image", MINUTE * 2, || {
        let ready = ready(bed)?;
        Ok((ready.contains("ImagePull") || ready.contains("ErrImage")).then_some(()))
    })?;
    patch(bed, &serde_json::json!({ "spec": { "image": good } }).to_string())?;
    one_was_hurt(bed, watch)
}

pub(crate) fn impossible_request(bed: &Bed) -> Result<()> {
    let watch = bed.watch_pods("trio")?;
    patch(bed, r#"{"spec": {"brokers": {"resources": {"requests": {"memory": "900Gi"}}}}}"#)?;
    wait("the scheduler's reason", MINUTE * 2, || {
        let ready = ready(bed)?;
        ensure!(ready.contains("Unschedulable") && ready.contains("Insufficient memory"), "{ready}");
        Ok(Some(()))
    })?;
    patch(bed, r#"{"spec": {"brokers": {"resources": {"requests": {"memory": "128Mi"}}}}}"#)?;
    one_was_hurt(bed, watch)
}

pub(crate) fn crash_looping(bed: &Bed) -> Result<()> {
    let good = cluster(bed)?.spec.image.unwrap_or_else(|| IMAGE.to_owned());
    let watch = bed.watch_pods("trio")?;
    // An image that has no program of ours ends at once.
    patch(bed, r#"{"spec": {"image": "kcat:e2e"}}"#)?;
    wait("a Pod that crashes", MINUTE * 2, || {
        let ready = ready(bed)?;
        ensure!(ready.contains("CrashLoopBackOff"), "{ready}");
        Ok(Some(()))
    })?;
    patch(bed, &serde_json::json!({ "spec": { "image": good } }).to_string())?;
    one_was_hurt(bed, watch)
}

pub(crate) fn image_taken_back(bed: &Bed) -> Result<()> {
    let other = IMAGE.replace(":e2e", ":e2e-2");
    bed.tag(IMAGE, &other)?;
    bed.load_image(&other)?;
    let good = cluster(bed)?.spec.image.unwrap_or_else(|| IMAGE.to_owned());
    let other = if good == other { IMAGE.to_owned() } else { other };
    let load = bed.load(BOOTSTRAP, "flights")?;
    let watch = bed.watch_pods("trio")?;
    patch(bed, &serde_json::json!({ "spec": { "image": other } }).to_string())?;
    wait("the first restart", MINUTE * 2, || {
        let rollout = cluster(bed)?.status.and_then(|status| status.rollout);
        Ok(rollout.filter(|rollout| rollout.pending.len() < 3).map(drop))
    })?;
    patch(bed, &serde_json::json!({ "spec": { "image": good } }).to_string())?;
    settled(bed, ROLL)?;
    load.end()?;
    let (most_down, lives, _) = watch.end()?;
    ensure!(most_down == 1, "{most_down} Pods were down at once");
    ensure!(lives.values().any(|lives| *lives == 1), "every Pod was restarted: {lives:?}");
    for id in 0..3 {
        let pod: Pod = bed.get(NAMESPACE, &format!("trio-broker-{id}"))?.context("no Pod")?;
        let image = pod.spec.and_then(|spec| spec.containers.into_iter().next()?.image);
        ensure!(image.as_ref() == Some(&good), "broker {id} runs {image:?}");
    }
    Ok(())
}

pub(crate) fn nothing_to_spare(bed: &Bed) -> Result<()> {
    let topic = |replicas: i32, min: i32| {
        let patch =
            format!(r#"{{"spec": {{"replicas": {replicas}, "config": {{"min.insync.replicas": {min}}}}}}}"#);
        let what = ["patch", "tkt", "flights", "--type=merge", "--patch", &patch];
        bed.kubectl(&[&["--namespace", NAMESPACE][..], &what].concat())?;
        wait("the topic", MINUTE * 2, || {
            let topic: KafkaTopic = bed.get(NAMESPACE, "flights")?.context("KafkaTopic flights")?;
            let status = topic.status.unwrap_or_default();
            let is_seen = status.observed_generation == topic.metadata.generation;
            Ok((is_seen && status.replicas == Some(replicas)).then_some(()))
        })
    };
    topic(2, 2)?;
    // Nobody can be spared, ever: the budget stays open, and the roll goes on.
    std::thread::sleep(Duration::from_secs(6));
    budget(bed, 1)?;
    patch(bed, r#"{"spec": {"config": {"num.partitions": 7}}}"#)?;
    settled(bed, ROLL)?;
    topic(3, 2)
}

pub(crate) fn operator_gone(bed: &Bed) -> Result<()> {
    let id = |bed: &Bed| -> Result<String> {
        cluster(bed)?.status.and_then(|status| status.cluster_id).context("no cluster id")
    };
    let (before, records) = (id(bed)?, count(bed)?);
    let operators = |replicas: &str| {
        let what = ["--namespace", OPERATOR_NAMESPACE, "scale", "deployment/taffrail-operator", replicas];
        bed.kubectl(&what)
    };
    operators("--replicas=0")?;
    let brokers = "--selector=app.kubernetes.io/instance=trio,app.kubernetes.io/component=broker";
    let uid = |id: i32| -> Result<Option<String>> {
        let pod: Option<Pod> = bed.get(NAMESPACE, &format!("trio-broker-{id}"))?;
        Ok(pod.and_then(|pod| pod.metadata.uid))
    };
    let former = (0..3).map(uid).collect::<Result<Vec<_>>>()?;
    bed.kubectl(&["--namespace", NAMESPACE, "delete", "pods", brokers, "--wait=false"])?;
    wait("three brokers", MINUTE * 2, || {
        for (id, former) in (0..3).zip(&former) {
            ensure!(uid(id)?.is_some_and(|uid| Some(&uid) != former.as_ref()), "broker {id} is the old one");
        }
        let set: StatefulSet = bed.get(NAMESPACE, "trio-broker")?.context("no StatefulSet")?;
        Ok((set.status.and_then(|status| status.ready_replicas) == Some(3)).then_some(()))
    })?;
    // Our command line is in the operator's Pod, and so is not there.
    let read = bed.kcat(&["-b", BOOTSTRAP, "-C", "-t", "flights", "-e", "-q"], None)?;
    let read: std::collections::BTreeSet<_> = read.lines().collect();
    ensure!(read.len() == records, "{} records of {records}", read.len());
    operators("--replicas=1")?;
    bed.kubectl(&[
        "--namespace",
        OPERATOR_NAMESPACE,
        "rollout",
        "status",
        "deployment/taffrail-operator",
        "--timeout=60s",
    ])?;
    settled(bed, MINUTE * 2)?;
    ensure!(id(bed)? == before && state(bed)?["clusterId"].as_str() == Some(&before), "another cluster id");
    Ok(())
}

pub(crate) fn founded_once(bed: &Bed) -> Result<()> {
    let kill = || {
        let operators = ["--namespace", OPERATOR_NAMESPACE, "delete", "pod", "--grace-period=0", "--force"];
        bed.kubectl(&[&operators[..], &["--selector=app.kubernetes.io/name=taffrail-operator"]].concat())
    };
    let early = || -> Result<KafkaCluster> { bed.get(NAMESPACE, "early")?.context("KafkaCluster early") };
    let (cluster, _) = TRIO.split_once("---").context("two documents")?;
    bed.apply(&cluster.replace("name: trio", "name: early"))?;
    wait("a StatefulSet", MINUTE, || bed.get::<StatefulSet>(NAMESPACE, "early-broker"))?;
    kill()?;
    let written =
        wait("a cluster id", MINUTE * 2, || Ok(early()?.status.and_then(|status| status.cluster_id)))?;
    kill()?;
    wait("Ready", MINUTE * 3, || {
        let conditions = early()?.status.unwrap_or_default().conditions;
        Ok(conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True").then_some(()))
    })?;
    for id in 0..3 {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/early-broker-{id}:9600/proxy/v1/state");
        let state: Value = serde_json::from_str(&bed.kubectl(&["get", "--raw", &path])?)?;
        ensure!(state["clusterId"].as_str() == Some(&written), "{written} was written: {state}");
    }
    bed.kubectl(&["--namespace", NAMESPACE, "delete", "tkc/early", "--timeout=60s"]).map(drop)
}

/// Waits until the correction runs, and sees that one Pod was restarted and no other.
fn one_was_hurt(bed: &Bed, watch: kind_e2e::PodWatch) -> Result<()> {
    settled(bed, ROLL)?;
    let (most_down, lives, _) = watch.end()?;
    ensure!(most_down == 1, "{most_down} Pods were down at once");
    let hurt = lives.values().filter(|lives| **lives > 1).count();
    ensure!(hurt == 1, "{hurt} Pods were hurt: {lives:?}");
    Ok(())
}

pub(crate) fn roll_refused(bed: &Bed) -> Result<()> {
    // A Pod that cannot be scheduled is one that is missing.
    let node = bed.node_of("trio-broker-2")?;
    bed.kubectl(&["cordon", &node])?;
    bed.kubectl(&["--namespace", NAMESPACE, "delete", "pod", "trio-broker-2", "--wait=false"])?;
    budget(bed, 0)?;
    let watch = bed.watch_pods("trio")?;
    patch(bed, r#"{"spec": {"config": {"num.partitions": 5}}}"#)?;
    wait("the reason", MINUTE, || Ok(ready(bed)?.contains("trio-broker-2").then_some(())))?;
    std::thread::sleep(Duration::from_secs(10));
    let (_, lives, stopped) = watch.end()?;
    ensure!(
        !stopped.iter().any(|pod| pod == "trio-broker-0" || pod == "trio-broker-1"),
        "a Pod was restarted that could not be spared: {lives:?}"
    );
    bed.kubectl(&["uncordon", &node])?;
    settled(bed, ROLL)?;
    budget(bed, 1)
}

pub(crate) fn grown(bed: &Bed) -> Result<()> {
    let load = bed.load(BOOTSTRAP, "flights")?;
    scale(bed, 5)?;
    settled(bed, MINUTE * 4)?;
    load.end()?;
    let counts = replicas(bed)?;
    let (most, fewest) = (counts.values().max(), counts.values().min());
    ensure!(counts.len() == 5, "{counts:?}");
    ensure!(most.copied() <= fewest.map(|fewest| fewest + 1), "replicas per broker: {counts:?}");
    Ok(())
}

pub(crate) fn shrunk(bed: &Bed) -> Result<()> {
    let load = bed.load(BOOTSTRAP, "flights")?;
    scale(bed, 3)?;
    settled(bed, MINUTE * 4)?;
    load.end()?;
    let counts = replicas(bed)?;
    ensure!(counts.keys().copied().eq(0..3), "{counts:?}");
    let claim: Option<PersistentVolumeClaim> = bed.get(NAMESPACE, "data-trio-broker-4")?;
    ensure!(claim.is_some(), "a volume that is to be retained is gone");
    Ok(())
}

pub(crate) fn reversed(bed: &Bed) -> Result<()> {
    let slow = r#"{"spec": {"brokers": {"replicas": 5, "rebalance": {"bytesPerSecond": 1048576}}}}"#;
    patch(bed, slow)?;
    settled(bed, MINUTE * 5)?;
    ensure!(replicas(bed)?.values().all(|count| *count > 0), "{:?}", replicas(bed)?);
    scale(bed, 3)?;
    wait("a cordon", MINUTE, || {
        Ok(state(bed)?["cluster"]["brokers"][4]["isCordoned"].as_bool().filter(|is| *is))
    })?;
    scale(bed, 5)?;
    settled(bed, MINUTE * 5)?;
    let counts = replicas(bed)?;
    ensure!(counts.len() == 5 && counts.values().all(|count| *count > 0), "{counts:?}");
    // And down with volumes that are not to stay.
    let delete = r#"{"spec": {"brokers": {"replicas": 3, "rebalance": {"bytesPerSecond": null},
        "storage": {"persistent": {"whenScaled": "Delete"}}}}}"#;
    patch(bed, delete)?;
    settled(bed, MINUTE * 4)?;
    wait("the volumes to go", MINUTE, || {
        Ok(bed.get::<PersistentVolumeClaim>(NAMESPACE, "data-trio-broker-4")?.is_none().then_some(()))
    })
}

pub(crate) fn shrinking_refused(bed: &Bed) -> Result<()> {
    scale(bed, 2)?;
    wait("a refusal", MINUTE, || {
        let stalled = condition(bed, "trio", "Stalled")?;
        ensure!(stalled.contains("True ScaleDownBlocked") && stalled.contains("has 3 replicas"), "{stalled}");
        Ok(Some(()))
    })?;
    let set: StatefulSet = bed.get(NAMESPACE, "trio-broker")?.context("no StatefulSet")?;
    ensure!(set.spec.and_then(|spec| spec.replicas) == Some(3), "it was scaled all the same");
    scale(bed, 3)?;
    settled(bed, MINUTE)
}

pub(crate) fn disk_wiped(bed: &Bed) -> Result<()> {
    let before = voter(bed, 1)?.context("broker 1 votes")?;
    bed.kubectl(&["--namespace", NAMESPACE, "delete", "pvc", "data-trio-broker-1", "--wait=false"])?;
    bed.kubectl(&["--namespace", NAMESPACE, "delete", "pod", "trio-broker-1", "--wait=false"])?;
    wait("another voter", MINUTE * 3, || Ok(voter(bed, 1)?.filter(|directory| *directory != before)))?;
    settled(bed, MINUTE * 3)
}

pub(crate) fn operator_killed(bed: &Bed) -> Result<()> {
    let watch = bed.watch_pods("trio")?;
    patch(bed, r#"{"spec": {"config": {"num.partitions": 6}}}"#)?;
    wait("the first restart", MINUTE * 2, || {
        let rollout = cluster(bed)?.status.and_then(|status| status.rollout);
        Ok(rollout.filter(|rollout| rollout.pending.len() < 3).map(drop))
    })?;
    let operators = ["--namespace", OPERATOR_NAMESPACE, "delete", "pod", "--grace-period=0", "--force"];
    let selector = ["--selector=app.kubernetes.io/name=taffrail-operator"];
    bed.kubectl(&[&operators[..], &selector].concat())?;
    settled(bed, ROLL)?;
    let (most_down, lives, _) = watch.end()?;
    ensure!(most_down == 1, "{most_down} Pods were down at once");
    ensure!(lives.values().all(|lives| *lives == 2), "not every Pod was restarted once: {lives:?}");
    Ok(())
}

pub(crate) fn annotated(bed: &Bed) -> Result<()> {
    let annotate = |object: &str, annotation: &str| {
        bed.kubectl(&["--namespace", NAMESPACE, "annotate", "--overwrite", object, annotation])
    };
    annotate("tkc/trio", "taffrail.dev/pause-reconciliation=true")?;
    patch(bed, r#"{"spec": {"config": {"num.partitions": 8}, "rollout": {"approval": "Manual"}}}"#)?;
    let before = cluster(bed)?;
    wait("the pause", MINUTE, || {
        let status = cluster(bed)?.status.unwrap_or_default();
        let paused = status.conditions.iter().find(|one| one.type_ == "ReconciliationPaused");
        ensure!(status.observed_generation < before.metadata.generation, "it was not paused");
        Ok(paused.map(drop))
    })?;
    annotate("tkc/trio", "taffrail.dev/pause-reconciliation-")?;
    let revision = wait("a rollout that wants approval", MINUTE, || {
        ensure!(ready(bed)?.contains("ApprovalNeeded"), "{}", ready(bed)?);
        Ok(cluster(bed)?.status.and_then(|status| status.rollout).map(|rollout| rollout.revision))
    })?;
    annotate("tkc/trio", &format!("taffrail.dev/approve-rollout={revision}"))?;
    settled(bed, ROLL)?;
    patch(bed, r#"{"spec": {"rollout": {"approval": "Auto"}}}"#)?;

    let watch = bed.watch_pods("trio")?;
    annotate("tkc/trio", "taffrail.dev/restarted-at=today")?;
    wait("a restart", MINUTE, || Ok((!ready(bed)?.starts_with("True")).then_some(())))?;
    settled(bed, ROLL)?;
    annotate("pod/trio-broker-1", "taffrail.dev/restart=yes")?;
    wait("a restart", MINUTE, || Ok((!ready(bed)?.starts_with("True")).then_some(())))?;
    settled(bed, ROLL)?;
    let (most_down, lives, _) = watch.end()?;
    ensure!(most_down == 1, "{most_down} Pods were down at once");
    ensure!(lives.get("trio-broker-0") == Some(&2) && lives.get("trio-broker-1") == Some(&3), "{lives:?}");
    Ok(())
}

pub(crate) fn replaced(bed: &Bed) -> Result<()> {
    let before = voter(bed, 2)?.context("broker 2 votes")?;
    bed.kubectl(&[
        "--namespace",
        NAMESPACE,
        "annotate",
        "pod/trio-broker-2",
        "taffrail.dev/delete-pod-and-pvc=yes",
    ])?;
    wait("another voter", MINUTE * 3, || Ok(voter(bed, 2)?.filter(|directory| *directory != before)))?;
    settled(bed, MINUTE * 3)?;
    ensure!(read(bed)?.len() >= 4000, "records are lost");
    Ok(())
}

pub(crate) fn replication_changed(bed: &Bed) -> Result<()> {
    for replicas in [1, 3] {
        let patch = format!(r#"{{"spec": {{"replicas": {replicas}}}}}"#);
        bed.kubectl(&[
            "--namespace",
            NAMESPACE,
            "patch",
            "tkt",
            "flights",
            "--type=merge",
            "--patch",
            &patch,
        ])?;
        wait("as many replicas", MINUTE * 2, || {
            let topic: KafkaTopic = bed.get(NAMESPACE, "flights")?.context("KafkaTopic flights")?;
            let status = topic.status.unwrap_or_default();
            let ready = status.conditions.iter().find(|one| one.type_ == "Ready").context("no condition")?;
            let is_seen = ready.observed_generation == topic.metadata.generation && ready.status == "True";
            ensure!(is_seen, "{}: {}", ready.reason, ready.message);
            Ok((status.replicas == Some(replicas)).then_some(()))
        })?;
    }
    Ok(())
}

pub(crate) fn patch(bed: &Bed, patch: &str) -> Result<()> {
    bed.kubectl(&["--namespace", NAMESPACE, "patch", "tkc", "trio", "--type=merge", "--patch", patch])
        .map(drop)
}

fn scale(bed: &Bed, replicas: i32) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    bed.kubectl(&["--namespace", NAMESPACE, "scale", "kafkacluster/trio", &replicas]).map(drop)
}

fn cluster(bed: &Bed) -> Result<KafkaCluster> {
    bed.get(NAMESPACE, "trio")?.context("KafkaCluster trio")
}

fn ready(bed: &Bed) -> Result<String> {
    condition(bed, "trio", "Ready")
}

fn settled(bed: &Bed, limit: Duration) -> Result<()> {
    kind_e2e::settled(bed, "trio", limit)
}

/// Waits until the budget lets so many Pods go.
pub(crate) fn budget(bed: &Bed, allowed: i32) -> Result<()> {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    wait("the budget", MINUTE, || {
        let budget: PodDisruptionBudget = bed.get(NAMESPACE, "trio")?.context("no budget")?;
        Ok((budget.spec.and_then(|spec| spec.max_unavailable) == Some(IntOrString::Int(allowed)))
            .then_some(()))
    })
}

fn state(bed: &Bed) -> Result<Value> {
    broker_state(bed, "trio", 0)
}

fn controller(bed: &Bed) -> Result<i64> {
    state(bed)?["cluster"]["controller"].as_i64().context("no active controller")
}

fn replicas(bed: &Bed) -> Result<BTreeMap<i64, i64>> {
    let state = state(bed)?;
    let brokers = state["cluster"]["brokers"].as_array().context("no brokers")?;
    Ok(brokers.iter().filter_map(|one| Some((one["id"].as_i64()?, one["replicas"].as_i64()?))).collect())
}

/// The directory with which a broker votes.
pub(crate) fn voter(bed: &Bed, id: i64) -> Result<Option<String>> {
    let quorum =
        bed.taffrail(&["quorum", "describe", "--bootstrap-server", BOOTSTRAP, "-o", "json"], None)?;
    let quorum: Value = serde_json::from_str(&quorum)?;
    let replicas = quorum["replicas"].as_array().context("no replicas")?;
    let votes = |replica: &&Value| replica["id"].as_i64() == Some(id) && replica["status"] != "Observer";
    let voter = replicas.iter().find(votes);
    Ok(voter.and_then(|voter| voter["directoryId"].as_str()).map(str::to_owned))
}

/// All records of the topic.
pub(crate) fn read(bed: &Bed) -> Result<std::collections::BTreeSet<String>> {
    let arguments = ["consume", "flights", "--from-beginning", "--exit", "--bootstrap-server", BOOTSTRAP];
    Ok(bed.taffrail(&arguments, None)?.lines().map(str::to_owned).collect())
}

pub(crate) fn count(bed: &Bed) -> Result<usize> {
    Ok(read(bed)?.len())
}
