//! One file per command.

pub(crate) mod broker;
pub(crate) mod completions;
pub(crate) mod configs;
pub(crate) mod consume;
pub(crate) mod crds;
pub(crate) mod dev;
pub(crate) mod groups;
pub(crate) mod log;
pub(crate) mod operator;
pub(crate) mod produce;
pub(crate) mod quorum;
pub(crate) mod topics;

use std::future::Future;
use std::process::ExitCode;

use crate::args::{Cli, Command};

/// Runs the command that was asked for.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Dev(args) => block_on(dev::run(args)),
        Command::Broker(args) => broker::run(&args),
        Command::Operator(args) => block_on(operator::run(args)),
        Command::Crds => crds::run(),
        Command::Log(args) => log::run(&args),
        Command::Topics(args) => block_on(topics::run(args)),
        Command::Produce(args) => block_on(produce::run(args)),
        Command::Consume(args) => block_on(consume::run(args)),
        Command::Groups(args) => block_on(groups::run(args)),
        Command::Configs(args) => block_on(configs::run(args)),
        Command::Quorum(args) => block_on(quorum::run(args)),
        Command::Completions(args) => completions::run(&args),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// A command needs one thread.
fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(Box::pin(command));
    // A read of the standard input may go on for ever, and the process ends with or without it.
    runtime.shutdown_background();
    result
}
