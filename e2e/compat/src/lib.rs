//! Taffrail against real clients, real files and real crashes: `tests/` has what is shown, and here is what the tests share,
//! those of `e2e/chaos` too. `TAFFRAIL_BIN` names the binary under test.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to a terminal")]

pub mod clients;
pub mod journal;
pub mod node;
mod orders;
pub mod scenarios;
