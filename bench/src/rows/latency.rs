//! End-to-end latency, one record at a time.

use anyhow::Result;

use super::median;
use crate::report::{Figure, Target};
use crate::systems::{Programs, Systems};
use crate::{java, librdkafka};

const TOPIC: &str = "latency";
const RECORDS: u64 = 10_000;

pub(crate) fn end_to_end(programs: &Programs, systems: &mut Systems, rounds: usize) -> Result<Vec<Figure>> {
    for system in systems.both() {
        librdkafka::create_topic(&system.bootstrap, TOPIC, 1)?;
    }
    let mut samples = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        for (system, of_system) in systems.both().into_iter().zip(&mut samples) {
            let percentiles = java::end_to_end_ms(programs, &system.bootstrap, TOPIC, RECORDS)?;
            if round > 0 {
                of_system.push(percentiles);
            }
        }
    }
    for system in systems.both() {
        librdkafka::delete_topic(&system.bootstrap, TOPIC)?;
    }
    let of = |field: fn(&java::Latency) -> f64| {
        let [kafka, taffrail] = &samples;
        (median(kafka.iter().map(field).collect()), median(taffrail.iter().map(field).collect()))
    };
    Ok(vec![
        Figure::new("P7", "EndToEndLatency mean", "ms", of(|p| p.mean), None),
        Figure::new("P7", "EndToEndLatency p99", "ms", of(|p| p.p99), Some(Target::RatioMax(1.0 / 3.0))),
        Figure::new("P7", "EndToEndLatency p99.9", "ms", of(|p| p.p999), None),
    ])
}
