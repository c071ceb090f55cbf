//! The schemas from Kafka's jars, bare: without comments, prose, and hints for Java.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Map, Value};

use super::CRATE;

const KAFKA_VERSION: &str = "4.4.0";

/// Jar, folder of definitions in it, our family.
const SOURCES: [(&str, &str, &str); 5] = [
    ("kafka-clients", "common/message/", "message"),
    ("kafka-metadata", "common/metadata/", "metadata"),
    ("kafka-group-coordinator", "common/message/", "group"),
    ("kafka-transaction-coordinator", "common/message/", "transaction"),
    ("kafka-storage", "message/ProducerSnapshot", "storage"),
];

/// What a schema keeps; the rest is prose or for Kafka's Java generator.
const KEPT: [&str; 17] = [
    "apiKey",
    "type",
    "listeners",
    "name",
    "latestVersionUnstable",
    "validVersions",
    "flexibleVersions",
    "fields",
    "commonStructs",
    "versions",
    "nullableVersions",
    "taggedVersions",
    "tag",
    "default",
    "ignorable",
    "mapKey",
    "entityType",
];

/// Replaces the committed schemas.
pub(crate) fn refresh(root: &Path) -> anyhow::Result<()> {
    let jars = std::env::temp_dir().join(format!("taffrail-codegen-{}", std::process::id()));
    fs::create_dir_all(&jars)?;
    for (artifact, definitions, family) in SOURCES {
        download(artifact, &jars)?;
        let jar = jars.join(format!("{artifact}-{KAFKA_VERSION}.jar"));
        extract(&jar, definitions, &root.join(CRATE).join("schema").join(family))?;
    }
    fs::remove_dir_all(&jars)?;
    Ok(())
}

fn download(artifact: &str, folder: &Path) -> anyhow::Result<()> {
    let status = Command::new("mvn")
        .args(["--quiet", "--batch-mode", "dependency:copy"])
        .arg(format!("-Dartifact=org.apache.kafka:{artifact}:{KAFKA_VERSION}"))
        .arg(format!("-DoutputDirectory={}", folder.display()))
        .status()
        .context("mvn did not start")?;
    ensure!(status.success(), "mvn could not get {artifact}");
    Ok(())
}

fn extract(jar: &Path, definitions: &str, folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let mut archive = zip::ZipArchive::new(File::open(jar)?)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let path = entry.name()?.into_owned();
        if !path.starts_with(definitions) || !path.ends_with(".json") {
            continue;
        }
        let mut text = String::new();
        entry.read_to_string(&mut text)?;
        let schema: Value = serde_json::from_str(&without_comments(&text)).with_context(|| path.clone())?;
        let name = path.rsplit('/').next().expect("a path has a last part");
        fs::write(folder.join(name), render(&bare(schema)))?;
    }
    Ok(())
}

/// No string in Kafka's definitions holds `//` once the prose is gone, but the prose may.
fn without_comments(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut in_string = false;
        let mut end = line.len();
        for (i, letter) in line.char_indices() {
            match letter {
                '"' => in_string = !in_string,
                '/' if !in_string && line[i..].starts_with("//") => {
                    end = i;
                    break;
                }
                _ => {}
            }
        }
        out.push_str(&line[..end]);
        out.push('\n');
    }
    out
}

fn bare(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(bare).collect()),
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(key, _)| KEPT.contains(&key.as_str()));
            Value::Object(kept.map(|(key, value)| (key, bare(value))).collect())
        }
        other => other,
    }
}

/// A line per field, as Kafka writes them: differences between two releases read well.
fn render(schema: &Value) -> String {
    let mut out = String::new();
    let members = schema.as_object().expect("a schema is an object");
    render_members(&mut out, members, 1);
    out.push('\n');
    out
}

fn render_members(out: &mut String, members: &Map<String, Value>, depth: usize) {
    let is_root = depth == 1;
    let indent = "  ".repeat(depth);
    out.push('{');
    let mut separator = "";
    for (key, value) in members {
        out.push_str(separator);
        out.push_str(&if is_root { format!("\n{indent}") } else { " ".to_owned() });
        let _ = write!(out, "{key:?}: ");
        match value {
            Value::Array(items) if items.iter().any(Value::is_object) => {
                out.push('[');
                let mut separator = "";
                for item in items.iter().filter_map(Value::as_object) {
                    let _ = write!(out, "{separator}\n{indent}  ");
                    render_members(out, item, depth + 1);
                    separator = ",";
                }
                let _ = write!(out, "\n{indent}]");
            }
            value => {
                let _ = write!(out, "{value}");
            }
        }
        separator = ",";
    }
    out.push_str(if is_root { "\n}" } else { " }" });
}
