//! Golden files of the rendered chart, one for each file of values. What has a check of its own is left out of them: the schemas
//! of the resource definitions and the text of dashboards.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use serde_yaml::Value;

use crate::tidy::Findings;

pub(super) fn check(root: &Path, is_update: bool) -> anyhow::Result<Findings> {
    let mut findings = Findings::new();
    for values in super::files(&root.join("charts/tests/values"), "yaml")? {
        let name = values.file_name().context("a file has a name")?.to_string_lossy().into_owned();
        let rendered = match super::render(root, &values)? {
            Ok(rendered) => shorten(&rendered).with_context(|| name.clone())?,
            Err(message) => {
                findings.push(format!("{name}: {message}"));
                continue;
            }
        };
        let path = root.join("charts/tests/golden").join(&name);
        if is_update {
            fs::write(&path, &rendered).with_context(|| path.display().to_string())?;
            continue;
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        if let Some(difference) = first_difference(&golden, &rendered) {
            findings.push(format!(
                "charts/tests/golden/{name}: {difference}; look at it, then UPDATE_GOLDEN=1 cargo xtask chart"
            ));
        }
    }
    Ok(findings)
}

/// The documents in order, as plain YAML without comments: only what Kubernetes gets counts.
fn shorten(rendered: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    for document in serde_yaml::Deserializer::from_str(rendered) {
        let mut document = Value::deserialize(document)?;
        if document.is_null() {
            continue;
        }
        if document["kind"] == "CustomResourceDefinition"
            && let Some(definition) = document.as_mapping_mut()
        {
            definition.remove("spec");
        }
        if let Some(data) = document.get_mut("data").and_then(Value::as_mapping_mut) {
            for (key, value) in data {
                let json: Value = serde_yaml::from_str(value.as_str().context("text")?)
                    .with_context(|| format!("{key:?} is not JSON"))?;
                *value = json["title"].clone();
            }
        }
        text.push_str("---\n");
        text.push_str(&serde_yaml::to_string(&document)?);
    }
    Ok(text)
}

fn first_difference(golden: &str, rendered: &str) -> Option<String> {
    let (mut golden, mut rendered) = (golden.lines(), rendered.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (golden.next(), rendered.next()) {
            (None, None) => return None,
            (was, is) if was == is => {}
            (was, is) => {
                let (was, is) = (was.unwrap_or("(the end)"), is.unwrap_or("(the end)"));
                return Some(format!("line {number} is {was:?}, and the chart gives {is:?}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{first_difference, shorten};

    #[test]
    fn schemas_and_dashboards_are_left_out() {
        let rendered = "# words\nkind: CustomResourceDefinition\nspec: {a: 1}\n---\n# nothing\n---\n\
                        kind: ConfigMap\ndata:\n  a.json: |\n    {\"title\": \"A\", \"panels\": []}\n";
        let text = shorten(rendered).expect("is YAML");
        assert_eq!(text, "---\nkind: CustomResourceDefinition\n---\nkind: ConfigMap\ndata:\n  a.json: A\n");
    }

    #[test]
    fn a_difference_is_found_where_it_is() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert!(first_difference("a\nb\n", "a\nc\n").expect("differs").contains("line 2"));
        assert!(first_difference("a\n", "a\nb\n").expect("differs").contains("the end"));
    }
}
