//! The rows: what is measured, and what ratio is asked for. Each file measures one kind of thing.

mod failover;
mod flush;
mod footprint;
mod latency;
mod limits;
mod partitions;
mod replicated;
mod throughput;

use anyhow::Result;

use crate::report::Figure;
use crate::systems::{Programs, Setup, Systems};

/// One row of the comparison.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) measure: &'static str,
    pub(crate) run: Run,
}

/// What a row runs against.
#[derive(Debug)]
pub(crate) enum Run {
    /// Clusters that it shares with the other rows of this kind.
    On(Shape, fn(&Programs, &mut Systems, usize) -> Result<Vec<Figure>>),
    /// Clusters that it starts itself.
    Alone(fn(&Programs, usize) -> Result<Vec<Figure>>),
}

/// The clusters that rows share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    One,
    Three,
}

impl Shape {
    pub(crate) fn setup(self) -> Setup {
        match self {
            Shape::One => Setup::ONE,
            Shape::Three => Setup::THREE,
        }
    }
}

/// In the order of running: idle memory before anything went through, restarts last, the larger clusters after the small.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "P8a",
        measure: "resident memory of one idle broker",
        run: Run::On(Shape::One, footprint::idle_memory),
    },
    Row {
        name: "P1",
        measure: "one broker, 1 KiB records, 6 partitions, acks=all, 64 KiB batches, linger 5 ms: produce",
        run: Run::On(Shape::One, throughput::produce),
    },
    Row {
        name: "P2",
        measure: "the same, consumed from the start",
        run: Run::On(Shape::One, throughput::consume),
    },
    Row {
        name: "P7",
        measure: "end-to-end latency, 1 KiB, acks=all",
        run: Run::On(Shape::One, latency::end_to_end),
    },
    Row {
        name: "P8",
        measure: "resident memory after 3 GB went through",
        run: Run::On(Shape::One, footprint::memory_after_load),
    },
    Row {
        name: "P14",
        measure: "P1 with flush.messages=1, as a share of P1 without",
        run: Run::On(Shape::One, flush::produce),
    },
    Row {
        name: "P10",
        measure: "clean restart of one node to its first answer",
        run: Run::On(Shape::One, footprint::restart),
    },
    Row {
        name: "P11",
        measure: "one node with 10,000 partitions: start after a clean stop, after kill -9, memory",
        run: Run::Alone(partitions::many),
    },
    Row { name: "P9", measure: "CPU of three idle brokers", run: Run::On(Shape::Three, footprint::idle_cpu) },
    Row {
        name: "P3",
        measure: "three brokers, replication 3, acks=all, the producer of P1",
        run: Run::On(Shape::Three, replicated::produce),
    },
    Row {
        name: "P4",
        measure: "the same at 20 MB/s, and P5, its latency",
        run: Run::On(Shape::Three, replicated::at_20_mb_s),
    },
    Row {
        name: "P6",
        measure: "the same at 10 MB/s, linger 0",
        run: Run::On(Shape::Three, replicated::at_10_mb_s),
    },
    Row {
        name: "P10b",
        measure: "clean restart of three nodes to the first created topic",
        run: Run::On(Shape::Three, footprint::restart_three),
    },
    Row {
        name: "P12",
        measure: "kill -9 and SIGSTOP of a leader, of the active controller, of both",
        run: Run::On(Shape::Three, failover::crash),
    },
    Row {
        name: "P13",
        measure: "controlled stop of a leader",
        run: Run::On(Shape::Three, failover::controlled),
    },
    Row {
        name: "P15",
        measure: "P3 with 1 GiB of memory for each broker, 4 GB, while one consumer reads from the start",
        run: Run::Alone(limits::produce_and_consume),
    },
];

/// The median of each broker's figures over the measured rounds; round 0 warms up and is not counted.
fn alternate(
    systems: &mut Systems,
    rounds: usize,
    mut measure: impl FnMut(&mut Systems, usize) -> Result<f64>,
) -> Result<(f64, f64)> {
    let mut samples = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        for (index, of_system) in samples.iter_mut().enumerate() {
            let sample = measure(systems, index)?;
            if round > 0 {
                of_system.push(sample);
            }
        }
    }
    let [kafka, taffrail] = samples.map(median);
    Ok((kafka, taffrail))
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}
