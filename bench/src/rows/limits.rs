//! Little memory: each broker in a memory cgroup, as in a Pod with a limit, so that followers and a consumer that reads
//! from the start miss the page cache.

use std::thread;

use anyhow::{Context, Result, anyhow};

use crate::java::{self, Load, Produced};
use crate::librdkafka::{self, Topic};
use crate::report::{Figure, Target};
use crate::systems::{Name, Programs, Setup, System};

const TOPIC: Topic<'_> = Topic { name: "limited", partitions: 6, replicas: 3, configs: &[] };
const RECORDS: u64 = 4_000_000;
const SETUP: Setup = Setup { nodes: 3, kafka_heap: "512M" };
const MIB: u64 = 1 << 20;

/// What came of one run.
struct Outcome {
    produced: Produced,
    consumed_mb_s: f64,
}

/// One run each, no warm-up: 4 GB three times over are minutes. A delivery error or a killed broker fails the row.
pub(crate) fn produce_and_consume(programs: &Programs, _rounds: usize) -> Result<Vec<Figure>> {
    let kafka = run(programs, Name::Kafka, 1024 * MIB).context("Kafka with 1 GiB")?;
    let same = run(programs, Name::Taffrail, 1024 * MIB).context("Taffrail with 1 GiB")?;
    let quarter = run(programs, Name::Taffrail, 256 * MIB).context("Taffrail with 256 MiB")?;
    let figures = |memory: &str, taffrail: &Outcome, ratio| {
        let p99 = (kafka.produced.latency.p99, taffrail.produced.latency.p99);
        let (produced, consumed) =
            ((kafka.produced.mb_s, taffrail.produced.mb_s), (kafka.consumed_mb_s, taffrail.consumed_mb_s));
        [
            Figure::new("P15", format!("{memory}: produce"), "MB/s", produced, Some(Target::RatioMin(ratio))),
            Figure::new("P15", format!("{memory}: consume at the same time"), "MB/s", consumed, None),
            Figure::new("P15", format!("{memory}: p99 of produce"), "ms", p99, None),
        ]
    };
    let mut all = Vec::from(figures("1 GiB", &same, 3.0));
    all.extend(figures("256 MiB, Kafka with 1 GiB", &quarter, 1.0));
    Ok(all)
}

fn run(programs: &Programs, name: Name, bytes: u64) -> Result<Outcome> {
    let mut system = programs.system(name, SETUP)?;
    let limits = system.limit_memory(bytes)?;
    let outcome = load(programs, &system);
    let kills = limits.iter().map(|limit| limit.kills()).sum::<Result<u64>>();
    system.kill()?;
    drop(limits);
    match kills? {
        0 => outcome,
        kills => Err(anyhow!("the kernel killed {kills} brokers for want of memory")),
    }
}

fn load(programs: &Programs, system: &System) -> Result<Outcome> {
    librdkafka::create(&system.bootstrap, TOPIC)?;
    let load = Load { topic: TOPIC.name, records: RECORDS, warm_up: 0, rate: None, linger_ms: 5 };
    thread::scope(|scope| {
        let consumer = scope
            .spawn(|| librdkafka::consume_mb_s(&system.bootstrap, TOPIC.name, TOPIC.partitions, RECORDS));
        let produced = java::produce(programs, &system.bootstrap, load);
        let consumed_mb_s = consumer.join().map_err(|_| anyhow!("the consumer panicked"))?;
        Ok(Outcome { produced: produced?, consumed_mb_s: consumed_mb_s? })
    })
}
