//! Development tasks: code generation and the checks of `make verify` that no other tool does.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for developers, which talks on the terminal"
)]

mod chart;
mod codegen;
mod tidy;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

/// Development tasks of Taffrail.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Writes generated files.
    Codegen {
        #[command(subcommand)]
        what: codegen::What,
    },
    /// Checks what no other tool checks; writes nothing.
    Tidy,
    /// Checks the Helm chart and its alerts; needs helm and promtool.
    Chart,
}

fn main() -> anyhow::Result<()> {
    let root = workspace_root();
    match Arguments::parse().task {
        Task::Codegen { what } => codegen::run(&root, what),
        Task::Tidy => tidy::run(&root),
        Task::Chart => chart::run(&root),
    }
}

fn workspace_root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.ancestors().nth(2).expect("xtask lies in crates/xtask").to_owned()
}
