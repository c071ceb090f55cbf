//! Whether generated files are what their generators would write today.

use std::fs;
use std::path::Path;

use super::{Findings, Texts, read_texts};
use crate::codegen::{crds, dashboards as boards, protocol};

/// The folders that hold nothing but messages.
fn folders() -> Vec<String> {
    protocol::FAMILIES.iter().map(|(_, folder)| format!("crates/core/protocol/src/{folder}")).collect()
}

/// The protocol crate's messages.
pub(super) fn messages(root: &Path) -> anyhow::Result<Findings> {
    let elsewhere = tempfile::tempdir()?;
    protocol::generate(root, elsewhere.path())?;
    let folders = folders();
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    let committed = read_texts(root, &folders, "rs")?;
    let fresh = read_texts(&fs::canonicalize(elsewhere.path())?, &folders, "rs")?;
    Ok(differences(&committed, &fresh))
}

/// The custom resource definitions.
pub(crate) fn definitions(root: &Path) -> anyhow::Result<Findings> {
    let mut committed = read_texts(root, &["crds", "charts"], "yaml")?;
    committed.retain(|path, _| path.starts_with("crds/") || path.contains("/templates/crd-"));
    Ok(differences(&committed, &crds::files()?))
}

/// Grafana's dashboards.
pub(super) fn dashboards(root: &Path) -> anyhow::Result<Findings> {
    let committed = read_texts(root, &["charts/taffrail-operator/files/dashboards"], "json")?;
    Ok(differences(&committed, &boards::files(root)?))
}

fn differences(committed: &Texts, fresh: &Texts) -> Findings {
    let mut findings = Findings::new();
    for (path, text) in fresh {
        if committed.get(path) != Some(text) {
            findings.push(format!("{path}: not what its generator writes; run `make fix`"));
        }
    }
    for path in committed.keys().filter(|path| !fresh.contains_key(*path)) {
        findings.push(format!("{path}: no generator writes it"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::texts;

    #[test]
    fn changed_missing_and_left_over_files_are_found() {
        let fresh = texts([("same.rs", "1"), ("changed.rs", "2"), ("missing.rs", "3")]);
        let committed = texts([("same.rs", "1"), ("changed.rs", "edited"), ("left.rs", "4")]);
        let findings = differences(&committed, &fresh);
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings[2].starts_with("left.rs"));
    }

    #[test]
    fn the_definitions_say_what_the_types_say() {
        let findings = definitions(&crate::workspace_root()).expect("the tree can be read");
        assert!(findings.is_empty(), "{findings:#?}");
    }
}
