//! The file that `dev` runs: read, watched, and as the cluster's topics. Knows no process.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use resources::{DeletionPolicy, KafkaTopic, Manifests};

use super::topics::Wanted;

/// The file and what was last seen of it.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
}

impl File {
    pub(super) fn new(path: &Path) -> File {
        File { path: path.to_owned(), seen: None }
    }

    /// Reads and checks it.
    pub(super) fn read(&mut self) -> anyhow::Result<Manifests> {
        self.seen = self.stamp();
        let text = std::fs::read_to_string(&self.path)
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        resources::load(&text).with_context(|| self.path.display().to_string())
    }

    /// Whether it changed since it was read. An editor may replace it and leave a moment without any file.
    pub(super) fn has_changed(&self) -> bool {
        self.stamp().is_some_and(|now| Some(now) != self.seen)
    }

    fn stamp(&self) -> Option<(SystemTime, u64)> {
        let metadata = std::fs::metadata(&self.path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }
}

/// The topics of the file.
pub(super) fn wanted(topics: &[KafkaTopic]) -> Vec<Wanted> {
    let wanted = |topic: &KafkaTopic| Wanted {
        name: topic.topic_name().to_owned(),
        partitions: topic.spec.partitions,
        replicas: i16::try_from(topic.spec.replicas).unwrap_or(i16::MAX),
        config: topic.spec.config.0.clone(),
        is_deleted_with_resource: topic.spec.deletion_policy == DeletionPolicy::Delete,
    };
    topics.iter().map(wanted).collect()
}
