//! A node with very many partitions: how long it takes to come back, and what each of them costs when nothing happens.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::median;
use crate::librdkafka::{self, Topic};
use crate::report::{Figure, Target};
use crate::systems::{Name, Programs, Setup, System};

const TOPICS: usize = 10;
const PARTITIONS_A_TOPIC: i32 = 1_000;
const TIMEOUT: Duration = Duration::from_secs(600);
const SETTLE: Duration = Duration::from_secs(10);
/// Kafka takes its time with this many: it is asked once, Taffrail as often as the other rows.
const KAFKA_ROUNDS: usize = 1;

pub(crate) fn many(programs: &Programs, rounds: usize) -> Result<Vec<Figure>> {
    let [clean_k, killed_k, memory_k] = side(programs, Name::Kafka, KAFKA_ROUNDS)?;
    let [clean, killed, memory] = side(programs, Name::Taffrail, rounds)?;
    let figure = |measure, unit, figures, most| {
        Figure::new("P11", measure, unit, figures, Some(Target::ValueMax(most)))
    };
    Ok(vec![
        figure("10,000 partitions, start after a clean stop", "s", (clean_k, clean), 2.0),
        figure("10,000 partitions, start after kill -9", "s", (killed_k, killed), 5.0),
        figure("memory of an idle partition", "KB", (memory_k, memory), 5.0),
    ])
}

/// Both starts in seconds, and KB for each partition.
fn side(programs: &Programs, name: Name, rounds: usize) -> Result<[f64; 3]> {
    let mut system = programs.system(name, Setup::ONE)?;
    measure(&mut system, rounds)
}

fn measure(system: &mut System, rounds: usize) -> Result<[f64; 3]> {
    // Both counts after a restart: what creating the topics needed is not what holding them needs.
    system.restart()?;
    std::thread::sleep(SETTLE);
    let empty = system.resident_mb()?;
    for topic in 0..TOPICS {
        let name = format!("many-{topic}");
        let topic = Topic { name: &name, partitions: PARTITIONS_A_TOPIC, replicas: 1, configs: &[] };
        librdkafka::create(&system.bootstrap, topic)?;
    }
    let (mut clean, mut killed, mut full) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        system.stop()?;
        clean.push(start(system)?);
        std::thread::sleep(SETTLE);
        full.push(system.resident_mb()?);
        system.kill()?;
        killed.push(start(system)?);
    }
    let partitions = TOPICS as f64 * f64::from(PARTITIONS_A_TOPIC);
    let each = (median(full) - empty) * 1e3 / partitions;
    Ok([median(clean), median(killed), each])
}

/// From exec to the answer that every partition is led.
fn start(system: &mut System) -> Result<f64> {
    let begun = Instant::now();
    system.start()?;
    librdkafka::wait_for(&system.bootstrap, TIMEOUT, |metadata| {
        metadata.topics().len() >= TOPICS && librdkafka::is_in_sync(metadata)
    })?;
    Ok(begun.elapsed().as_secs_f64())
}
