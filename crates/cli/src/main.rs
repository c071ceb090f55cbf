//! The `taffrail` binary: brokers, the operator, a local cluster and the command line, in one program.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line speaks through its standard streams"
)]

mod args;
mod base64;
mod commands;
mod connect;
mod failure;
mod output;
mod signals;
mod time;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}
