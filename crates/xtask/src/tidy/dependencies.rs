//! The table in `ARCHITECTURE.md` against what cargo knows of the crates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use super::Findings;

/// What would bring IO, a clock or chance into `crates/core`.
const NOT_IN_CORE: [&str; 3] = ["tokio", "rand", "getrandom"];

/// `from` may be imported by `by`; both are names as the table has them.
type Allowed = BTreeSet<(String, String)>;

/// A crate of ours by the folder it lies in, from the root: `crates/core/types`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edge {
    from: String,
    by: String,
}

pub(super) fn check(root: &Path, architecture: &str) -> anyhow::Result<Findings> {
    let allowed = table(architecture).context("no table of imports in ARCHITECTURE.md")?;
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(vec!["--locked".to_owned(), "--offline".to_owned()])
        .exec()?;
    let mut findings = undeclared(&allowed, &edges(root, &metadata));
    let graph = normal_dependencies(&metadata);
    for package in metadata.workspace_packages() {
        if folder(root, package).starts_with("crates/core/") {
            findings.extend(impure(package.id.to_string(), &package.name, &graph));
        }
    }
    Ok(findings)
}

/// Reads `a, b <- c, d` from the first fenced block after the heading; several rules on a line stand two spaces apart.
fn table(architecture: &str) -> Option<Allowed> {
    let section = architecture.split("## Who may import whom").nth(1)?;
    let block = section.split("```text\n").nth(1)?.split("```").next()?;
    let mut allowed = Allowed::new();
    for rule in block.lines().flat_map(|line| line.split("   ")).filter(|rule| rule.contains("<-")) {
        let (from, by) = rule.split_once("<-")?;
        for from in from.split(',') {
            for by in by.split(',') {
                allowed.insert((from.trim().to_owned(), by.trim().to_owned()));
            }
        }
    }
    Some(allowed)
}

fn undeclared(allowed: &Allowed, edges: &[Edge]) -> Findings {
    let permits = |edge: &Edge| {
        names(&edge.from)
            .iter()
            .any(|from| names(&edge.by).iter().any(|by| allowed.contains(&(from.clone(), by.clone()))))
    };
    let undeclared = edges.iter().filter(|edge| !permits(edge));
    undeclared
        .map(|edge| {
            format!("{} imports {}, which the table in ARCHITECTURE.md does not allow", edge.by, edge.from)
        })
        .collect()
}

/// What the table may call a crate: the last part of its folder, and the group that it is in.
fn names(folder: &str) -> Vec<String> {
    let mut names = vec![folder.rsplit('/').next().unwrap_or(folder).to_owned()];
    if folder.starts_with("crates/core/") {
        names.push("core/*".to_owned());
    }
    if folder.starts_with("e2e/") {
        names.push("e2e".to_owned());
    }
    names
}

/// Tests may look at more than the code that they test; only what is shipped counts.
fn edges(root: &Path, metadata: &Metadata) -> Vec<Edge> {
    let ours: BTreeMap<&str, String> = metadata
        .workspace_packages()
        .into_iter()
        .map(|package| (package.name.as_str(), folder(root, package)))
        .collect();
    let mut edges = Vec::new();
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let from = ours.get(dependency.name.as_str());
            if let (Some(from), true) = (from, dependency.kind != DependencyKind::Development) {
                edges.push(Edge { from: from.clone(), by: folder(root, package) });
            }
        }
    }
    edges
}

fn folder(root: &Path, package: &Package) -> String {
    let folder = package.manifest_path.parent().map(|path| path.as_std_path().to_owned()).unwrap_or_default();
    super::relative(root, &folder)
}

/// By package id: the name, and the ids of what it is built with.
type Graph = BTreeMap<String, (String, Vec<String>)>;

fn normal_dependencies(metadata: &Metadata) -> Graph {
    let nodes = metadata.resolve.as_ref().map(|resolve| resolve.nodes.as_slice()).unwrap_or_default();
    let mut graph = Graph::new();
    for node in nodes {
        let normal = node
            .deps
            .iter()
            .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        let next = normal.map(|dependency| dependency.pkg.to_string()).collect();
        graph.insert(node.id.to_string(), (metadata[&node.id].name.to_string(), next));
    }
    graph
}

/// What a core crate reaches that has no place there.
fn impure(id: String, name: &str, graph: &Graph) -> Findings {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![id];
    let mut findings = Findings::new();
    while let Some(id) = waiting.pop() {
        let Some((reached, next)) = graph.get(&id) else { continue };
        if !seen.insert(id) {
            continue;
        }
        if NOT_IN_CORE.contains(&reached.as_str()) {
            findings.push(format!("{name} is a core crate and depends on {reached}"));
        }
        waiting.extend(next.iter().cloned());
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Map\n```text\nx <- y\n```\n## Who may import whom\n\n```text\ntypes <- record, storage\n\
        core/* <- broker      resources <- e2e\n```\n";

    fn edge(from: &str, by: &str) -> Edge {
        Edge { from: from.to_owned(), by: by.to_owned() }
    }

    #[test]
    fn an_edge_that_the_table_lacks_is_found() {
        let allowed = table(PAGE).expect("the page has a table");
        let good = [
            edge("crates/core/types", "crates/storage"),
            edge("crates/core/record", "broker"),
            edge("crates/resources", "e2e/kind"),
        ];
        assert_eq!(undeclared(&allowed, &good), Findings::new());
        let bad = [edge("crates/storage", "crates/core/types"), edge("crates/resources", "broker")];
        assert_eq!(undeclared(&allowed, &bad).len(), 2);
    }

    #[test]
    fn only_the_block_after_the_heading_counts() {
        let allowed = table(PAGE).expect("the page has a table");
        assert!(!allowed.contains(&("x".to_owned(), "y".to_owned())));
        assert_eq!(table("# no table"), None);
    }

    #[test]
    fn chance_behind_two_crates_is_found() {
        let node = |name: &str, next: &[&str]| {
            (name.to_owned(), (name.to_owned(), next.iter().map(|id| (*id).to_owned()).collect()))
        };
        let graph = Graph::from([node("record", &["a"]), node("a", &["rand", "a"]), node("rand", &[])]);
        let findings = impure("record".to_owned(), "record", &graph);
        assert_eq!(findings, ["record is a core crate and depends on rand"]);
        assert_eq!(impure("rand-free".to_owned(), "x", &graph), Findings::new());
    }
}
