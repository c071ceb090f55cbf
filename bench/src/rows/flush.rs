//! What it costs to have every record on the disk before it is acknowledged.

use anyhow::Result;

use super::alternate;
use crate::java;
use crate::librdkafka::{self, Topic};
use crate::report::{Figure, Target};
use crate::systems::{Programs, Systems};

const RECORDS: u64 = 500_000;
const NAME: &str = "flush";
const FLUSHED: &[(&str, &str)] = &[("flush.messages", "1")];

pub(crate) fn produce(programs: &Programs, systems: &mut Systems, rounds: usize) -> Result<Vec<Figure>> {
    let mut rates = |configs: &'static [(&'static str, &'static str)]| {
        alternate(systems, rounds, |systems, i| {
            let bootstrap = &systems.both()[i].bootstrap;
            librdkafka::create(bootstrap, Topic { name: NAME, partitions: 6, replicas: 1, configs })?;
            let rate = java::produce_mb_s(programs, bootstrap, NAME, RECORDS);
            librdkafka::delete_topic(bootstrap, NAME)?;
            rate
        })
    };
    let without = rates(&[])?;
    let with = rates(FLUSHED)?;
    let share = (100.0 * with.0 / without.0, 100.0 * with.1 / without.1);
    Ok(vec![
        Figure::new("P14", "produce with flush.messages=1", "MB/s", with, None),
        Figure::new("P14", "the same, of produce without", "%", share, Some(Target::ValueMin(70.0))),
    ])
}
