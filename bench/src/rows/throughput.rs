//! Produce and consume rates, with both clients, and the CPU that the broker spent for each gigabyte.

use anyhow::Result;

use super::{alternate, median};
use crate::report::{Figure, Target};
use crate::systems::{Programs, Systems};
use crate::{java, librdkafka, sink};

const PARTITIONS: i32 = 6;
const RECORDS: u64 = 1_000_000;
const GIGABYTES: f64 = RECORDS as f64 * 1024.0 / 1e9;
const TOPIC: &str = "throughput";

/// A client's way to move all records through the broker at an address: MB/s.
type Run = fn(&Programs, &str) -> Result<f64>;

pub(crate) fn produce(programs: &Programs, systems: &mut Systems, rounds: usize) -> Result<Vec<Figure>> {
    let java: Run = |programs, bootstrap| java::produce_mb_s(programs, bootstrap, TOPIC, RECORDS);
    let rdkafka: Run = |_, bootstrap| librdkafka::produce_mb_s(bootstrap, TOPIC, RECORDS);
    let sink = sink::start(PARTITIONS)?;
    let mut figures = Vec::new();
    for (client, run, target) in [("ProducerPerformance", java, 1.5), ("librdkafka produce", rdkafka, 3.0)] {
        let [rate, cpu] =
            with_cpu("P1", client, target, (programs, systems), rounds, |programs, bootstrap| {
                librdkafka::create_topic(bootstrap, TOPIC, PARTITIONS)?;
                let rate = run(programs, bootstrap);
                librdkafka::delete_topic(bootstrap, TOPIC)?;
                rate
            })?;
        figures.extend([rate.with_client_limit(client_limit(programs, rounds, &sink, run)?), cpu]);
    }
    Ok(figures)
}

pub(crate) fn consume(programs: &Programs, systems: &mut Systems, rounds: usize) -> Result<Vec<Figure>> {
    for system in systems.both() {
        librdkafka::create_topic(&system.bootstrap, TOPIC, PARTITIONS)?;
        librdkafka::produce_mb_s(&system.bootstrap, TOPIC, RECORDS)?;
    }
    let java: Run = |programs, bootstrap| java::consume_mb_s(programs, bootstrap, TOPIC, RECORDS);
    let rdkafka: Run = |_, bootstrap| librdkafka::consume_mb_s(bootstrap, TOPIC, PARTITIONS, RECORDS);
    let sink = sink::start(PARTITIONS)?;
    let mut figures = Vec::new();
    for (client, run, target) in [("ConsumerPerformance", java, 1.2), ("librdkafka consume", rdkafka, 1.5)] {
        let [rate, cpu] = with_cpu("P2", client, target, (programs, systems), rounds, run)?;
        figures.extend([rate.with_client_limit(client_limit(programs, rounds, &sink, run)?), cpu]);
    }
    for system in systems.both() {
        librdkafka::delete_topic(&system.bootstrap, TOPIC)?;
    }
    Ok(figures)
}

/// What a client reaches against a broker that does nothing; the first run warms up.
fn client_limit(programs: &Programs, rounds: usize, sink: &str, run: Run) -> Result<f64> {
    run(programs, sink)?;
    Ok(median((0..rounds).map(|_| run(programs, sink)).collect::<Result<_>>()?))
}

/// A rate and, beside it, the broker's CPU seconds for each gigabyte: the steadier figure on a shared machine.
fn with_cpu(
    row: &'static str,
    client: &str,
    target: f64,
    (programs, systems): (&Programs, &mut Systems),
    rounds: usize,
    run: impl Fn(&Programs, &str) -> Result<f64>,
) -> Result<[Figure; 2]> {
    let mut cpu = [Vec::new(), Vec::new()];
    let rates = alternate(systems, rounds, |systems, i| {
        let system = systems.both()[i];
        let before = system.cpu_seconds()?;
        let rate = run(programs, &system.bootstrap)?;
        cpu[i].push((system.cpu_seconds()? - before) / GIGABYTES);
        Ok(rate)
    })?;
    let [kafka, taffrail] = cpu.map(|samples| median(samples[1..].to_vec()));
    Ok([
        Figure::new(row, client, "MB/s", rates, Some(Target::RatioMin(target))),
        Figure::new(row, format!("{client}, CPU of the broker"), "s/GB", (kafka, taffrail), None),
    ])
}
