//! `taffrail completions`.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

/// Arguments of `taffrail completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Your shell
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    // Into memory first: the generator panics when the reader goes away.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::args::Cli::command(), "taffrail", &mut script);
    Ok(io::stdout().write_all(&script)?)
}
