//! `chaos`: rounds until the time is over. `MINUTES` and `SEED` say how long and which; `KAFKA_PEER` names a program that runs
//! Kafka's tools, `TAFFRAIL_BIN` the binary under test; `NODES` how many, if not three and five in turn;
//! `KEEP` is a folder for what is left of a round with a violation.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to a terminal")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use chance::Random;
use chaos::coverage::Coverage;
use chaos::round::Round;
use chaos::sandbox::{self, Sandbox};
use chaos::workload::java;

/// A round's faults come for so long, unless less time is left.
const ROUND: Duration = Duration::from_secs(75);
/// Less than that is no round.
const ROUND_MIN: Duration = Duration::from_secs(20);

fn main() -> Result<ExitCode> {
    // What Java needs is fetched before the network is left.
    let has_java = java::is_there();
    let sandbox = sandbox::enter()?;
    if sandbox == Sandbox::Bare {
        println!("left out: networks and disks, since this machine gives no namespaces");
    }
    if !has_java {
        println!("left out: Java clients, since KAFKA_PEER names no program that runs them");
    }
    let seed = number("SEED")?.unwrap_or_else(seed_of_now);
    let time = Duration::from_secs_f64(60.0 * number("MINUTES")?.map_or(3.0, |minutes| minutes as f64));
    println!("SEED={seed}, {} s", time.as_secs());
    let nodes = number("NODES")?.map(usize::try_from).transpose()?;
    let mut seeds = Random::new(seed);
    let (begin, mut total, mut failures) = (Instant::now(), Coverage::default(), 0);
    for number in 0.. {
        let left = time.saturating_sub(begin.elapsed());
        if left < ROUND_MIN && number > 0 {
            break;
        }
        let nodes = nodes.unwrap_or(if number % 2 == 0 { 3 } else { 5 });
        let lasts = ROUND.min(left);
        let keep = std::env::var_os("KEEP").map(PathBuf::from);
        let round = Round { seed: seeds.number(), nodes, lasts, sandbox, has_java, keep };
        println!("round {number}: {nodes} nodes, seed {}", round.seed);
        let coverage = round.run().with_context(|| format!("round {number}"))?;
        println!("  {coverage}");
        coverage.violations.iter().for_each(|violation| println!("  VIOLATION {violation}"));
        let lacks = coverage.lacks();
        lacks.iter().for_each(|what| println!("  DOES NOT COUNT without {what}"));
        failures += u32::from(!coverage.violations.is_empty() || !lacks.is_empty());
        total.add(coverage);
    }
    println!("in all: {total}");
    println!("{failures} rounds failed");
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn number(name: &str) -> Result<Option<u64>> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    text.parse().map(Some).with_context(|| format!("{name}={text}"))
}

fn seed_of_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
