//! Rust from Kafka's message definitions: `schema/FAMILY/*.json` of the protocol crate in, a file per message out.
//! Knows nothing of the primitives but their names.

mod fields;
mod files;
mod refresh;
mod schema;
mod structs;

pub(crate) use refresh::refresh;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use schema::Schema;

/// The crate that gets the generated files.
const CRATE: &str = "crates/core/protocol";

/// Folders of schemas, and the folder of Rust files that each becomes.
pub(crate) const FAMILIES: [(&str, &str); 5] = [
    ("message", "messages"),
    ("metadata", "records/metadata"),
    ("group", "records/group"),
    ("transaction", "records/transaction"),
    ("storage", "records/storage"),
];

/// Reads the schemas below `root` and writes the Rust files below `out`.
pub(crate) fn generate(root: &Path, out: &Path) -> anyhow::Result<()> {
    let mut written = Vec::new();
    for (family, folder) in FAMILIES {
        let schemas = read_family(&root.join(CRATE).join("schema").join(family))?;
        let target = out.join(CRATE).join("src").join(folder);
        written.extend(replace_folder(&target, &files::family(family, &schemas)?)?);
    }
    format(root, &written)
}

fn read_family(folder: &Path) -> anyhow::Result<Vec<Schema>> {
    let mut schemas = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("no schemas in {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let schema: Schema = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        // An API without versions was removed from Kafka; only its number stays taken.
        if schema.valid_versions != "none" {
            schemas.push(schema);
        }
    }
    schemas.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(schemas)
}

/// Makes `folder` hold exactly `files`.
fn replace_folder(folder: &Path, files: &BTreeMap<String, String>) -> anyhow::Result<Vec<PathBuf>> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let mut written = Vec::new();
    for (name, content) in files {
        let path = folder.join(name);
        fs::write(&path, content)?;
        written.push(path);
    }
    Ok(written)
}

fn format(root: &Path, files: &[PathBuf]) -> anyhow::Result<()> {
    let status = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root.join("rustfmt.toml"))
        .args(files)
        .status()
        .context("rustfmt did not start")?;
    if !status.success() {
        bail!("rustfmt failed");
    }
    Ok(())
}
