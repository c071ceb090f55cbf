//! What a broker costs when nobody looks: memory idle and after load, and the time to come back.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::alternate;
use crate::librdkafka::{self, Topic};
use crate::report::{Figure, Target};
use crate::systems::{Programs, Systems};

const TENTH: Target = Target::RatioMax(0.1);
const TOPIC: &str = "footprint";
const PARTITIONS: i32 = 6;
/// Three times a gigabyte, the topic deleted in between, so that the disk holds one at a time.
const PASSES: usize = 3;
const RECORDS_A_PASS: u64 = 1_000_000;
const START_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) fn idle_memory(_: &Programs, systems: &mut Systems, _rounds: usize) -> Result<Vec<Figure>> {
    std::thread::sleep(Duration::from_secs(5));
    Ok(vec![Figure::new("P8", "resident memory, idle", "MB", resident(systems)?, Some(TENTH))])
}

pub(crate) fn memory_after_load(_: &Programs, systems: &mut Systems, _rounds: usize) -> Result<Vec<Figure>> {
    for system in systems.both() {
        for _ in 0..PASSES {
            librdkafka::create_topic(&system.bootstrap, TOPIC, PARTITIONS)?;
            librdkafka::produce_mb_s(&system.bootstrap, TOPIC, RECORDS_A_PASS)?;
            librdkafka::consume_mb_s(&system.bootstrap, TOPIC, PARTITIONS, RECORDS_A_PASS)?;
            librdkafka::delete_topic(&system.bootstrap, TOPIC)?;
        }
    }
    Ok(vec![Figure::new("P8", "resident memory after 3 GB", "MB", resident(systems)?, Some(TENTH))])
}

pub(crate) fn restart(_: &Programs, systems: &mut Systems, rounds: usize) -> Result<Vec<Figure>> {
    let seconds =
        alternate(systems, rounds, |systems, i| Ok(systems.both_mut()[i].restart()?.as_secs_f64()))?;
    let target = Some(Target::ValueMax(0.2));
    Ok(vec![Figure::new("P10", "one node, start to first answer", "s", seconds, target)])
}

/// From exec of all three to the answer that a new topic with three replicas is there.
pub(crate) fn restart_three(_: &Programs, systems: &mut Systems, rounds: usize) -> Result<Vec<Figure>> {
    let mut topics = 0;
    let seconds = alternate(systems, rounds, |systems, i| {
        let system = &mut systems.both_mut()[i];
        system.stop()?;
        let begun = Instant::now();
        system.start()?;
        librdkafka::wait_until_brokers(&system.bootstrap, 3, START_TIMEOUT)?;
        topics += 1;
        let name = format!("restart-{topics}");
        librdkafka::create(
            &system.bootstrap,
            Topic { name: &name, partitions: 1, replicas: 3, configs: &[] },
        )?;
        Ok(begun.elapsed().as_secs_f64())
    })?;
    let target = Some(Target::ValueMax(1.5));
    Ok(vec![Figure::new("P10", "three nodes, start to the first created topic", "s", seconds, target)])
}

/// Per cent of one core for all three, of both clusters over the same half minute.
pub(crate) fn idle_cpu(_: &Programs, systems: &mut Systems, _rounds: usize) -> Result<Vec<Figure>> {
    std::thread::sleep(Duration::from_secs(10));
    let begun = Instant::now();
    let before = cpu(systems)?;
    std::thread::sleep(Duration::from_secs(30));
    let (after, seconds) = (cpu(systems)?, begun.elapsed().as_secs_f64());
    let share = |before: f64, after: f64| 100.0 * (after - before) / seconds;
    let shares = (share(before.0, after.0), share(before.1, after.1));
    Ok(vec![Figure::new(
        "P9",
        "CPU of three idle brokers",
        "% of a core",
        shares,
        Some(Target::RatioMax(0.2)),
    )])
}

fn cpu(systems: &Systems) -> Result<(f64, f64)> {
    Ok((systems.kafka.cpu_seconds()?, systems.taffrail.cpu_seconds()?))
}

fn resident(systems: &Systems) -> Result<(f64, f64)> {
    Ok((systems.kafka.resident_mb()?, systems.taffrail.resident_mb()?))
}
