//! Scenarios of monitoring: a real Prometheus that finds nodes and operator as the chart's monitors describe them, and answers
//! every query of every alert and every dashboard.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use kind_e2e::{Bed, NAMESPACE, OPERATOR_NAMESPACE, wait};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::{MINUTE, bootstrap};

const IMAGE: &str = "quay.io/prometheus/prometheus:v2.42.0";

pub(crate) fn prometheus(bed: &Bed) -> Result<()> {
    bed.load_image(IMAGE)?;
    begin(bed)?;
    for job in ["taffrail", "taffrail-operator"] {
        let query = format!(r#"up{{job="{job}"}} == 1"#);
        wait(&query, MINUTE, || Ok(has_data(bed, &query)?.then_some(())))?;
    }
    // Something to count: a producer that goes on, and a group that has committed.
    let load = bed.load(&bootstrap(), "monitored")?;
    let group = ["consume", "orders", "--group", "monitored", "--from-beginning", "-n", "1"];
    bed.taffrail(&[&group[..], &["--bootstrap-server", &bootstrap()]].concat(), None)?;
    let unanswered = wait("every query to have an answer", MINUTE * 2, || {
        let unanswered =
            queries()?.into_iter().filter(|query| !has_data(bed, query).unwrap_or(false)).collect::<Vec<_>>();
        ensure!(unanswered.is_empty(), "no data for {}:\n{}", unanswered.len(), unanswered.join("\n"));
        Ok(Some(unanswered.len()))
    });
    load.end()?;
    unanswered?;
    rules_are_taken(bed)?;
    let left = ["pod/prometheus", "configmap/prometheus", "serviceaccount/prometheus"];
    bed.kubectl(&[&["--namespace", NAMESPACE, "delete", "--grace-period=1"], &left[..]].concat())?;
    bed.kubectl(&["delete", "clusterrolebinding", "e2e-prometheus"]).map(drop)
}

/// Prometheus in a Pod, with what the chart gives to a Prometheus Operator.
fn begin(bed: &Bed) -> Result<()> {
    let mut files = json!({ "prometheus.yml": serde_yaml::to_string(&config(bed)?)? });
    for path in files_of("alerts", "yaml")? {
        let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
        files[name] = json!(fs::read_to_string(&path)?);
    }
    let restricted = json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
    let objects = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "prometheus", "namespace": NAMESPACE } },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": "e2e-prometheus" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view" },
            "subjects": [{ "kind": "ServiceAccount", "name": "prometheus", "namespace": NAMESPACE }],
        },
        {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "prometheus", "namespace": NAMESPACE }, "data": files,
        },
        {
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "prometheus", "namespace": NAMESPACE },
            "spec": {
                "serviceAccountName": "prometheus",
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": { "type": "RuntimeDefault" },
                },
                "containers": [{
                    "name": "prometheus", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
                    "args": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data"],
                    "ports": [{ "containerPort": 9090 }],
                    "readinessProbe": { "httpGet": { "path": "/-/ready", "port": 9090 }, "periodSeconds": 1 },
                    "securityContext": restricted,
                    "volumeMounts": [
                        { "name": "config", "mountPath": "/etc/prometheus" }, { "name": "data", "mountPath": "/data" },
                    ],
                }],
                "volumes": [
                    { "name": "config", "configMap": { "name": "prometheus" } }, { "name": "data", "emptyDir": {} },
                ],
            },
        },
    ] });
    bed.kubectl_with(&["apply", "-f", "-"], Some(&objects.to_string()))?;
    let ready = ["wait", "--for=condition=Ready", "pod/prometheus", "--timeout=120s"];
    bed.kubectl(&[&["--namespace", NAMESPACE], &ready[..]].concat()).map(drop)
}

/// What the Prometheus Operator would make of the chart's monitors.
fn config(bed: &Bed) -> Result<Value> {
    let on = ["metrics.podMonitor.enabled=true", "metrics.serviceMonitor.enabled=true"];
    let rendered = bed.helm(&[
        "template",
        "taffrail",
        &bed.chart(),
        "--namespace",
        OPERATOR_NAMESPACE,
        "--kube-version=1.34.0",
        "--show-only=templates/monitors.yaml",
        "--set",
        on[0],
        "--set",
        on[1],
    ])?;
    let mut jobs = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&rendered) {
        let monitor = Value::deserialize(document)?;
        jobs.push(match monitor["kind"].as_str() {
            Some("PodMonitor") => job(&monitor, "pod", &monitor["spec"]["podMetricsEndpoints"][0])?,
            Some("ServiceMonitor") => job(&monitor, "endpoints", &monitor["spec"]["endpoints"][0])?,
            _ => continue,
        });
    }
    ensure!(jobs.len() == 2, "the chart has {} monitors", jobs.len());
    Ok(json!({
        "global": { "scrape_interval": "1s", "evaluation_interval": "5s" },
        "rule_files": ["/etc/prometheus/kafka.yaml", "/etc/prometheus/operator.yaml"],
        "scrape_configs": jobs,
    }))
}

fn job(monitor: &Value, role: &str, endpoint: &Value) -> Result<Value> {
    let (labels_of, port) = match role {
        "pod" => ("pod", "pod_container_port_name"),
        _ => ("service", "endpoint_port_name"),
    };
    let meta = |name: &str| format!("__meta_kubernetes_{name}");
    let label = |name: &str| meta(&format!("{labels_of}_label_{}", name.replace(['.', '/', '-'], "_")));
    let keep = |source: String, value: &Value| json!({ "action": "keep", "source_labels": [source], "regex": value });
    let copy = |source: String, target: &str| json!({ "source_labels": [source], "target_label": target });

    let selected = monitor["spec"]["selector"]["matchLabels"].as_object().context("labels")?;
    let mut relabelings: Vec<Value> = selected.iter().map(|(name, value)| keep(label(name), value)).collect();
    relabelings.push(keep(meta(port), &endpoint["port"]));
    relabelings.push(copy(meta("namespace"), "namespace"));
    relabelings.push(copy(meta("pod_name"), "pod"));
    relabelings.push(copy(label(monitor["spec"]["jobLabel"].as_str().context("a job label")?), "job"));
    for relabeling in endpoint["relabelings"].as_array().into_iter().flatten() {
        let source = relabeling["sourceLabels"][0].as_str().context("a source")?;
        relabelings.push(copy(source.to_owned(), relabeling["targetLabel"].as_str().context("a target")?));
    }
    Ok(json!({
        "job_name": role, "kubernetes_sd_configs": [{ "role": role }], "relabel_configs": relabelings,
    }))
}

/// Of every panel that has something to show while all is well, and the series of every alert.
fn queries() -> Result<BTreeSet<String>> {
    let mut queries = BTreeSet::new();
    for path in files_of("dashboards", "json")? {
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        let panels = dashboard["panels"].as_array().context("panels")?;
        let shown = panels.iter().filter(|panel| {
            !panel["description"].as_str().is_some_and(|description| description.starts_with("Empty when"))
        });
        let targets = shown.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
        for target in targets {
            queries.insert(filled_in(
                target["expr"].as_str().context("a query")?,
                path.ends_with("operator.json"),
            ));
        }
    }
    ensure!(queries.len() > 50, "the dashboards have {} queries", queries.len());
    for path in files_of("alerts", "yaml")? {
        let rules: Value = serde_yaml::from_str(&fs::read_to_string(&path)?)?;
        let rules = rules["groups"].as_array().into_iter().flatten();
        for rule in rules.flat_map(|group| group["rules"].as_array().into_iter().flatten()) {
            queries.extend(series(rule["expr"].as_str().context("an expression")?));
        }
    }
    Ok(queries)
}

/// A panel's query with what Grafana puts into it.
fn filled_in(query: &str, is_operators: bool) -> String {
    let namespace = if is_operators { OPERATOR_NAMESPACE } else { NAMESPACE };
    query
        .replace("$__rate_interval", "30s")
        .replace("$namespace", namespace)
        .replace("$kafka_cluster", "demo")
        .replace("$consumergroup", ".*")
        .replace("$topic", ".*")
}

/// The names in an expression that are those of series.
fn series(expression: &str) -> BTreeSet<String> {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = expression.split(|letter| !is_of_name(letter));
    let is_series = |word: &&str| *word == "up" || word.matches('_').count() >= 2;
    words.filter(is_series).map(str::to_owned).collect()
}

/// Whether a query has an answer that is a number.
fn has_data(bed: &Bed, query: &str) -> Result<bool> {
    let answer = ask(bed, &format!("query?query={}", encode(query)))?;
    let results = answer["data"]["result"].as_array().context("a result")?;
    Ok(results.iter().any(|result| result["value"][1].as_str().is_some_and(|value| value != "NaN")))
}

/// Prometheus has loaded every alert and could evaluate it.
fn rules_are_taken(bed: &Bed) -> Result<()> {
    wait("every alert to be evaluated", MINUTE, || {
        let answer = ask(bed, "rules")?;
        let groups = answer["data"]["groups"].as_array().context("groups")?;
        let rules: Vec<_> =
            groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten()).collect();
        ensure!(rules.len() == 12, "{} alerts", rules.len());
        let sick: Vec<_> = rules.iter().filter(|rule| rule["health"] != "ok").collect();
        ensure!(sick.is_empty(), "{sick:?}");
        Ok(Some(()))
    })
}

fn ask(bed: &Bed, path: &str) -> Result<Value> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/prometheus:9090/proxy/api/v1/{path}");
    Ok(serde_json::from_str(&bed.kubectl(&["get", "--raw", &path])?)?)
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

fn files_of(folder: &str, ending: &str) -> Result<Vec<PathBuf>> {
    let here =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/taffrail-operator/files").join(folder);
    let entries = fs::read_dir(&here).with_context(|| here.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|found| found == ending));
    Ok(paths)
}
