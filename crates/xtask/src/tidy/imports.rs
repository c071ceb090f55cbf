//! Imports that an invariant of `ARCHITECTURE.md` keeps to a few files of a crate. A scan of the text: what matters is
//! which file names a crate, not what the compiler makes of it.

use super::{Findings, Texts};

/// A crate that only some files may name.
struct Rule {
    /// The files that it speaks of.
    applies_to: &'static str,
    /// Whether a file's text breaks it, if the file is not one of `allowed`.
    is_broken_by: fn(&str) -> bool,
    /// Beginnings or ends of paths.
    allowed: &'static [&'static str],
    /// The sentence of the page.
    says: &'static str,
}

const RULES: [Rule; 3] = [
    Rule {
        applies_to: "",
        is_broken_by: |code| names(code, "openraft"),
        allowed: &["broker/src/quorum/", "crates/xtask/"],
        says: "openraft appears only in broker/src/quorum/",
    },
    Rule {
        applies_to: "operator/src/",
        is_broken_by: |code| names(code, "kube") && (has_word(code, "Client") || has_word(code, "Api")),
        allowed: &[
            "/observe.rs",
            "/execute.rs",
            "/mod.rs",
            "/lib.rs",
            "/election.rs",
            "/hooks.rs",
            "/namespaces.rs",
            "/refusals.rs",
            "/run.rs",
            "/watches.rs",
        ],
        says: "the kube client appears only in the operator's observe.rs, execute.rs and wiring",
    },
    Rule {
        applies_to: "broker/src/",
        is_broken_by: |code| {
            names(code, "protocol")
                && ["metadata", "replication", "coordinator"].iter().any(|core| names(code, core))
        },
        allowed: &["broker/src/api/", "broker/src/peers/", "/codec.rs", "/tests.rs"],
        says: "only broker/src/api/, broker/src/peers/ and codec.rs know both the wire and a state machine",
    },
];

pub(super) fn check(rust: &Texts) -> Findings {
    let mut findings = Findings::new();
    for rule in &RULES {
        for (path, text) in rust.iter().filter(|(path, _)| path.starts_with(rule.applies_to)) {
            let is_allowed =
                rule.allowed.iter().any(|place| path.starts_with(place) || path.ends_with(place));
            if !is_allowed && (rule.is_broken_by)(&code(text)) {
                findings.push(format!("{path}: {}", rule.says));
            }
        }
    }
    findings
}

/// The text without comments.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Whether a path of the code starts at the crate.
fn names(code: &str, krate: &str) -> bool {
    let start = format!("{krate}::");
    code.match_indices(&start).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && before != '_' && before != ':')
    })
}

fn has_word(code: &str, word: &str) -> bool {
    code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|found| found == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::texts;

    #[test]
    fn a_crate_named_in_the_wrong_place_is_found() {
        let bad = texts([
            ("broker/src/node.rs", "use openraft::Raft;\n"),
            ("broker/src/partitions/mod.rs", "use protocol::messages::X;\nuse replication::Leader;\n"),
            ("operator/src/cluster/plan/mod2.rs", "use kube::{Client, Resource};\n"),
        ]);
        assert_eq!(check(&bad).len(), 3);
    }

    #[test]
    fn comments_other_paths_and_the_right_places_are_not() {
        let good = texts([
            ("broker/src/node.rs", "// openraft::Raft is behind this.\nuse crate::metadata::X;\n"),
            ("broker/src/quorum/raft.rs", "use openraft::Raft;\n"),
            ("broker/src/metrics.rs", "use protocol::ApiKey;\n"),
            ("broker/src/api/produce.rs", "use protocol::messages::X;\nuse replication::Leader;\n"),
            ("operator/src/cluster/plan/mod2.rs", "use kube::Resource;\nstruct ClientX;\n"),
        ]);
        assert_eq!(check(&good), Findings::new());
    }
}
