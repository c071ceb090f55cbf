//! Replicas and a controller in one deterministic loop with faults: whatever happens, what was promised is kept. And the
//! proof that it would be seen: with a rule broken, some seed ends in a violation.

mod checker;
mod cluster;
mod controller;
mod disk;
mod node;
mod random;

use cluster::{Cluster, Coverage};

use crate::rule::{Rule, break_rule};

const STEPS: usize = 4_000;

/// Runs one seed; the error says what was seen, and when.
fn run(seed: u64) -> Result<Coverage, String> {
    let mut cluster = Cluster::new(seed);
    for step in 0..STEPS {
        cluster.step().map_err(|violation| format!("seed {seed}, step {step}: {violation}"))?;
    }
    Ok(cluster.coverage())
}

/// `SEEDS=from..to` runs others, or many more.
fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let Ok(asked) = std::env::var("SEEDS") else { return default };
    let (from, to) = asked.split_once("..").expect("SEEDS=from..to");
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[test]
fn every_promise_is_kept_under_faults() {
    let mut total = Coverage::default();
    for seed in seeds(0..60) {
        let seen = run(seed).unwrap_or_else(|violation| panic!("{violation}"));
        total.acknowledged += seen.acknowledged;
        total.leaders += seen.leaders;
        total.elr_elections += seen.elr_elections;
        total.truncations += seen.truncations;
        total.power_losses += seen.power_losses;
        total.repeated += seen.repeated;
    }
    println!("{total:?}");
    let has_seen_enough = total.acknowledged > 1_000
        && total.repeated > 100
        && total.leaders > 100
        && total.elr_elections > 10
        && total.truncations > 10
        && total.power_losses > 10;
    assert!(has_seen_enough || std::env::var("SEEDS").is_ok(), "too little happened: {total:?}");
}

fn is_caught(rule: Rule) {
    break_rule(Some(rule));
    let caught = (0..200).find_map(|seed| run(seed).err());
    break_rule(None);
    println!("{rule:?}: {caught:?}");
    assert!(caught.is_some(), "breaking {rule:?} goes unseen");
}

#[test]
fn a_high_watermark_that_waits_for_nobody_is_caught() {
    is_caught(Rule::HighWatermarkWaitsForFollowers);
}

#[test]
fn a_proposed_replica_that_is_not_waited_for_is_caught() {
    is_caught(Rule::PendingAdditionCounts);
}

#[test]
fn a_replica_left_behind_before_its_removal_is_committed_is_caught() {
    is_caught(Rule::PendingShrinkDoesNotCount);
}

#[test]
fn a_high_watermark_that_moves_below_min_isr_is_caught() {
    is_caught(Rule::HighWatermarkNeedsMinIsr);
}

#[test]
fn an_epoch_that_is_not_compared_is_caught() {
    is_caught(Rule::EpochsAreCompared);
}

#[test]
fn a_replica_that_joins_before_the_high_watermark_is_caught() {
    is_caught(Rule::JoinsAtHighWatermark);
}

#[test]
fn a_fetch_of_another_leader_epoch_is_caught() {
    is_caught(Rule::LeaderEpochIsChecked);
}
