//! Generated files. Each generator writes below a root that it is given, or says what it would write, so that `tidy` can
//! compare.

pub(crate) mod crds;
pub(crate) mod dashboards;
pub(crate) mod protocol;

use std::path::Path;

use anyhow::ensure;
use clap::Subcommand;

use crate::tidy::generated;

/// What to generate.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Kafka's messages, from the committed schemas.
    Protocol {
        /// Gets the schemas from Kafka's jars on Maven Central first.
        #[arg(long)]
        refresh: bool,
    },
    /// The custom resource definitions, bare and in the Helm chart.
    Crds {
        /// Writes nothing and fails if a file is not current.
        #[arg(long)]
        check: bool,
    },
    /// Grafana's dashboards in the Helm chart, from their short form in `dashboards/`.
    Dashboards,
}

pub(crate) fn run(root: &Path, what: What) -> anyhow::Result<()> {
    match what {
        What::Protocol { refresh } => {
            if refresh {
                protocol::refresh(root)?;
            }
            protocol::generate(root, root)
        }
        What::Dashboards => dashboards::generate(root),
        What::Crds { check: false } => crds::generate(root),
        What::Crds { check: true } => {
            let findings = generated::definitions(root)?;
            ensure!(findings.is_empty(), "{}", findings.join("\n"));
            Ok(())
        }
    }
}
