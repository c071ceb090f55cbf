//! Two thousand topics: what an operator does about them when it begins.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kind_e2e::{Bed, MINUTE, wait};

use crate::operators::{MEMORY, Written, metric, stop_operator};

const TOPICS: usize = 2000;
/// In which all of them have been looked at.
const LOOKED_AT: Duration = Duration::from_secs(60);
/// What the operator takes once they are gone. Each of them copied what was known of all the others: that took 95 MB, most of
/// which the allocator could not give back.
const LEFT_BEHIND_MAX: f64 = 64e6;
const STEADY: &str = "taffrail_operator_reconciles_steady_total{kind=\"KafkaTopic\"}";

pub(crate) fn restarted(bed: &Bed) -> Result<()> {
    let topic = |number: usize| {
        format!(
            "{{apiVersion: taffrail.dev/v1alpha1, kind: KafkaTopic, metadata: {{name: many-{number}}}, \
             spec: {{clusterRef: {{name: full}}, partitions: 1, replicas: 1}}}}\n"
        )
    };
    let topics: Vec<_> = (0..TOPICS).map(topic).collect();
    let begun = Instant::now();
    bed.apply(&topics.join("---\n"))?;
    // kubectl wait would begin a watch for each, one after the other.
    let ready = "--output=jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
    wait("all topics to be Ready", MINUTE * 10, || {
        let said = bed.kubectl(&["get", "kafkatopics", ready])?;
        let count = said.split(' ').filter(|status| *status == "True").count();
        ensure!(count >= TOPICS, "{count} of {TOPICS}");
        Ok(Some(()))
    })?;
    println!("{TOPICS} topics in {:.0} s", begun.elapsed().as_secs_f64());

    let before = Written::so_far(bed)?.others.len();
    stop_operator(bed)?;
    let begun = Instant::now();
    wait("all topics to be looked at", MINUTE * 2, || {
        let looked_at = metric(bed, STEADY)?;
        ensure!(looked_at >= TOPICS as f64, "{looked_at} of {TOPICS}");
        Ok(Some(()))
    })?;
    let took = begun.elapsed();
    let memory = metric(bed, MEMORY)?;
    println!(
        "the next operator has looked at all of them after {:.0} s, {:.1} MB",
        took.as_secs_f64(),
        memory / 1e6
    );
    ensure!(took < LOOKED_AT, "{took:?}");
    let written = Written::so_far(bed)?.others;
    ensure!(written.len() == before, "{:#?}", &written[before..]);

    // All at once; kubectl would wait for one after the other.
    let begun = Instant::now();
    bed.kubectl(&["delete", "kafkatopics", "--all", "--wait=false"])?;
    wait("no topic to be left", MINUTE * 5, || {
        let left = bed.kubectl(&["get", "kafkatopics", "--output=name"])?.lines().count();
        ensure!(left == 0, "{left} are left");
        Ok(Some(()))
    })?;
    let memory = metric(bed, MEMORY)?;
    println!("all of them are gone after {:.0} s, {:.1} MB", begun.elapsed().as_secs_f64(), memory / 1e6);
    ensure!(memory < LEFT_BEHIND_MAX, "{memory} bytes");
    Ok(())
}
