//! Whole brokers in one deterministic process: their files, network, clocks and chance are simulated, and one seed repeats
//! everything that happened.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to a terminal")]

pub mod faults;
pub mod history;
pub mod host;
pub mod net;
pub mod process;
pub mod properties;
pub mod run;
pub mod workload;
pub mod world;
