//! Wrong specs: each is refused by the API server or by a condition, in words that name the field and what to write. They
//! stand in `refused.yaml`.

use anyhow::{Context, Result, bail, ensure};
use kind_e2e::{Bed, MINUTE, wait};
use serde_json::Value;

use crate::wrong::{Case, Cases};

pub(crate) fn refused(bed: &Bed) -> Result<()> {
    let cases = Cases::read()?;
    let count = cases.create.len() + cases.update.len() + cases.condition.len();
    ensure!(count >= 30, "{count} cases");
    let mut wrong = Vec::new();
    for case in &cases.create {
        let refusal = dry_run(bed, &case.object("wrong"));
        wrong.extend(unsaid(case, refusal.err().map(|error| format!("{error:#}"))));
    }
    for case in &cases.update {
        // Those that all scenarios share.
        let name = if case.kind == "KafkaCluster" { "demo" } else { "orders" };
        let change = case.change.to_string();
        let dry_run = ["--type=merge", "--dry-run=server", "--patch", &change];
        let refusal = bed.kubectl(&[&["patch", &case.kind, name], &dry_run[..]].concat());
        wrong.extend(unsaid(case, refusal.err().map(|error| format!("{error:#}"))));
    }
    for (number, case) in cases.condition.iter().enumerate() {
        bed.apply(&case.object(&format!("wrong-{number}")).to_string())?;
    }
    for (number, case) in cases.condition.iter().enumerate() {
        let object = case.object(&format!("wrong-{number}"));
        let said = wait("a refusal", MINUTE, || condition(bed, &object, case));
        wrong.extend(unsaid(case, said.map_err(|error| format!("{error:#}")).ok()));
    }
    bed.kubectl(&["delete", "kafkatopics,kafkaclusters", "--selector=case=wrong", "--timeout=120s"])?;
    ensure!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    println!("{count} specs refused");
    Ok(())
}

/// What is missing in a refusal; none at all is an acceptance.
fn unsaid(case: &Case, refusal: Option<String>) -> Option<String> {
    let Some(refusal) = refusal else { return Some(format!("accepted: {}", case.change)) };
    let missing: Vec<_> = case.says.iter().filter(|says| !refusal.contains(*says)).collect();
    (!missing.is_empty()).then(|| format!("{}: {missing:?} missing in: {refusal}", case.change))
}

fn dry_run(bed: &Bed, object: &Value) -> Result<String> {
    bed.kubectl_with(&["create", "--dry-run=server", "-f", "-"], Some(&object.to_string()))
}

/// The message of the condition that has the reason.
fn condition(bed: &Bed, object: &Value, case: &Case) -> Result<Option<String>> {
    let name = object["metadata"]["name"].as_str().context("a name")?;
    let found = bed.kubectl(&["get", &case.kind, name, "--output", "json"])?;
    let found: Value = serde_json::from_str(&found)?;
    let conditions = found["status"]["conditions"].as_array().context("no condition yet")?;
    let reason = case.reason.as_deref().context("a case has a reason")?;
    let Some(said) = conditions.iter().find(|one| one["reason"] == reason) else {
        bail!("{name}: no {reason} in {}", found["status"]["conditions"]);
    };
    Ok(said["message"].as_str().map(str::to_owned))
}
