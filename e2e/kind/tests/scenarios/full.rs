//! What is promised, at its full size: it takes the better part of an hour, and so is played when it is asked for. Each
//! prints what it measured.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use chance::Random;
use kind_e2e::{Acks, Bed, Cluster, MINUTE, fill, wait};

use crate::brokers::ROLL;
use crate::operators::{MEMORY, kill_operator, metric, nothing_written, operators};

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

fn full(bed: &Bed) -> Cluster<'_> {
    bed.cluster("full")
}

pub(crate) fn scaled(bed: &Bed) -> Result<()> {
    let full = full(bed);
    bed.apply(FREIGHT)?;
    full.settled(MINUTE * 3)?;
    let servers = servers(full)?;
    bed.ready(&["kafkatopic/freight"], MINUTE)?;
    let begun = Instant::now();
    fill(&servers, "freight", PARTITIONS, BYTES)?;
    println!("1 GiB in {:.0} s", begun.elapsed().as_secs_f64());

    let load = Acks::begin(&servers, "freight", PARTITIONS)?;
    let begun = Instant::now();
    full.scale(5)?;
    wait("replicas on five brokers", MINUTE * 5, || {
        full.is_balanced(5)?;
        let left = full.state()?["rebalance"]["partitionsLeft"].as_u64();
        ensure!(left == Some(0), "{left:?} partitions are on their way");
        Ok(Some(()))
    })?;
    let spread = begun.elapsed();
    let grown = load.end()?;
    println!("3 to 5: {:?} after {:.0} s, {grown:?}", full.replicas()?, spread.as_secs_f64());
    ensure!(spread < SPREAD_MAX, "spread after {spread:?}");
    full.settled(MINUTE)?;

    let load = Acks::begin(&servers, "freight", PARTITIONS)?;
    let begun = Instant::now();
    full.scale(3)?;
    // First how many Pods there are to be, and then what the ones to go still hold.
    wait("three brokers", MINUTE * 5, || {
        let pods = full.stateful_set()?.spec.and_then(|spec| spec.replicas).context("no number of Pods")?;
        let counts = full.replicas()?;
        if let Some(early) = counts.iter().find(|(id, count)| **id >= i64::from(pods) && **count > 0) {
            return Ok(Some(Err(anyhow!("broker {} went with {} replicas", early.0, early.1))));
        }
        Ok((pods == 3).then_some(Ok(())))
    })??;
    full.settled(MINUTE * 5)?;
    let shrunk = load.end()?;
    println!("5 to 3: {:?} after {:.0} s, {shrunk:?}", full.replicas()?, begun.elapsed().as_secs_f64());
    Ok(())
}

pub(crate) fn image_changed(bed: &Bed) -> Result<()> {
    let (full, other) = (full(bed), bed.second_image()?);
    let load = Acks::begin(&servers(full)?, "freight", PARTITIONS)?;
    let watch = full.watch()?;
    let begun = Instant::now();
    full.set_image(&other)?;
    full.settled(ROLL)?;
    let took = begun.elapsed();
    let lives = watch.end()?;
    let written = load.end()?;
    println!("three Pods in {:.0} s, {lives:?}, {written:?}", took.as_secs_f64());
    lives.one_down_at_a_time()?.each(2)?;
    ensure!(written.longest_gap < ROLL_GAP_MAX, "{written:?}");
    Ok(())
}

pub(crate) fn leader_fails_alone(bed: &Bed) -> Result<()> {
    let full = full(bed);
    let servers = servers(full)?;
    operators(bed, 0)?;
    let load = Acks::begin(&servers, "freight", PARTITIONS)?;
    std::thread::sleep(MINUTE / 20);
    // The active controller leads partitions as the others do: its end is the hardest.
    let controller = full.controller()?;
    full.kill(controller)?;
    std::thread::sleep(MINUTE / 4);
    let written = load.end()?;
    operators(bed, 1)?;
    println!("broker {controller}, the active controller, killed without an operator: {written:?}");
    ensure!(written.longest_gap < FAILOVER_MAX, "{written:?}");
    full.settled(MINUTE * 2)
}

pub(crate) fn operator_killed_often(bed: &Bed) -> Result<()> {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("SEED={seed}");
    let (full, mut random) = (full(bed), Random::new(seed));
    let id = full.id()?;
    let mut brokers = 3;
    for number in 1..=KILLS {
        let watch = full.watch()?;
        let is_roll = random.one_in(2);
        if is_roll {
            full.annotate(&format!("taffrail.dev/restarted-at=kill-{number}"))?;
        } else {
            brokers = if brokers == 3 { 4 } else { 3 };
            full.scale(brokers)?;
        }
        let after = Duration::from_millis(random.between(0, 12_000));
        std::thread::sleep(after);
        kill_operator(bed)?;
        // Nothing may be settled that nobody has looked at yet.
        wait("a number of brokers", ROLL, || {
            let expected = format!("{brokers}/{brokers}");
            let summary = full.status()?.brokers.map(|one| one.summary);
            ensure!(summary.as_ref() == Some(&expected), "{summary:?}");
            Ok(Some(()))
        })?;
        if is_roll {
            wait("every Pod's restart", ROLL, || watch.has_all_lived(2))?;
        }
        full.settled(ROLL)?;
        let lives = watch.end()?;
        let what = if is_roll { "a roll".to_owned() } else { format!("scaling to {brokers}") };
        println!("{number}: killed {:.1} s into {what}: {lives:?}", after.as_secs_f64());
        match is_roll {
            true => lives.one_down_at_a_time()?.each(2)?,
            false => lives.each(1)?,
        };
        ensure!(full.replicas()?.len() == brokers, "{:?}", full.replicas()?);
    }
    ensure!(full.id()? == id, "another cluster id");
    if brokers == 4 {
        full.scale(3)?;
        full.settled(ROLL)?;
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
    names.iter().try_for_each(|name| bed.cluster(name).settled(MINUTE * 4))?;
    bed.ready(&["kafkatopics", "--all"], MINUTE * 3)?;
    println!("three clusters and 200 topics in {:.0} s", begun.elapsed().as_secs_f64());

    let (cpu, clock) = (metric(bed, "process_cpu_seconds_total")?, Instant::now());
    nothing_written(bed, MINUTE * 10)?;
    let cpu = (metric(bed, "process_cpu_seconds_total")? - cpu) / clock.elapsed().as_secs_f64();
    let memory = metric(bed, MEMORY)?;
    println!("the operator: {:.2} % of a core, {:.1} MB", cpu * 100.0, memory / 1e6);
    ensure!(cpu < CPU_MAX && memory < MEMORY_MAX, "{cpu} of a core, {memory} bytes");
    bed.kubectl(&["delete", "kafkatopics", "--all", "--timeout=180s"])?;
    bed.kubectl(&[&["delete", "kafkaclusters", "--timeout=180s"], &names[1..]].concat()).map(drop)
}

/// Where clients outside begin.
fn servers(full: Cluster<'_>) -> Result<String> {
    wait("the nodes' addresses", MINUTE, || {
        let mut listeners = full.status()?.listeners.into_iter();
        Ok(listeners.find(|one| one.name == "node").map(|one| one.bootstrap_servers))
    })
}
