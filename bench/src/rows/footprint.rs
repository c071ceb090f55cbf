//! What a broker costs when nobody looks: memory idle and after load, and the time to come back.

use std::time::Duration;

use anyhow::Result;

use super::alternate;
use crate::report::{Figure, Target};
use crate::system::Systems;
use crate::{librdkafka, process};

const TENTH: Target = Target::RatioMax(0.1);
const TOPIC: &str = "footprint";
const PARTITIONS: i32 = 6;
/// Three times a gigabyte, the topic deleted in between, so that the disk holds one at a time.
const PASSES: usize = 3;
const RECORDS_A_PASS: u64 = 1_000_000;

pub(crate) fn idle_memory(systems: &mut Systems, _rounds: usize) -> Result<Vec<Figure>> {
    std::thread::sleep(Duration::from_secs(5));
    Ok(vec![Figure::new("P8", "resident memory, idle", "MB", resident(systems)?, Some(TENTH))])
}

pub(crate) fn memory_after_load(systems: &mut Systems, _rounds: usize) -> Result<Vec<Figure>> {
    for system in systems.both() {
        for _ in 0..PASSES {
            librdkafka::create_topic(&system.bootstrap, TOPIC, PARTITIONS)?;
            librdkafka::produce_mb_s(&system.bootstrap, TOPIC, RECORDS_A_PASS)?;
            librdkafka::consume_mb_s(&system.bootstrap, TOPIC, PARTITIONS, RECORDS_A_PASS)?;
            librdkafka::delete_topic(&system.bootstrap, TOPIC)?;
        }
    }
    Ok(vec![Figure::new("P8", "resident memory after 3 GB", "MB", resident(systems)?, Some(TENTH))])
}

pub(crate) fn restart(systems: &mut Systems, rounds: usize) -> Result<Vec<Figure>> {
    let seconds = alternate(systems, rounds, |systems, i| {
        let system = if i == 0 { &mut systems.kafka } else { &mut systems.taffrail };
        Ok(system.restart()?.as_secs_f64())
    })?;
    let target = Some(Target::ValueMax(0.2));
    Ok(vec![Figure::new("P10", "one node, start to first answer", "s", seconds, target)])
}

fn resident(systems: &Systems) -> Result<(f64, f64)> {
    let [kafka, taffrail] = systems.both();
    Ok((process::resident_mb(kafka.pid()?)?, process::resident_mb(taffrail.pid()?)?))
}
