//! The commands and their order in `--help`.

use clap::{Parser, Subcommand};

use crate::commands::{
    broker, completions, configs, consume, dev, groups, log, operator, produce, quorum, topics,
};

/// Apache Kafka for Kubernetes, in Rust.
#[derive(Debug, Parser)]
#[command(name = "taffrail", version, arg_required_else_help = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole cluster on this machine, from the same YAML that Kubernetes gets
    Dev(dev::Args),
    /// Run one node
    Broker(broker::Args),
    /// Run the Kubernetes operator
    Operator(operator::Args),
    /// Print the custom resource definitions
    Crds,
    /// Create, list, describe, alter and delete topics
    Topics(topics::Args),
    /// Send records: one per line of the standard input
    Produce(produce::Args),
    /// Print records, alone or as a member of a consumer group
    Consume(consume::Args),
    /// List, describe and delete consumer groups, and reset their offsets
    Groups(groups::Args),
    /// Describe and alter the configuration of topics and brokers
    Configs(configs::Args),
    /// Show who votes on the cluster's metadata, and change that
    Quorum(quorum::Args),
    /// Look into the files of a partition
    Log(log::Args),
    /// Print a script that completes these commands in your shell
    Completions(completions::Args),
}
