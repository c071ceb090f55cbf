//! Real `taffrail` processes under faults: `kill -9` of one, of the leader, of the active controller, of all at once, SIGTERM,
//! SIGSTOP, networks that are cut, lose packets or are slow, and disks that somebody fills. Real clients work meanwhile:
//! librdkafka, and Kafka's own verifiable producer and consumer. In the end everything is healed, and what clients were told
//! is compared with the bytes on the disks.
//!
//! A run is made of rounds, each with a cluster of its own: of three nodes and of five in turn. A round's faults follow from
//! its seed, which is printed; what the machine makes of them does not, so that a seed repeats the kind of trouble and not
//! the violation. A round that did too little is a failure.
//!
//! Each node has a network of its own on a bridge, rules of nftables cut it, and every second node has a small tmpfs; all of
//! this is in namespaces of the run's own, so that nothing is left behind. Where there can be no namespaces, faults of
//! networks and disks are left out, and the run says so.
//!
//! `e2e/sim` looks for the same with simulated disks and networks; there a seed repeats everything, and machines lose power.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to a terminal")]

pub mod cluster;
pub mod coverage;
pub mod ledger;
pub mod network;
pub mod replicas;
pub mod round;
pub mod sandbox;
pub mod schedule;
pub mod workload;
