//! What no other tool checks: who imports whom, generated files, heads of files, links. Each check is a function from
//! what it looks at to what is wrong with it, so that its tests can show it something bad; reading the tree is done here.

mod dependencies;
pub(crate) mod generated;
mod imports;
mod links;
mod reasons;
mod sizes;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Text files of the tree by their path from the root, with `/`.
pub(crate) type Texts = BTreeMap<String, String>;

/// What makes `make verify` fail, one line a finding.
pub(crate) type Findings = Vec<String>;

/// Checks everything, prints what is wrong and which files and functions are longest, and fails if anything is wrong.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let rust = read_texts(root, &["crates", "broker", "operator", "bench", "e2e", "fuzz"], "rs")?;
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md"))?;

    let mut findings = dependencies::check(root, &architecture)?;
    findings.extend(generated::messages(root)?);
    findings.extend(generated::definitions(root)?);
    findings.extend(generated::dashboards(root)?);
    findings.extend(heads(&rust));
    findings.extend(imports::check(&rust));
    findings.extend(links::check(&markdown(root)?, |path| root.join(path).exists()));

    let explained = ["docs/book/src/reference/operator.md", "docs/book/src/guide/failures.md"];
    let explained = explained.map(|page| fs::read_to_string(root.join(page)));
    findings.extend(reasons::check(&rust, &explained.into_iter().collect::<Result<String, _>>()?));

    sizes::print(&rust);
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    println!("tidy: {} Rust files, nothing to say", rust.len());
    Ok(())
}

/// Every file says what it owns before anything else.
fn heads(rust: &Texts) -> Findings {
    let headless = rust.iter().filter(|(_, text)| !text.starts_with("//!"));
    headless.map(|(path, _)| format!("{path}: does not start with //!")).collect()
}

fn markdown(root: &Path) -> anyhow::Result<Texts> {
    let mut texts = read_texts(root, &["docs"], "md")?;
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            texts.insert(relative(root, &path), fs::read_to_string(&path)?);
        }
    }
    Ok(texts)
}

fn read_texts(root: &Path, folders: &[&str], extension: &str) -> anyhow::Result<Texts> {
    let mut texts = Texts::new();
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = waiting.pop() {
        if !folder.exists() || folder.ends_with("target") {
            continue;
        }
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                texts.insert(relative(root, &path), text);
            }
        }
    }
    Ok(texts)
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
pub(crate) fn texts<const N: usize>(files: [(&str, &str); N]) -> Texts {
    files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_head_is_found() {
        let rust = texts([("a.rs", "//! Owns a.\n"), ("b.rs", "use a;\n")]);
        assert_eq!(heads(&rust), ["b.rs: does not start with //!"]);
    }
}
