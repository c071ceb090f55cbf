//! What the replicas of a partition hold, from the bytes of their segments: nobody of the cluster is asked.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;
use record::Batches;

use crate::ledger::{FinalLog, Part, RecordId};

/// Compares the replicas of a partition in these folders of nodes; what is wrong, or what all of them hold.
pub fn compare(part: &Part, folders: &[&Path], replicas: usize) -> Result<FinalLog, String> {
    let mut found: Vec<(&Path, Vec<u8>)> = Vec::new();
    for folder in folders {
        let replica = folder.join(format!("{}-{}", part.0, part.1));
        if replica.is_dir() {
            found.push((folder, read(&replica).map_err(|error| format!("{error:#}"))?));
        }
    }
    if found.len() != replicas {
        return Err(format!("replicas equal: {part:?} has {} replicas and not {replicas}", found.len()));
    }
    let (first, whole) = &found[0];
    if let Some((other, bytes)) = found.iter().find(|(_, bytes)| bytes != whole) {
        return Err(format!(
            "replicas equal: {part:?} is {} bytes in {} and {} in {}, equal as far as {}",
            whole.len(),
            first.display(),
            bytes.len(),
            other.display(),
            whole.iter().zip(bytes).take_while(|(a, b)| a == b).count()
        ));
    }
    parse(part, whole.clone().into())
}

/// All segments, one after the other: replicas may roll theirs at different places.
fn read(replica: &Path) -> Result<Vec<u8>> {
    let entries = replica.read_dir().with_context(|| replica.display().to_string())?;
    let mut segments: BTreeMap<String, _> = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".log") {
            segments.insert(name, entry.path());
        }
    }
    let mut whole = Vec::new();
    for path in segments.values() {
        whole.extend(std::fs::read(path).with_context(|| path.display().to_string())?);
    }
    Ok(whole)
}

fn parse(part: &Part, bytes: Bytes) -> Result<FinalLog, String> {
    let mut log = FinalLog::new();
    let mut next = 0;
    for batch in Batches::new(bytes) {
        let batch =
            batch.map_err(|error| format!("replicas equal: {part:?} has a batch that is none: {error}"))?;
        if !batch.is_intact() {
            return Err(format!("replicas equal: {part:?} has a wrong checksum near offset {next}"));
        }
        for record in batch.records().into_iter().flatten().flatten() {
            if record.offset.0 != next {
                return Err(format!("offsets: {part:?} has {} where {next} comes", record.offset.0));
            }
            next += 1;
            let id = record.value.as_deref().and_then(RecordId::parse);
            log.insert(
                record.offset.0,
                id.ok_or_else(|| format!("{part:?} has a strange record at {}", next - 1))?,
            );
        }
    }
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_that_differ_or_are_missing_are_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let nodes: Vec<_> = (0..3).map(|node| folder.path().join(node.to_string())).collect();
        let part: Part = ("t".to_owned(), 0);
        for node in &nodes[..2] {
            std::fs::create_dir_all(node.join("t-0")).expect("a folder");
            std::fs::write(node.join("t-0/00000000000000000000.log"), "").expect("a segment");
        }
        let paths: Vec<&Path> = nodes.iter().map(|path| path.as_path()).collect();
        assert!(compare(&part, &paths, 2).is_ok());
        assert!(compare(&part, &paths, 3).expect_err("one is missing").contains("2 replicas"));
        std::fs::write(nodes[1].join("t-0/00000000000000000000.log"), "x").expect("a segment");
        assert!(compare(&part, &paths, 2).expect_err("they differ").contains("equal as far as 0"));
    }
}
