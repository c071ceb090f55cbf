//! The rows: what is measured, and what ratio is asked for. Each file measures one kind of thing.

mod footprint;
mod latency;
mod throughput;

use anyhow::Result;

use crate::report::Figure;
use crate::system::Systems;

/// One row of the comparison.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) measure: &'static str,
    pub(crate) run: fn(&mut Systems, usize) -> Result<Vec<Figure>>,
}

/// In the order of running: idle memory before anything went through, restarts last.
pub(crate) const ROWS: &[Row] = &[
    Row { name: "P8a", measure: "resident memory of one idle broker", run: footprint::idle_memory },
    Row {
        name: "P1",
        measure: "one broker, 1 KiB records, 6 partitions, acks=all, 64 KiB batches, linger 5 ms: produce",
        run: throughput::produce,
    },
    Row { name: "P2", measure: "the same, consumed from the start", run: throughput::consume },
    Row { name: "P7", measure: "end-to-end latency, 1 KiB, acks=all", run: latency::end_to_end },
    Row { name: "P8", measure: "resident memory after 3 GB went through", run: footprint::memory_after_load },
    Row { name: "P10", measure: "clean restart of one node to its first answer", run: footprint::restart },
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
