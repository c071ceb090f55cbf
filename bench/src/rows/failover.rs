//! A producer's longest wait for an acknowledgement while a broker goes away, on a topic of one partition.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::median;
use crate::librdkafka;
use crate::report::{Figure, Target};
use crate::systems::{Programs, System, Systems};
use crate::{gap, java};

const NODES: i32 = 3;
const TIMEOUT: Duration = Duration::from_secs(120);
/// The figure asks for ten; Kafka needs half a minute for each, and varies little.
const TAFFRAIL_RUNS: usize = 10;
const KAFKA_RUNS: usize = 3;

/// Which of the brokers it hits.
#[derive(Clone, Copy, Debug)]
enum Victim {
    /// The partition's leader, which is not the active controller.
    Leader,
    /// The active controller, which does not lead the partition.
    Controller,
    /// One that is both.
    Both,
}

impl Victim {
    const fn name(self) -> &'static str {
        match self {
            Victim::Leader => "the leader",
            Victim::Controller => "the active controller",
            Victim::Both => "both on one node",
        }
    }
}

pub(crate) fn crash(programs: &Programs, systems: &mut Systems, _rounds: usize) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (how, signal, most, victims) in [
        ("kill -9", Signal::KILL, 1.0, &[Victim::Leader, Victim::Controller, Victim::Both][..]),
        ("SIGSTOP", Signal::STOP, 5.0, &[Victim::Leader, Victim::Both]),
    ] {
        for victim in victims {
            let measure = format!("{how} of {}: longest gap", victim.name());
            figures.extend(row("P12", measure, (programs, systems), (*victim, signal), most)?);
        }
    }
    Ok(figures)
}

pub(crate) fn controlled(programs: &Programs, systems: &mut Systems, _rounds: usize) -> Result<Vec<Figure>> {
    let fault = (Victim::Leader, Signal::TERM);
    row("P13", "SIGTERM of the leader: longest gap".to_owned(), (programs, systems), fault, 0.1)
}

fn row(
    row: &'static str,
    measure: String,
    (programs, systems): (&Programs, &mut Systems),
    fault: (Victim, Signal),
    most: f64,
) -> Result<Vec<Figure>> {
    let kafka = runs(programs, &mut systems.kafka, fault, KAFKA_RUNS)?;
    let taffrail = runs(programs, &mut systems.taffrail, fault, TAFFRAIL_RUNS)?;
    let worst = |runs: &[gap::Gap]| runs.iter().map(|run| run.longest.as_secs_f64()).fold(0.0, f64::max);
    let middle = |runs: &[gap::Gap]| median(runs.iter().map(|run| run.longest.as_secs_f64()).collect());
    let failed = |runs: &[gap::Gap]| runs.iter().map(|run| run.failures as f64).sum::<f64>();
    let worsts = (worst(&kafka), worst(&taffrail));
    let failures = (failed(&kafka), failed(&taffrail));
    Ok(vec![
        Figure::new(
            row,
            measure.clone(),
            "s",
            (middle(&kafka), middle(&taffrail)),
            Some(Target::ValueMax(most)),
        ),
        Figure::new(row, format!("{measure}, the worst run"), "s", worsts, None),
        Figure::new(row, format!("{measure}, delivery errors"), "", failures, Some(Target::ValueMax(0.0))),
    ])
}

fn runs(
    programs: &Programs,
    system: &mut System,
    (victim, signal): (Victim, Signal),
    count: usize,
) -> Result<Vec<gap::Gap>> {
    let mut runs = Vec::new();
    for _ in 0..count {
        let controller = java::active_controller(programs, &system.bootstrap)?;
        let other = (controller + 1) % NODES;
        let (leader, hit) = match victim {
            Victim::Leader => (other, other),
            Victim::Controller => (other, controller),
            Victim::Both => (controller, controller),
        };
        let replicas: Vec<i32> = (0..NODES).map(|i| (leader + i) % NODES).collect();
        librdkafka::create_on(&system.bootstrap, TOPIC, &replicas)?;
        let hit = usize::try_from(hit)?;
        let gap = gap::measure(&system.bootstrap, TOPIC, || system.signal(hit, signal))?;
        eprintln!(
            "    {:?}: {:.3} s, {} of {} failed",
            system.name,
            gap.longest.as_secs_f64(),
            gap.failures,
            gap.sent
        );
        heal(system, hit, signal)?;
        librdkafka::delete_topic(&system.bootstrap, TOPIC)?;
        runs.push(gap);
    }
    Ok(runs)
}

const TOPIC: &str = "failover";

/// Brings the node back and waits until it is in sync, so that every run begins alike.
fn heal(system: &mut System, node: usize, signal: Signal) -> Result<()> {
    if signal == Signal::STOP {
        system.signal(node, Signal::CONT)?;
    } else {
        system.wait_gone(node)?;
        system.start_node(node)?;
    }
    librdkafka::wait_for(&system.bootstrap, TIMEOUT, |metadata| {
        metadata.brokers().len() == usize::try_from(NODES).unwrap_or_default()
            && librdkafka::is_in_sync(metadata)
    })
    .with_context(|| format!("{:?}, node {node} after {signal:?}", system.name))?;
    // An election of a controller that has just begun would be measured as the next run's.
    thread::sleep(Duration::from_secs(1));
    Ok(())
}
