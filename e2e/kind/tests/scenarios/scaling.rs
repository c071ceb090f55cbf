//! Scenarios of a number of brokers, or of a topic's replicas, that changes. They share the cluster of three, and leave it with three.

use anyhow::{Result, ensure};
use kind_e2e::{Bed, MINUTE, wait};
use serde_json::{Value, json};

use crate::brokers::trio;
use crate::topics;

pub(crate) fn grown(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    let load = trio.load("flights")?;
    trio.scale(5)?;
    trio.settled(MINUTE * 4)?;
    load.end()?;
    trio.is_balanced(5)
}

pub(crate) fn shrunk(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    let load = trio.load("flights")?;
    trio.scale(3)?;
    trio.settled(MINUTE * 4)?;
    load.end()?;
    let counts = trio.replicas()?;
    ensure!(counts.keys().copied().eq(0..3), "{counts:?}");
    // A volume that is to be retained is there.
    trio.claim(4).map(drop)
}

pub(crate) fn shrinking_refused(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    trio.scale(2)?;
    trio.says("Stalled", &["True ScaleDownBlocked", "has 3 replicas"], MINUTE)?;
    let set = trio.stateful_set()?;
    ensure!(set.spec.and_then(|spec| spec.replicas) == Some(3), "it was scaled all the same");
    trio.scale(3)?;
    trio.settled(MINUTE)
}

pub(crate) fn reversed(bed: &Bed) -> Result<()> {
    let trio = trio(bed);
    let all_have_some = || {
        let counts = trio.replicas()?;
        ensure!(counts.len() == 5 && counts.values().all(|count| *count > 0), "{counts:?}");
        Ok(())
    };
    let rate = |bytes_per_second: Value| json!({ "bytesPerSecond": bytes_per_second });
    let slow = json!({ "replicas": 5, "rebalance": rate(json!(1 << 20)) });
    trio.patch(json!({ "spec": { "brokers": slow } }))?;
    trio.settled(MINUTE * 5)?;
    all_have_some()?;
    trio.scale(3)?;
    wait("a cordon", MINUTE, || Ok(trio.state()?["brokers"][4]["isCordoned"].as_bool().filter(|is| *is)))?;
    trio.scale(5)?;
    trio.settled(MINUTE * 5)?;
    all_have_some()?;
    // And down with volumes that are not to stay.
    let storage = json!({ "persistent": { "whenScaled": "Delete" } });
    let few = json!({ "replicas": 3, "rebalance": rate(Value::Null), "storage": storage });
    trio.patch(json!({ "spec": { "brokers": few } }))?;
    trio.settled(MINUTE * 4)?;
    bed.gone("pvc/data-trio-broker-4", MINUTE)
}

pub(crate) fn replication_changed(bed: &Bed) -> Result<()> {
    [1, 3].into_iter().try_for_each(|replicas| flights(bed, replicas, json!({})))
}

/// Gives the topic so many replicas and such configurations.
pub(crate) fn flights(bed: &Bed, replicas: i32, config: Value) -> Result<()> {
    let patch = json!({ "spec": { "replicas": replicas, "config": config } }).to_string();
    bed.kubectl(&["patch", "tkt", "flights", "--type=merge", "--patch", &patch])?;
    wait("as many replicas", MINUTE * 2, || {
        let ready = topics::ready(bed, "flights")?;
        let has = topics::read(bed, "flights")?.status.and_then(|status| status.replicas);
        ensure!(ready.starts_with("True") && has == Some(replicas), "{has:?} replicas; {ready}");
        Ok(Some(()))
    })
}
