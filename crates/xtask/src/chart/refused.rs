//! Values that the chart has to refuse, each with a message that says where and what to write.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use crate::tidy::Findings;

#[derive(Debug, Deserialize)]
struct Case {
    values: serde_yaml::Value,
    says: Vec<String>,
}

pub(super) fn check(root: &Path) -> anyhow::Result<Findings> {
    let path = root.join("charts/tests/refused.yaml");
    let cases: Vec<Case> = serde_yaml::from_str(&fs::read_to_string(&path)?).context("refused.yaml")?;
    let folder = tempfile::tempdir()?;
    let values = folder.path().join("values.yaml");
    let mut findings = Findings::new();
    for case in cases {
        let text = serde_yaml::to_string(&case.values)?;
        fs::write(&values, &text)?;
        match super::render(root, &values)? {
            Ok(_) => findings.push(format!("accepted: {text}")),
            Err(message) => {
                let missing = case.says.iter().filter(|says| !message.contains(*says));
                findings.extend(missing.map(|says| format!("{text}is refused without {says:?}: {message}")));
            }
        }
    }
    Ok(findings)
}
