//! Grafana's dashboards from the short descriptions in `dashboards/`: title, variables, rows of panels, their queries. Where a
//! panel stands and how it looks is decided here, once for all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};

/// Of Grafana's grid, which has 24 columns.
const STAT: (u32, u32) = (3, 4);
const GRAPH: (u32, u32) = (8, 8);
const TABLE: (u32, u32) = (24, 10);
const COLUMNS: u32 = 24;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dashboard {
    title: String,
    uid: String,
    variables: Vec<Variable>,
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    name: String,
    query: String,
    /// Whether several may be chosen, and all are at first.
    #[serde(default)]
    all: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    title: String,
    panels: Vec<Panel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Panel {
    title: String,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    unit: Option<String>,
    /// Whether more than zero is red.
    #[serde(default)]
    bad: bool,
    /// When a panel shows nothing though all is well.
    #[serde(default)]
    empty: Option<String>,
    queries: Vec<Query>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Stat,
    #[default]
    Timeseries,
    Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    expr: String,
    #[serde(default)]
    legend: String,
}

/// Every generated file, by its path from the root.
pub(crate) fn files(root: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(root.join("dashboards"))? {
        let path = entry?.path();
        let name = path.file_stem().context("a file has a name")?.to_string_lossy().into_owned();
        let text = fs::read_to_string(&path)?;
        let dashboard: Dashboard = serde_yaml::from_str(&text).with_context(|| path.display().to_string())?;
        let json = serde_json::to_string_pretty(&render(&dashboard))? + "\n";
        files.insert(format!("charts/taffrail-operator/files/dashboards/{name}.json"), json);
    }
    Ok(files)
}

/// Writes all of them.
pub(crate) fn generate(root: &Path) -> anyhow::Result<()> {
    for (path, content) in files(root)? {
        let path = root.join(path);
        fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        fs::write(&path, content).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn render(dashboard: &Dashboard) -> Value {
    let mut variables = vec![json!({
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0,
    })];
    variables.extend(dashboard.variables.iter().map(variable));
    json!({
        "title": dashboard.title,
        "uid": dashboard.uid,
        "tags": ["kafka", "taffrail"],
        "schemaVersion": 39,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": { "from": "now-1h", "to": "now" },
        "timezone": "browser",
        "templating": { "list": variables },
        "panels": panels(&dashboard.rows),
    })
}

fn variable(variable: &Variable) -> Value {
    json!({
        "name": variable.name,
        "type": "query",
        "datasource": source(),
        "query": { "query": variable.query, "refId": variable.name },
        "refresh": 2,
        "sort": 1,
        "multi": variable.all,
        "includeAll": variable.all,
        "allValue": if variable.all { json!(".*") } else { Value::Null },
        "current": if variable.all { json!({ "text": "All", "value": "$__all" }) } else { json!({}) },
    })
}

fn panels(rows: &[Row]) -> Vec<Value> {
    let mut panels = Vec::new();
    let mut top = 0;
    for row in rows {
        let place = json!({ "x": 0, "y": top, "w": COLUMNS, "h": 1 });
        panels.push(json!({
            "id": panels.len() + 1, "type": "row", "title": row.title, "collapsed": false, "gridPos": place, "panels": [],
        }));
        top += 1;
        let (mut left, mut line) = (0, 0);
        for panel in &row.panels {
            let (width, height) = panel.kind.size();
            if left + width > COLUMNS {
                (left, top, line) = (0, top + line, 0);
            }
            panels.push(panel_at(panel, panels.len() + 1, left, top));
            left += width;
            line = line.max(height);
        }
        top += line;
    }
    panels
}

fn panel_at(panel: &Panel, id: usize, left: u32, top: u32) -> Value {
    let (width, height) = panel.kind.size();
    let targets: Vec<Value> =
        panel.queries.iter().zip('A'..).map(|(query, letter)| target(panel.kind, query, letter)).collect();
    let red = if panel.bad {
        json!([{ "color": "green", "value": null }, { "color": "red", "value": 1 }])
    } else {
        json!([{ "color": "green", "value": null }])
    };
    let mut rendered = json!({
        "id": id,
        "type": panel.kind.name(),
        "title": panel.title,
        "datasource": source(),
        "gridPos": { "x": left, "y": top, "w": width, "h": height },
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit.as_deref().unwrap_or("short"),
                "thresholds": { "mode": "absolute", "steps": red },
            },
            "overrides": [],
        },
        "targets": targets,
    });
    if let Some(empty) = &panel.empty {
        rendered["description"] = json!(format!("Empty when: {empty}"));
    }
    match panel.kind {
        Kind::Stat => rendered["options"] = json!({ "reduceOptions": { "calcs": ["lastNotNull"] } }),
        Kind::Timeseries => rendered["fieldConfig"]["defaults"]["min"] = json!(0),
        Kind::Table => rendered["transformations"] = one_row_a_series(&panel.queries),
    }
    rendered
}

/// Joins a table's queries by their labels, and names each column as its query's legend says.
fn one_row_a_series(queries: &[Query]) -> Value {
    let names: serde_json::Map<String, Value> = queries
        .iter()
        .zip('A'..)
        .map(|(query, letter)| (format!("Value #{letter}"), json!(query.legend)))
        .collect();
    json!([
        { "id": "merge", "options": {} },
        { "id": "organize", "options": { "excludeByName": { "Time": true }, "renameByName": names } },
    ])
}

fn target(kind: Kind, query: &Query, letter: char) -> Value {
    let mut target = json!({
        "refId": letter.to_string(),
        "datasource": source(),
        "expr": expand(&query.expr),
        "legendFormat": query.legend,
    });
    if kind == Kind::Table {
        target["format"] = json!("table");
    }
    if kind != Kind::Timeseries {
        target["instant"] = json!(true);
    }
    target
}

/// What every query asks for, written out.
fn expand(expr: &str) -> String {
    expr.replace("$cluster", "namespace=\"$namespace\", kafka_cluster=\"$kafka_cluster\"")
        .replace("$operator", "job=\"taffrail-operator\", namespace=\"$namespace\"")
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

impl Kind {
    fn size(self) -> (u32, u32) {
        match self {
            Kind::Stat => STAT,
            Kind::Timeseries => GRAPH,
            Kind::Table => TABLE,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Stat => "stat",
            Kind::Timeseries => "timeseries",
            Kind::Table => "table",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Dashboard, render};

    #[test]
    fn panels_stand_beside_each_other_until_the_line_is_full() {
        let text = "{title: T, uid: t, variables: [], rows: [{title: R, panels: [\
                    {title: a, queries: [{expr: 'up{$cluster}'}]}, {title: b, queries: []}, {title: c, queries: []}, \
                    {title: d, queries: []}]}]}";
        let dashboard: Dashboard = serde_yaml::from_str(text).expect("a dashboard");
        let json = render(&dashboard);
        let panels = json["panels"].as_array().expect("panels");
        let place =
            |panel: &serde_json::Value| panel["gridPos"]["x"].as_u64().zip(panel["gridPos"]["y"].as_u64());
        let places: Vec<_> = panels.iter().filter_map(place).collect();
        assert_eq!(places, [(0, 0), (0, 1), (8, 1), (16, 1), (0, 9)]);
        assert!(
            json["panels"][1]["targets"][0]["expr"]
                .as_str()
                .expect("text")
                .contains("kafka_cluster=\"$kafka_cluster\"")
        );
    }
}
