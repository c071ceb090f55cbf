//! The Helm chart as helm renders it: compared with golden files, values that have to be refused, alerts that have to fire.
//! Knows no template; what helm and promtool say is what counts.

mod alerts;
mod golden;
mod refused;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The Kubernetes that helm is to think of: the chart refuses old ones, and helm knows none when it only renders.
const KUBERNETES: &str = "1.34.0";

/// Checks all, or with `UPDATE_GOLDEN=1` writes the golden files anew.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let is_update = std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1");
    let mut findings = golden::check(root, is_update)?;
    findings.extend(refused::check(root)?);
    findings.extend(alerts::check(root)?);
    for finding in &findings {
        eprintln!("chart: {finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    println!("chart: ok");
    Ok(())
}

/// What helm makes of the chart with a file of values: the text, or what it says against them.
fn render(root: &Path, values: &Path) -> anyhow::Result<Result<String, String>> {
    let mut helm = Command::new("helm");
    helm.args(["template", "taffrail"]).arg(root.join("charts/taffrail-operator"));
    helm.args(["--namespace", "taffrail", "--kube-version", KUBERNETES, "--values"]).arg(values);
    output(&mut helm)
}

/// Standard output of a program, or what it says about its failure.
fn output(command: &mut Command) -> anyhow::Result<Result<String, String>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{program} is needed"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr) + &text(&output.stdout)),
    })
}

/// The files of a folder with an ending, in order.
fn files(folder: &Path, ending: &str) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|found| found == ending));
    paths.sort();
    Ok(paths)
}
