//! Whether the book explains every reason that a condition can have. A scan of the operator's text: a reason is a literal of at
//! least two capitalised words in a file that decides what conditions say.

use super::{Findings, Texts};

/// The files that decide it.
const DECIDE: [&str; 7] = [
    "operator/src/cluster/plan.rs",
    "operator/src/cluster/plan/",
    "operator/src/cluster/status.rs",
    "operator/src/cluster/validate.rs",
    "operator/src/topic/mod.rs",
    "operator/src/topic/plan.rs",
    "operator/src/topic/status.rs",
];
/// Literals of that shape that are no reasons: Kubernetes' words, actions of events, reasons of conditions that say that all is well.
const OTHERS: [&str; 10] = [
    "ConfigMap",
    "ContainerCreating",
    "CreateTopic",
    "KafkaCluster",
    "KafkaTopic",
    "NotStalled",
    "PersistentVolumeClaim",
    "PodScheduled",
    "StatefulSet",
    "TopicMissing",
];

/// `book` is the text of the pages that may explain one.
pub(super) fn check(rust: &Texts, book: &str) -> Findings {
    let mut findings = Findings::new();
    for (path, text) in rust {
        if !DECIDE.iter().any(|file| path.starts_with(file)) || path.ends_with("tests.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let reasons = code.split('"').filter(|word| is_reason(word));
        let missing = reasons.filter(|reason| !book.contains(&format!("`{reason}`")));
        findings.extend(missing.map(|reason| format!("{path}: the book does not explain {reason}")));
    }
    findings.sort();
    findings.dedup();
    findings
}

fn is_reason(word: &str) -> bool {
    let capitals = word.chars().filter(char::is_ascii_uppercase).count();
    capitals >= 2
        && word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.chars().all(|letter| letter.is_ascii_alphabetic())
        && word.chars().any(|letter| letter.is_ascii_lowercase())
        && word.len() > 4
        && !OTHERS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::texts;

    #[test]
    fn a_reason_that_the_book_leaves_out_is_found() {
        let decides =
            ("operator/src/cluster/plan.rs", r#"say("DataLost"); say("NotOwner"); label("PodScheduled")"#);
        let elsewhere = ("operator/src/names.rs", r#""NotExplained""#);
        let findings = check(&texts([decides, elsewhere]), "| `NotOwner` | |");
        assert_eq!(findings, ["operator/src/cluster/plan.rs: the book does not explain DataLost"]);
    }
}
