//! The rules in the resource definitions, evaluated without an API server over the wrong specs that a real one has to refuse, too:
//! each rule refuses one of them, in its own words.

#[path = "scenarios/wrong.rs"]
mod wrong;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use kube::CustomResourceExt;
use kube::core::cel::Validator;
use resources::{KafkaCluster, KafkaTopic};
use serde_json::{Value, json};
use wrong::{Case, Cases};

fn schema(kind: &str) -> Result<Value> {
    let definition = if kind == "KafkaCluster" { KafkaCluster::crd() } else { KafkaTopic::crd() };
    let version = definition.spec.versions.into_iter().next().context("a version")?;
    Ok(serde_json::to_value(version.schema.context("a schema")?.open_api_v3_schema)?)
}

/// What the rules say against an object, as the API server puts it.
fn refusals(kind: &str, object: &Value, old: Option<&Value>) -> Result<Vec<String>> {
    let validator = Validator::new();
    match validator.validate_with_defaults(&schema(kind)?, object, old) {
        Ok(()) => Ok(Vec::new()),
        Err(errors) => Ok(errors
            .into_vec()
            .into_iter()
            .map(|error| format!("{}: {}", error.field_path, error.message))
            .collect()),
    }
}

/// All messages of rules in a schema.
fn messages(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for rule in fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten()
            {
                found.extend(rule["message"].as_str().map(str::to_owned));
            }
            fields.values().for_each(|value| messages(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| messages(item, found)),
        _ => {}
    }
}

/// Whether all is said that a case wants to hear.
fn is_said(case: &Case, said: &[String]) -> bool {
    let said = said.join("\n");
    case.says.iter().all(|says| said.contains(says))
}

#[test]
fn every_rule_refuses_a_wrong_spec_in_its_own_words() -> Result<()> {
    let mut rules = BTreeSet::new();
    for kind in ["KafkaCluster", "KafkaTopic"] {
        messages(&schema(kind)?, &mut rules);
    }
    assert!(rules.len() >= 10, "{rules:?}");
    let cases = Cases::read()?;
    let mut spoke = BTreeSet::new();
    let mut note = |said: &[String]| {
        let by_rules = rules.iter().filter(|rule| said.iter().any(|one| one.ends_with(*rule)));
        spoke.extend(by_rules.cloned());
    };
    for case in &cases.create {
        let object = case.object("wrong");
        // What breaks the schema itself is for the API server alone, which shows it to no rule.
        let said = refusals(&case.kind, &object, None)?;
        if is_said(case, &said) {
            note(&said);
        }
    }
    for case in &cases.update {
        let said = refusals(&case.kind, &case.object("right"), Some(&wrong::good(&case.kind, "right")))?;
        assert!(is_said(case, &said), "{}: {said:?}", case.change);
        note(&said);
    }
    let silent: Vec<_> = rules.iter().filter(|rule| !spoke.contains(*rule)).collect();
    assert!(silent.is_empty(), "no spec is refused by: {silent:#?}");
    Ok(())
}

#[test]
fn no_rule_refuses_what_is_right() -> Result<()> {
    for kind in ["KafkaCluster", "KafkaTopic"] {
        let good = wrong::good(kind, "right");
        assert_eq!(refusals(kind, &good, None)?, [""; 0]);
        assert_eq!(refusals(kind, &good, Some(&good))?, [""; 0]);
    }
    // What only the operator can refuse passes the rules: it is stored, and a condition speaks of it.
    for case in Cases::read()?.condition {
        assert_eq!(refusals(&case.kind, &case.object("stored"), None)?, [""; 0], "{}", case.change);
        assert!(case.reason.is_some(), "{}: no reason", case.change);
    }
    let mut grown = wrong::good("KafkaCluster", "right");
    grown["spec"]["brokers"]["storage"]["persistent"]["size"] = json!("2Gi");
    assert_eq!(refusals("KafkaCluster", &grown, Some(&wrong::good("KafkaCluster", "right")))?, [""; 0]);
    Ok(())
}
