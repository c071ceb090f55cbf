//! The alerts: each rule is one that promtool takes, has a test in which it fires and one in which it does not, and is explained
//! in the book.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde_yaml::Value;

use crate::tidy::Findings;

pub(super) fn check(root: &Path) -> anyhow::Result<Findings> {
    let mut findings = Findings::new();
    let book = fs::read_to_string(root.join("docs/book/src/guide/monitoring.md"))?;
    for rules in super::files(&root.join("charts/taffrail-operator/files/alerts"), "yaml")? {
        let name = rules.file_name().context("a file has a name")?.to_owned();
        let tests = root.join("charts/tests/alerts").join(&name);
        let rules = fs::read_to_string(&rules)?;
        findings.extend(untested(&rules, &fs::read_to_string(&tests)?)?);
        findings.extend(unexplained(&rules, &book)?);
        if let Err(message) = super::output(Command::new("promtool").args(["test", "rules"]).arg(&tests))? {
            findings.push(message);
        }
    }
    Ok(findings)
}

/// The alerts that no test sees fire, or be silent.
fn untested(rules: &str, tests: &str) -> anyhow::Result<Findings> {
    let rules: Value = serde_yaml::from_str(rules)?;
    let tests: Value = serde_yaml::from_str(tests)?;
    let cases = || items(&tests["tests"]).flat_map(|test| items(&test["alert_rule_test"]));
    let mut findings = Findings::new();
    for rule in items(&rules["groups"]).flat_map(|group| items(&group["rules"])) {
        let alert = &rule["alert"];
        for (wanted, what) in [(true, "fires"), (false, "is silent")] {
            let is_seen =
                |case: &Value| case["alertname"] == *alert && case["exp_alerts"].is_sequence() == wanted;
            if !cases().any(is_seen) {
                findings.push(format!("{}: no test in which it {what}", alert.as_str().unwrap_or("a rule")));
            }
        }
    }
    Ok(findings)
}

/// The alerts whose line in the book is missing or tells another severity.
fn unexplained(rules: &str, book: &str) -> anyhow::Result<Findings> {
    let rules: Value = serde_yaml::from_str(rules)?;
    let mut findings = Findings::new();
    for rule in items(&rules["groups"]).flat_map(|group| items(&group["rules"])) {
        let [alert, severity] =
            [&rule["alert"], &rule["labels"]["severity"]].map(|value| value.as_str().unwrap_or_default());
        if !book.contains(&format!("| {alert} | {severity} |")) {
            findings.push(format!("{alert}, {severity}: not in docs/book/src/guide/monitoring.md"));
        }
    }
    Ok(findings)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_sequence().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::{unexplained, untested};

    #[test]
    fn an_alert_that_is_not_seen_both_ways_or_not_explained_is_found() {
        let rules = "groups: [{rules: [{alert: A}, {alert: B}]}]";
        let tests =
            "tests: [{alert_rule_test: [{alertname: A}, {alertname: A, exp_alerts: [{}]}, {alertname: B}]}]";
        let missing =
            unexplained("groups: [{rules: [{alert: A, labels: {severity: warning}}]}]", "| A | critical |");
        assert_eq!(missing.expect("YAML").len(), 1);
        assert_eq!(untested(rules, tests).expect("YAML"), ["B: no test in which it fires"]);
    }
}
