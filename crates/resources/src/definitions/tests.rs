//! What the definitions promise: a field that there was once stays, with its type. `UPDATE_GOLDEN=1` notes new ones.

use std::collections::BTreeSet;
use std::path::Path;

use serde_yaml::Value;

use super::{EMBEDDED, definitions, first_sentence};

#[test]
fn definitions_stay_small() {
    for (plural, yaml) in definitions().expect("are YAML") {
        assert!(yaml.len() < 200_000, "{plural}: {} bytes", yaml.len());
    }
}

#[test]
fn a_sentence_does_not_end_in_an_abbreviation() {
    for (text, first) in [
        ("One, e.g. this. Another.", "One, e.g. this."),
        ("One 1.2 of it.\nAnother.", "One 1.2 of it."),
        ("Only one.", "Only one."),
        ("No stop", "No stop"),
    ] {
        assert_eq!(text.get(..first_sentence(text)), Some(first));
    }
}

/// `spec.brokers.replicas: integer`, for every field; Kubernetes' own types are one field each.
fn fields(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    let kind = schema["type"].as_str().unwrap_or("any");
    found.insert(format!("{path}: {kind}"));
    let name = path.rsplit('.').next().unwrap_or_default();
    if EMBEDDED.contains(&name) || ["resources", "conditions"].contains(&name) {
        return;
    }
    if let Some(items) = schema.get("items") {
        fields(&format!("{path}[]"), items, found);
    }
    for (key, value) in schema["properties"].as_mapping().into_iter().flatten() {
        fields(&format!("{path}.{}", key.as_str().unwrap_or_default()), value, found);
    }
}

#[test]
fn no_field_is_removed_or_gets_another_type() {
    let mut current = BTreeSet::new();
    for (plural, yaml) in definitions().expect("are YAML") {
        let definition: Value = serde_yaml::from_str(&yaml).expect("is YAML");
        for version in definition["spec"]["versions"].as_sequence().expect("versions") {
            let name = version["name"].as_str().expect("a name");
            for part in ["spec", "status"] {
                let schema = &version["schema"]["openAPIV3Schema"]["properties"][part];
                fields(&format!("{plural}/{name} {part}"), schema, &mut current);
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/fields.txt");
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let promised: BTreeSet<String> = golden.lines().map(str::to_owned).collect();
    let gone: Vec<_> = promised.difference(&current).collect();
    assert!(gone.is_empty(), "resources that people have written would break: {gone:#?}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let all: String = current.iter().map(|field| format!("{field}\n")).collect();
        std::fs::write(&path, all).expect("is writable");
        return;
    }
    let new: Vec<_> = current.difference(&promised).collect();
    assert!(new.is_empty(), "UPDATE_GOLDEN=1 notes new fields: {new:#?}");
}
