//! The proof that the checker sees: with one rule of the brokers broken, some seed among the first two hundred ends in a
//! violation.

#![allow(clippy::print_stdout, reason = "which seed caught what is part of the result")]

use broker::sabotage::{Rule as NodeRule, break_rule as break_node_rule};
use replication::{Rule as ReplicaRule, break_rule as break_replica_rule};
use sim::run::{RunConfig, run};

const SEEDS: u64 = 200;

/// What is broken.
#[derive(Clone, Copy, Debug)]
enum Broken {
    Node(NodeRule),
    Replica(ReplicaRule),
    /// By the topics' own configuration.
    CleanElections,
}

fn is_caught(broken: Broken) {
    is_caught_in(broken, RunConfig::new);
}

fn is_caught_in(broken: Broken, config: fn(u64) -> RunConfig) {
    let caught = (1..=SEEDS).find_map(|seed| {
        let mut config = config(seed);
        match broken {
            Broken::Node(rule) => break_node_rule(Some(rule)),
            Broken::Replica(rule) => break_replica_rule(Some(rule)),
            Broken::CleanElections => config.has_unclean_elections = true,
        }
        let outcome = run(&config);
        break_node_rule(None);
        break_replica_rule(None);
        outcome.violations.first().map(|violation| (seed, violation.clone()))
    });
    println!("{broken:?}: {caught:?}");
    assert!(caught.is_some(), "breaking {broken:?} goes unseen");
}

#[test]
fn a_high_watermark_that_waits_for_nobody_is_seen() {
    is_caught(Broken::Replica(ReplicaRule::HighWatermarkWaitsForFollowers));
}

#[test]
fn a_follower_compared_by_offset_alone_is_seen() {
    is_caught(Broken::Replica(ReplicaRule::EpochsAreCompared));
}

#[test]
fn a_follower_cut_at_its_high_watermark_is_seen() {
    is_caught(Broken::Node(NodeRule::CutsWhereLogsDiverge));
}

#[test]
fn forgotten_producers_are_seen() {
    is_caught(Broken::Node(NodeRule::ProducersAreRecovered));
}

#[test]
fn an_acknowledgement_before_the_fsync_is_seen() {
    is_caught(Broken::Node(NodeRule::FlushComesFirst));
}

#[test]
fn an_amnesiac_replica_in_sync_is_seen() {
    is_caught(Broken::Node(NodeRule::PowerLossIsTold));
}

#[test]
fn a_quorum_that_does_not_sync_is_seen() {
    is_caught(Broken::Node(NodeRule::QuorumIsSynced));
}

#[test]
fn a_forgotten_vote_is_seen() {
    is_caught(Broken::Node(NodeRule::VoteIsSynced));
}

#[test]
fn unclean_elections_are_seen() {
    is_caught(Broken::CleanElections);
}

#[test]
fn a_committed_offset_that_waits_for_nobody_is_seen() {
    is_caught_in(Broken::Node(NodeRule::OffsetsWaitForReplicas), RunConfig::wide);
}

#[test]
fn compaction_of_what_is_not_committed_is_seen() {
    is_caught_in(Broken::Node(NodeRule::CompactionStopsAtHighWatermark), RunConfig::wide);
}
