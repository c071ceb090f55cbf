//! Generated files. Each generator writes below a root that it is given, so that `tidy` can run it elsewhere and
//! compare.

pub(crate) mod protocol;

use std::path::Path;

use clap::Subcommand;

/// What to generate.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Kafka's messages, from the committed schemas.
    Protocol {
        /// Gets the schemas from Kafka's jars on Maven Central first.
        #[arg(long)]
        refresh: bool,
    },
}

pub(crate) fn run(root: &Path, what: What) -> anyhow::Result<()> {
    match what {
        What::Protocol { refresh } => {
            if refresh {
                protocol::refresh(root)?;
            }
            protocol::generate(root, root)
        }
    }
}
