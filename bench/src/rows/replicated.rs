//! Three brokers and three replicas: how much goes through, what it costs, how long a record waits to be acknowledged.

use anyhow::Result;

use super::{alternate, median};
use crate::java::{self, Latency, Load, Produced};
use crate::librdkafka::{self, Topic};
use crate::report::{Figure, Target};
use crate::systems::{Programs, System, Systems};

const TOPIC: Topic<'_> = Topic { name: "replicated", partitions: 6, replicas: 3, configs: &[] };
const RECORDS: u64 = 800_000;
const WARM_UP: u64 = 200_000;
const SECONDS_AT_A_RATE: u64 = 25;
const WARM_UP_SECONDS: u64 = 10;
/// Records of 1 KiB a second that are about 20 and 10 MB/s.
const RATE_20_MB_S: u64 = 20_000;
const RATE_10_MB_S: u64 = 10_000;

pub(crate) fn produce(programs: &Programs, systems: &mut Systems, rounds: usize) -> Result<Vec<Figure>> {
    let load = Load { topic: TOPIC.name, records: RECORDS, warm_up: WARM_UP, rate: None, linger_ms: 5 };
    let measure = "produce to three replicas";
    let mut figures = rate_and_cpu("P3", measure, systems, rounds, |system| {
        Ok(java::produce(programs, &system.bootstrap, load)?.mb_s)
    })?;
    figures.extend(rate_and_cpu("P3", "the same with librdkafka", systems, rounds, |system| {
        librdkafka::produce_mb_s(&system.bootstrap, TOPIC.name, RECORDS)
    })?);
    Ok(figures)
}

pub(crate) fn at_20_mb_s(programs: &Programs, systems: &mut Systems, rounds: usize) -> Result<Vec<Figure>> {
    let load = at_rate(RATE_20_MB_S, 5);
    let (cpu, latencies) = offered(programs, systems, rounds, load)?;
    let cpu = Figure::new("P4", "CPU of the brokers at 20 MB/s", "s/GB", cpu, Some(Target::RatioMax(0.2)));
    let mut figures = vec![cpu];
    figures.extend(percentiles("P5", "20 MB/s, linger 5 ms", latencies, 0.1));
    Ok(figures)
}

pub(crate) fn at_10_mb_s(programs: &Programs, systems: &mut Systems, rounds: usize) -> Result<Vec<Figure>> {
    let load = at_rate(RATE_10_MB_S, 0);
    let (_, latencies) = offered(programs, systems, rounds, load)?;
    Ok(percentiles("P6", "10 MB/s, linger 0", latencies, 0.2))
}

fn at_rate(rate: u64, linger_ms: u64) -> Load<'static> {
    Load {
        topic: TOPIC.name,
        records: rate * SECONDS_AT_A_RATE,
        warm_up: rate * WARM_UP_SECONDS,
        rate: Some(rate),
        linger_ms,
    }
}

/// A rate, and beside it all brokers' CPU seconds for each gigabyte of records.
fn rate_and_cpu(
    row: &'static str,
    measure: &str,
    systems: &mut Systems,
    rounds: usize,
    run: impl Fn(&System) -> Result<f64>,
) -> Result<Vec<Figure>> {
    let mut cpu = [Vec::new(), Vec::new()];
    let rates = alternate(systems, rounds, |systems, i| {
        let (rate, seconds) = with_topic(systems.both()[i], RECORDS, &run)?;
        cpu[i].push(seconds);
        Ok(rate)
    })?;
    let [kafka, taffrail] = cpu.map(|samples| median(samples[1..].to_vec()));
    Ok(vec![
        Figure::new(row, measure, "MB/s", rates, Some(Target::RatioMin(3.0))),
        Figure::new(row, format!("{measure}, CPU of the brokers"), "s/GB", (kafka, taffrail), None),
    ])
}

type Latencies = [Vec<Latency>; 2];

/// CPU seconds for each gigabyte, and latencies of each round, of a producer that does not hurry.
fn offered(
    programs: &Programs,
    systems: &mut Systems,
    rounds: usize,
    load: Load<'_>,
) -> Result<((f64, f64), Latencies)> {
    let mut latencies = [Vec::new(), Vec::new()];
    let cpu = alternate(systems, rounds, |systems, i| {
        let run = |system: &System| java::produce(programs, &system.bootstrap, load);
        let (Produced { latency, .. }, seconds) = with_topic(systems.both()[i], load.records, run)?;
        latencies[i].push(latency);
        Ok(seconds)
    })?;
    for of_system in &mut latencies {
        of_system.remove(0);
    }
    Ok((cpu, latencies))
}

/// Runs it against a new topic that goes away again; with the brokers' CPU seconds for each gigabyte of records.
fn with_topic<T>(system: &System, records: u64, run: impl Fn(&System) -> Result<T>) -> Result<(T, f64)> {
    librdkafka::create(&system.bootstrap, TOPIC)?;
    let before = system.cpu_seconds()?;
    let result = run(system);
    let seconds = system.cpu_seconds()? - before;
    librdkafka::delete_topic(&system.bootstrap, TOPIC.name)?;
    Ok((result?, seconds / (records as f64 * 1024.0 / 1e9)))
}

fn percentiles(row: &'static str, load: &str, latencies: Latencies, p99_ratio: f64) -> Vec<Figure> {
    let of = |field: fn(&Latency) -> f64| {
        let [kafka, taffrail] = &latencies;
        (median(kafka.iter().map(field).collect()), median(taffrail.iter().map(field).collect()))
    };
    let figure =
        |name: &str, figures, target| Figure::new(row, format!("{load}: {name}"), "ms", figures, target);
    vec![
        figure("mean", of(|latency| latency.mean), None),
        figure("p50", of(|latency| latency.p50), None),
        figure("p99", of(|latency| latency.p99), Some(Target::RatioMax(p99_ratio))),
        figure("p99.9", of(|latency| latency.p999), None),
    ]
}
