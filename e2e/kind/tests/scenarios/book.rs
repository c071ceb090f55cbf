//! The book's commands for Kubernetes, typed into a shell as they are printed, one page after the other.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use kind_e2e::{Bed, MINUTE, wait};

/// Whose commands are run, in the order in which a reader comes to them. They leave the cluster as they find it.
const PAGES: [&str; 3] = ["kubernetes.md", "scaling.md", "upgrades.md"];
const PLACE: &str = "book";

pub(crate) fn commands(bed: &Bed) -> Result<()> {
    bed.namespace(PLACE)?;
    for page in PAGES {
        let commands = printed(page)?;
        ensure!(!commands.is_empty(), "{page} has no command");
        for command in commands {
            bed.shell(PLACE, &command).with_context(|| format!("{page}: {command}"))?;
            // What was restarted by hand comes back before the next line is typed.
            if command.contains("taffrail.dev/restart=") {
                wait("the Pod's return", MINUTE * 5, || returned(bed))?;
            }
        }
    }
    bed.kubectl(&["delete", "namespace", PLACE, "--timeout=180s"]).map(drop)
}

/// The lines of a page that are printed as commands.
fn printed(page: &str) -> Result<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/book/src/guide").join(page);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
    Ok(lines.filter(|line| line.starts_with("kubectl ")).map(str::to_owned).collect())
}

fn returned(bed: &Bed) -> Result<Option<()>> {
    let pod = ["get", "pod", "demo-broker-1", "--output"];
    let annotations = "jsonpath={.metadata.annotations}{.status.conditions[?(@.type==\"Ready\")].status}";
    let said = bed.kubectl(&[&["--namespace", PLACE], &pod[..], &[annotations]].concat())?;
    Ok((said.ends_with("True") && !said.contains("taffrail.dev/restart")).then_some(()))
}
