//! Both sides under test: clusters of one or three brokers of each, started together and stopped when dropped.

mod limits;
mod system;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

pub(crate) use limits::MemoryLimit;
pub(crate) use system::{Name, System};

/// What a run needs to start brokers: the programs, and a folder for their data.
#[derive(Debug)]
pub(crate) struct Programs {
    kafka: PathBuf,
    taffrail: PathBuf,
    data: PathBuf,
}

/// How the clusters of a row are set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Brokers of each cluster; with three of them a record is acknowledged by at least two.
    pub(crate) nodes: usize,
    /// The Java heap of each of Kafka's brokers.
    pub(crate) kafka_heap: &'static str,
}

impl Setup {
    pub(crate) const ONE: Setup = Setup { nodes: 1, kafka_heap: "1G" };
    pub(crate) const THREE: Setup = Setup { nodes: 3, kafka_heap: "1G" };
}

/// Both clusters, running.
#[derive(Debug)]
pub(crate) struct Systems {
    pub(crate) kafka: System,
    pub(crate) taffrail: System,
}

impl Programs {
    pub(crate) fn new(kafka: &Path, taffrail: &Path, data: &Path) -> Result<Programs> {
        Ok(Programs {
            kafka: kafka.canonicalize().context("the Kafka peer program")?,
            taffrail: taffrail.canonicalize().context("the Taffrail binary")?,
            data: data.to_owned(),
        })
    }

    /// Starts new clusters over empty folders.
    pub(crate) fn start(&self, setup: Setup) -> Result<Systems> {
        let kafka = self.system(Name::Kafka, setup)?;
        let taffrail = self.system(Name::Taffrail, setup)?;
        Ok(Systems { kafka, taffrail })
    }

    /// Starts a new cluster of one side.
    pub(crate) fn system(&self, name: Name, setup: Setup) -> Result<System> {
        let (program, folder) = match name {
            Name::Kafka => (&self.kafka, "kafka"),
            Name::Taffrail => (&self.taffrail, "taffrail"),
        };
        System::found(name, program, &self.data.join(folder), setup)
    }

    /// Runs one of Kafka's own tools and gives back what it printed on standard output. An exception that it printed, of
    /// a failed delivery for one, is its failure, whatever it says with its exit status.
    pub(crate) fn java_tool(&self, class: &str, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.kafka).arg("tool").arg(class).args(arguments).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || errors.contains("Exception") {
            bail!("{class} failed: {errors}");
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Systems {
    /// Both, in the order in which a round measures them.
    pub(crate) fn both(&self) -> [&System; 2] {
        [&self.kafka, &self.taffrail]
    }

    /// The same, to start and stop them.
    pub(crate) fn both_mut(&mut self) -> [&mut System; 2] {
        [&mut self.kafka, &mut self.taffrail]
    }
}
