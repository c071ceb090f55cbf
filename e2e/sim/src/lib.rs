//! Whole brokers in one deterministic process: their files, network, clocks and chance are simulated, and one seed repeats
//! everything that happened.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to a terminal")]

pub mod host;
pub mod net;
pub mod process;
pub mod random;
pub mod world;
