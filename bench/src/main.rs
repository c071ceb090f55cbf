//! Side by side with Apache Kafka: the same client, topic settings and message size against both brokers in one
//! run, alternating, warmed up. The ratio is the result; an absolute number says more about the machine.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command that prints its results")]

mod gap;
mod java;
mod librdkafka;
mod process;
mod report;
mod rows;
mod sink;
mod systems;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Parser;

use crate::report::Report;
use crate::rows::{ROWS, Row, Run, Shape};
use crate::systems::{Programs, Systems};

/// Measures Taffrail against Apache Kafka.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rows to measure; all of them if none is named.
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// Measured rounds of each row, after one round of warm-up; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Where the brokers keep their data: a few gigabytes, removed afterwards.
    #[arg(long, default_value = "target/bench-data")]
    data: PathBuf,
    /// Where the figures go as JSON.
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
    /// The Taffrail binary.
    #[arg(long, env = "TAFFRAIL_BIN")]
    taffrail: PathBuf,
    /// A program that runs Apache Kafka: `start N DIR`, `stop DIR`, `tool CLASS ARGS...`.
    #[arg(long, env = "KAFKA_PEER")]
    kafka: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let rows = selected(&arguments.rows)?;
    std::fs::create_dir_all(&arguments.data)?;
    let data = arguments.data.canonicalize().context("data folder")?;
    let programs = Programs::new(&arguments.kafka, &arguments.taffrail, &data)?;
    let mut report = Report::new();
    let measured = measure(&programs, &rows, arguments.rounds, &mut report);
    std::fs::remove_dir_all(&data).ok();
    // What was measured before a row failed is worth having.
    println!("{}", report.table());
    report.write_json(&arguments.json)?;
    measured
}

/// Rows in a line that need the same clusters share them.
fn measure(programs: &Programs, rows: &[&Row], rounds: usize, report: &mut Report) -> Result<()> {
    let mut shared: Option<(Shape, Systems)> = None;
    for row in rows {
        eprintln!("{}: {}", row.name, row.measure);
        let figures = match row.run {
            Run::Alone(run) => {
                shared = None;
                run(programs, rounds)
            }
            Run::On(shape, run) => {
                let (_, mut systems) = match shared.take() {
                    Some(running) if running.0 == shape => running,
                    other => {
                        drop(other);
                        (shape, programs.start(shape.setup())?)
                    }
                };
                let figures = run(programs, &mut systems, rounds);
                shared = Some((shape, systems));
                figures
            }
        };
        report.add(figures.with_context(|| format!("row {}", row.name))?);
    }
    Ok(())
}

fn selected(names: &[String]) -> Result<Vec<&'static Row>> {
    if names.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    let find = |name: &String| ROWS.iter().find(|row| row.name.eq_ignore_ascii_case(name));
    let mut rows = Vec::new();
    for name in names {
        let Some(row) = find(name) else {
            let known: Vec<_> = ROWS.iter().map(|row| row.name).collect();
            bail!("there is no row {name:?}; the rows are {}", known.join(", "));
        };
        rows.push(row);
    }
    Ok(rows)
}
