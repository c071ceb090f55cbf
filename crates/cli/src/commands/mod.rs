//! One file per command.

pub(crate) mod completions;
pub(crate) mod configs;
pub(crate) mod groups;
pub(crate) mod topics;

use std::future::Future;
use std::process::ExitCode;

use crate::args::{Cli, Command};

/// Runs the command that was asked for.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Topics(args) => block_on(topics::run(args)),
        Command::Groups(args) => block_on(groups::run(args)),
        Command::Configs(args) => block_on(configs::run(args)),
        Command::Completions(args) => completions::run(&args),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// A command needs one thread.
fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(Box::pin(command))
}
