//! What is promised, at its full size: it takes the better part of an hour, and so is played when it is asked for. Each
//! prints what it measured.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chance::Random;
use k8s_openapi::api::apps::v1::StatefulSet;
use kind_e2e::{Acks, Bed, IMAGE, NAMESPACE, OPERATOR_NAMESPACE, broker_state, fill, settled, wait};
use resources::KafkaCluster;

use crate::brokers::ROLL;
use crate::cluster::MINUTE;
use crate::operators::{nothing_written, operators};

const PARTITIONS: i32 = 12;
const BYTES: usize = 1 << 30;
const FREIGHT: &str = "
apiVersion: taffrail.dev/v1alpha1
kind: KafkaCluster
metadata:
  name: full
spec:
  brokers:
    replicas: 3
    storage: {persistent: {size: 4Gi, whenDeleted: Delete, whenScaled: Delete}}
    resources: {requests: {cpu: 50m, memory: 128Mi}}
  listeners:
    - {name: plain, port: 9092}
    - {name: node, port: 9094, type: nodeport}
  config: {min.insync.replicas: 2}
---
apiVersion: taffrail.dev/v1alpha1
kind: KafkaTopic
metadata:
  name: freight
spec:
  clusterRef: {name: full}
  partitions: 12
  replicas: 3
";
/// Replicas are spread over new brokers within this.
const SPREAD_MAX: Duration = Duration::from_secs(120);
/// Between two writes that are acknowledged while every Pod is replaced.
const ROLL_GAP_MAX: Duration = Duration::from_millis(500);
/// The same while a leader dies and nobody helps.
const FAILOVER_MAX: Duration = Duration::from_secs(1);
const MEMORY_MAX: f64 = 40e6;
const CPU_MAX: f64 = 0.01;
const KILLS: usize = 20;

pub(crate) fn scaled(bed: &Bed) -> Result<()> {
    bed.apply(FREIGHT)?;
    settled(bed, "full", MINUTE * 3)?;
    let servers = servers(bed)?;
    let topic = ["wait", "--for=condition=Ready", "kafkatopic/freight", "--timeout=60s"];
    bed.kubectl(&[&["--namespace", NAMESPACE], &topic[..]].concat())?;
    let begun = Instant::now();
    fill(&servers, "freight", PARTITIONS, BYTES)?;
    println!("1 GiB in {:.0} s", begun.elapsed().as_secs_f64());

    let load = Acks::begin(&servers, "freight", PARTITIONS)?;
    let begun = Instant::now();
    scale(bed, 5)?;
    wait("replicas on five brokers", MINUTE * 5, || {
        let counts = replicas(bed)?;
        let (most, fewest) = (counts.values().max(), counts.values().min());
        ensure!(counts.len() == 5 && most.copied() <= fewest.map(|fewest| fewest + 1), "{counts:?}");
        let left = broker_state(bed, "full", 0)?["cluster"]["rebalance"]["partitionsLeft"].as_u64();
        ensure!(left == Some(0), "{left:?} partitions are on their way");
        Ok(Some(()))
    })?;
    let spread = begun.elapsed();
    let grown = load.end()?;
    println!("3 to 5: {:?} after {:.0} s, {grown:?}", replicas(bed)?, spread.as_secs_f64());
    ensure!(spread < SPREAD_MAX, "spread after {spread:?}");
    settled(bed, "full", MINUTE)?;

    let load = Acks::begin(&servers, "freight", PARTITIONS)?;
    let begun = Instant::now();
    scale(bed, 3)?;
    // First how many Pods there are to be, and then what the ones to go still hold.
    wait("three brokers", MINUTE * 5, || {
        let set: StatefulSet = bed.get(NAMESPACE, "full-broker")?.context("no StatefulSet")?;
        let pods = set.spec.and_then(|spec| spec.replicas).context("no number of Pods")?;
        let counts = replicas(bed)?;
        if let Some(early) = counts.iter().find(|(id, count)| **id >= i64::from(pods) && **count > 0) {
            return Ok(Some(Err(anyhow::anyhow!("broker {} went with {} replicas", early.0, early.1))));
        }
        Ok((pods == 3).then_some(Ok(())))
    })??;
    settled(bed, "full", MINUTE * 5)?;
    let shrunk = load.end()?;
    println!("5 to 3: {:?} after {:.0} s, {shrunk:?}", replicas(bed)?, begun.elapsed().as_secs_f64());
    Ok(())
}

pub(crate) fn image_changed(bed: &Bed) -> Result<()> {
    let other = IMAGE.replace(":e2e", ":e2e-2");
    bed.tag(IMAGE, &other)?;
    bed.load_image(&other)?;
    let load = Acks::begin(&servers(bed)?, "freight", PARTITIONS)?;
    let watch = bed.watch_pods("full")?;
    let begun = Instant::now();
    patch(bed, &format!(r#"{{"spec": {{"image": "{other}"}}}}"#))?;
    settled(bed, "full", ROLL)?;
    let took = begun.elapsed();
    let (most_down, lives, _) = watch.end()?;
    let written = load.end()?;
    println!("three Pods in {:.0} s, at most {most_down} down, {written:?}", took.as_secs_f64());
    ensure!(most_down == 1, "{most_down} Pods were down at once");
    ensure!(lives.values().all(|lives| *lives == 2), "not every Pod was restarted once: {lives:?}");
    ensure!(written.longest_gap < ROLL_GAP_MAX, "{written:?}");
    Ok(())
}

pub(crate) fn leader_fails_alone(bed: &Bed) -> Result<()> {
    let servers = servers(bed)?;
    operators(bed, 0)?;
    let load = Acks::begin(&servers, "freight", PARTITIONS)?;
    std::thread::sleep(MINUTE / 20);
    // The active controller leads partitions as the others do: its end is the hardest.
    let controller = broker_state(bed, "full", 0)?["cluster"]["controller"].as_i64().context("none")?;
    bed.kill(&format!("full-broker-{controller}"))?;
    std::thread::sleep(MINUTE / 4);
    let written = load.end()?;
    operators(bed, 1)?;
    println!("broker {controller}, the active controller, killed without an operator: {written:?}");
    ensure!(written.longest_gap < FAILOVER_MAX, "{written:?}");
    settled(bed, "full", MINUTE * 2)
}

pub(crate) fn operator_killed_often(bed: &Bed) -> Result<()> {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("SEED={seed}");
    let mut random = Random::new(seed);
    let id = cluster(bed)?.status.and_then(|status| status.cluster_id);
    let mut brokers = 3;
    for number in 1..=KILLS {
        let watch = bed.watch_pods("full")?;
        let is_roll = random.one_in(2);
        if is_roll {
            let annotation = format!("taffrail.dev/restarted-at=kill-{number}");
            let annotate = ["annotate", "--overwrite", "tkc/full", &annotation];
            bed.kubectl(&[&["--namespace", NAMESPACE], &annotate[..]].concat())?;
        } else {
            brokers = if brokers == 3 { 4 } else { 3 };
            scale(bed, brokers)?;
        }
        let after = Duration::from_millis(random.between(0, 12_000));
        std::thread::sleep(after);
        let selector = "--selector=app.kubernetes.io/name=taffrail-operator";
        let kill = ["delete", "pod", "--grace-period=0", "--force", selector];
        bed.kubectl(&[&["--namespace", OPERATOR_NAMESPACE], &kill[..]].concat())?;
        // Nothing may be settled that nobody has looked at yet.
        wait("a number of brokers", ROLL, || {
            let expected = format!("{brokers}/{brokers}");
            let summary = cluster(bed)?.status.and_then(|status| status.brokers).map(|one| one.summary);
            ensure!(summary.as_ref() == Some(&expected), "{summary:?}");
            Ok(Some(()))
        })?;
        if is_roll {
            wait("every Pod's restart", ROLL, || watch.has_all_lived(2))?;
        }
        settled(bed, "full", ROLL)?;
        let (most_down, lives, _) = watch.end()?;
        let what = if is_roll { "a roll".to_owned() } else { format!("scaling to {brokers}") };
        println!("{number}: killed {:.1} s into {what}: {lives:?}", after.as_secs_f64());
        let expected = if is_roll { 2 } else { 1 };
        ensure!(lives.values().all(|lives| *lives == expected), "restarts of one change: {lives:?}");
        ensure!(!is_roll || most_down == 1, "{most_down} Pods were down at once");
        ensure!(replicas(bed)?.len() == brokers as usize, "{:?}", replicas(bed)?);
    }
    ensure!(cluster(bed)?.status.and_then(|status| status.cluster_id) == id, "another cluster id");
    if brokers == 4 {
        scale(bed, 3)?;
        settled(bed, "full", ROLL)?;
    }
    Ok(())
}

pub(crate) fn idle(bed: &Bed) -> Result<()> {
    let names = ["full", "second", "third"];
    let (cluster, topic) = FREIGHT.split_once("---").context("two documents")?;
    for name in &names[1..] {
        bed.apply(&cluster.replace("name: full", &format!("name: {name}")))?;
    }
    let topic = |number: usize| {
        let of = topic.replace("name: full", &format!("name: {}", names[number % names.len()]));
        of.replace("name: freight", &format!("name: idle-{number}"))
            .replace("partitions: 12", "partitions: 1")
    };
    let topics: Vec<_> = (0..200).map(topic).collect();
    let begun = Instant::now();
    bed.apply(&topics.join("---"))?;
    names.iter().try_for_each(|name| settled(bed, name, MINUTE * 4))?;
    let ready = ["wait", "--for=condition=Ready", "kafkatopics", "--all", "--timeout=180s"];
    bed.kubectl(&[&["--namespace", NAMESPACE], &ready[..]].concat())?;
    println!("three clusters and 200 topics in {:.0} s", begun.elapsed().as_secs_f64());

    let (cpu, clock) = (of_operator(bed, "process_cpu_seconds_total")?, Instant::now());
    nothing_written(bed, MINUTE * 10)?;
    let cpu = (of_operator(bed, "process_cpu_seconds_total")? - cpu) / clock.elapsed().as_secs_f64();
    let memory = of_operator(bed, "process_resident_memory_bytes")?;
    println!("the operator: {:.2} % of a core, {:.1} MB", cpu * 100.0, memory / 1e6);
    ensure!(cpu < CPU_MAX && memory < MEMORY_MAX, "{cpu} of a core, {memory} bytes");
    let all = ["delete", "kafkatopics,kafkaclusters", "--all", "--timeout=180s"];
    bed.kubectl(&[&["--namespace", NAMESPACE], &all[..]].concat()).map(drop)
}

/// A number of the operator's metrics.
pub(crate) fn of_operator(bed: &Bed, name: &str) -> Result<f64> {
    let service = "services/taffrail-operator-metrics:metrics/proxy/metrics";
    let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/{service}");
    let metrics = bed.kubectl(&["get", "--raw", &path])?;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).with_context(|| name.to_owned())?;
    Ok(line.trim().parse()?)
}

/// Where clients outside begin.
fn servers(bed: &Bed) -> Result<String> {
    wait("the nodes' addresses", MINUTE, || {
        let listeners = cluster(bed)?.status.unwrap_or_default().listeners;
        Ok(listeners.into_iter().find(|one| one.name == "node").map(|one| one.bootstrap_servers))
    })
}

fn cluster(bed: &Bed) -> Result<KafkaCluster> {
    bed.get(NAMESPACE, "full")?.context("KafkaCluster full")
}

fn patch(bed: &Bed, patch: &str) -> Result<()> {
    bed.kubectl(&["--namespace", NAMESPACE, "patch", "tkc", "full", "--type=merge", "--patch", patch])
        .map(drop)
}

fn scale(bed: &Bed, replicas: i32) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    bed.kubectl(&["--namespace", NAMESPACE, "scale", "kafkacluster/full", &replicas]).map(drop)
}

/// How many replicas each broker has or is being given.
fn replicas(bed: &Bed) -> Result<BTreeMap<i64, i64>> {
    let state = broker_state(bed, "full", 0)?;
    let brokers = state["cluster"]["brokers"].as_array().context("no brokers")?;
    Ok(brokers.iter().filter_map(|one| Some((one["id"].as_i64()?, one["replicas"].as_i64()?))).collect())
}
