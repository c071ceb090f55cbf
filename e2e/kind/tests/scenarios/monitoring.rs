//! Scenarios of monitoring: a real Prometheus that finds nodes and operator as the chart's monitors describe them, and answers
//! every query of every alert and every dashboard.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kind_e2e::{Bed, MINUTE, NAMESPACE, OPERATOR_NAMESPACE, wait};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::brokers::trio;

/// A Go module that has the definitions of monitors and rules.
const DEFINITIONS: &str = "github.com/prometheus-operator/prometheus-operator@v0.76.0";
const IMAGE: &str = "quay.io/prometheus/prometheus:v2.42.0";

pub(crate) fn prometheus(bed: &Bed) -> Result<()> {
    bed.load_image(IMAGE)?;
    begin(bed)?;
    for job in ["taffrail", "taffrail-operator"] {
        let query = format!(r#"up{{job="{job}"}} == 1"#);
        wait(&query, MINUTE, || Ok(has_data(bed, &query)?.then_some(())))?;
    }
    // Something to count: a producer that goes on, and a group that has committed.
    let load = trio(bed).load("flights")?;
    trio(bed).ask(&["consume", "flights", "--group", "monitored", "--from-beginning", "-n", "1"])?;
    let unanswered = wait("every query to have an answer", MINUTE * 2, || {
        let unanswered =
            queries()?.into_iter().filter(|query| !has_data(bed, query).unwrap_or(false)).collect::<Vec<_>>();
        ensure!(unanswered.is_empty(), "no data for {}:\n{}", unanswered.len(), unanswered.join("\n"));
        Ok(Some(unanswered.len()))
    });
    load.end()?;
    unanswered?;
    rules_are_taken(bed)?;
    bed.kubectl(&["delete", "--grace-period=1", "pod/prometheus", "configmap/prometheus"]).map(drop)
}

/// The Prometheus Operator's own definitions take the chart's monitors and rules, with nothing unknown in them.
pub(crate) fn accepted(bed: &Bed) -> Result<()> {
    let Ok(answer) = Command::new("go").args(["mod", "download", "-json", DEFINITIONS]).output() else {
        println!("left out: go gets the definitions, and is not here");
        return Ok(());
    };
    let answer: Value = serde_json::from_slice(&answer.stdout)?;
    let module = answer["Dir"].as_str().with_context(|| format!("{DEFINITIONS}: {answer}"))?;
    for kind in ["podmonitors", "servicemonitors", "prometheusrules"] {
        let file = format!("{module}/example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml");
        bed.kubectl(&["apply", "--server-side", "-f", &file])?;
        bed.kubectl(&["wait", "--for=condition=Established", &format!("crd/{kind}.monitoring.coreos.com")])?;
    }
    let on = ["podMonitor", "serviceMonitor", "prometheusRule"];
    let on = on.map(|monitor| format!("metrics.{monitor}.enabled=true")).join(",");
    let rendered = rendered(bed, &["--show-only=templates/prometheusrules.yaml", "--set", &on])?;
    let create = ["create", "--dry-run=server", "--validate=strict", "-f", "-"];
    let created = bed.kubectl_with(&create, Some(&rendered))?;
    ensure!(created.lines().count() == 4, "{created}");
    Ok(())
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
        {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "prometheus" }, "data": files,
        },
        {
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "prometheus" },
            "spec": {
                "automountServiceAccountToken": false,
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
    bed.apply(&objects.to_string())?;
    bed.ready(&["pod/prometheus"], MINUTE * 2)
}

/// What the Prometheus Operator would make of the chart's monitors. Debian's Prometheus cannot ask Kubernetes, so that the
/// targets are looked up here, by the monitors' own selectors, ports and relabelings.
fn config(bed: &Bed) -> Result<Value> {
    let on = "metrics.podMonitor.enabled=true,metrics.serviceMonitor.enabled=true";
    let rendered = rendered(bed, &["--set", on])?;
    let mut jobs = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&rendered) {
        let monitor = Value::deserialize(document)?;
        let targets = match monitor["kind"].as_str() {
            Some("PodMonitor") => of_pods(bed, &monitor)?,
            Some("ServiceMonitor") => of_services(bed, &monitor)?,
            _ => continue,
        };
        ensure!(!targets.is_empty(), "{} selects nothing", monitor["kind"]);
        jobs.push(json!({ "job_name": monitor["kind"], "static_configs": targets }));
    }
    ensure!(jobs.len() == 2, "the chart has {} monitors", jobs.len());
    Ok(json!({
        "global": { "scrape_interval": "1s", "evaluation_interval": "5s" },
        "rule_files": ["/etc/prometheus/kafka.yaml", "/etc/prometheus/operator.yaml"],
        "scrape_configs": jobs,
    }))
}

/// What helm makes of the chart's monitors, and of more of it.
fn rendered(bed: &Bed, more: &[&str]) -> Result<String> {
    let chart = bed.chart();
    let monitors =
        ["template", "taffrail", &chart, "--kube-version=1.34.0", "--show-only=templates/monitors.yaml"];
    bed.helm(&[&monitors, more].concat())
}

fn of_pods(bed: &Bed, monitor: &Value) -> Result<Vec<Value>> {
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    let place = if monitor["spec"]["namespaceSelector"]["any"] == true { None } else { Some(NAMESPACE) };
    let pods = select(bed, "pods", place, &monitor["spec"]["selector"]["matchLabels"])?;
    let job_label = monitor["spec"]["jobLabel"].as_str().context("a job label")?;
    pods.iter().map(|pod| target(pod, endpoint, &pod["metadata"]["labels"][job_label])).collect()
}

fn of_services(bed: &Bed, monitor: &Value) -> Result<Vec<Value>> {
    let endpoint = &monitor["spec"]["endpoints"][0];
    let place = monitor["spec"]["namespaceSelector"]["matchNames"][0].as_str();
    let job_label = monitor["spec"]["jobLabel"].as_str().context("a job label")?;
    let mut targets = Vec::new();
    for service in select(bed, "services", place, &monitor["spec"]["selector"]["matchLabels"])? {
        for pod in select(bed, "pods", place, &service["spec"]["selector"])? {
            targets.push(target(&pod, endpoint, &service["metadata"]["labels"][job_label])?);
        }
    }
    Ok(targets)
}

fn select(bed: &Bed, kind: &str, namespace: Option<&str>, labels: &Value) -> Result<Vec<Value>> {
    let labels = labels.as_object().context("labels")?;
    let pairs = labels.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    let selector = format!("--selector={}", pairs.collect::<Vec<_>>().join(","));
    let place = namespace.map_or("--all-namespaces".to_owned(), |name| format!("--namespace={name}"));
    let found = bed.kubectl(&["get", kind, &place, &selector, "--output=json"])?;
    let found: Value = serde_json::from_str(&found)?;
    Ok(found["items"].as_array().cloned().unwrap_or_default())
}

/// A Pod's port of the endpoint's name, with the labels that its series get.
fn target(pod: &Value, endpoint: &Value, job: &Value) -> Result<Value> {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let mut ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    let port = ports.find(|port| port["name"] == endpoint["port"]).context("no port of that name")?;
    let mut labels = json!({
        "job": job, "namespace": pod["metadata"]["namespace"], "pod": pod["metadata"]["name"],
    });
    for relabeling in endpoint["relabelings"].as_array().into_iter().flatten() {
        let source = relabeling["sourceLabels"][0].as_str().context("a source")?;
        let meta = |name: &str| format!("__meta_kubernetes_pod_label_{}", name.replace(['.', '/', '-'], "_"));
        let mut of_pod = pod["metadata"]["labels"].as_object().context("labels")?.iter();
        let value = of_pod.find(|(name, _)| meta(name) == source).map(|(_, value)| value.clone());
        labels[relabeling["targetLabel"].as_str().context("a target")?] = value.context("no such label")?;
    }
    let address =
        format!("{}:{}", pod["status"]["podIP"].as_str().context("an address")?, port["containerPort"]);
    Ok(json!({ "targets": [address], "labels": labels }))
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
        .replace("$kafka_cluster", "trio")
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
