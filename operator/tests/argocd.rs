//! What Argo CD tells of our resources with the scripts of `examples/argocd-health.yaml`, run as it runs them: Lua 5.1, `obj` in
//! a global, numbers as floats, absent fields as nil, no libraries but the base and tables.

use std::collections::BTreeMap;

use kube::Resource;
use mlua::{Lua, LuaOptions, StdLib, Table};
use resources::{KafkaCluster, KafkaTopic, definitions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const FILE: &str = include_str!("../../examples/argocd-health.yaml");
/// Of every object below, unless it says otherwise.
const GENERATION: i64 = 3;

/// A condition: type, status, reason and message.
type Said = (&'static str, &'static str, &'static str, &'static str);

const UNSEEN: &str = "no operator has looked at this generation yet";
const RUNS: &str = "every broker runs this generation and is ready";
const OFFLINE: &str = "4 of 60 partitions have no leader";
const UNDER: &str = "4 of 60 partitions have fewer replicas in sync than min.insync.replicas";
const PAUSED: &str =
    "nothing is done about this cluster while it is annotated with taffrail.dev/pause-reconciliation";
const PAUSE: Said = ("ReconciliationPaused", "True", "Annotated", PAUSED);

const RUNNING: [Said; 5] = [
    ("Ready", "True", "Running", RUNS),
    ("Available", "True", "Serving", "the quorum has a leader, and every partition takes writes"),
    ("Reconciling", "False", "Done", ""),
    ("Stalled", "False", "NotStalled", ""),
    ("ListenersAdvertised", "True", "Advertised", "clients are told every listener"),
];
const AS_SPECIFIED: [Said; 3] = [
    ("Ready", "True", "AsSpecified", "the topic is as this generation wants it"),
    ("Reconciling", "False", "Done", ""),
    ("Stalled", "False", "NotStalled", ""),
];

#[test]
fn patch_has_a_script_for_each_kind_and_nothing_else() {
    let patch: Value = serde_yaml::from_str(FILE).expect("is YAML");
    assert_eq!((&patch["kind"], &patch["metadata"]["name"]), (&json!("ConfigMap"), &json!("argocd-cm")));
    assert_eq!(patch["metadata"]["labels"], json!({"app.kubernetes.io/part-of": "argocd"}));
    let keys: Vec<_> = scripts().into_keys().collect();
    assert_eq!(keys, [key::<KafkaCluster>(), key::<KafkaTopic>()]);
}

#[test]
fn cluster_that_is_on_its_way_is_progressing() {
    expect::<KafkaCluster>("just created", untouched::<KafkaCluster>(), "Progressing", UNSEEN);
    expect::<KafkaCluster>("without a status", Value::Null, "Progressing", UNSEEN);
    expect::<KafkaCluster>("edited", status(2, &RUNNING, &[]), "Progressing", UNSEEN);
    // The edit may be the one that it was stalled for.
    let stalled = [("Stalled", "True", "InvalidConfig", "spec.config.num.partition: is unknown")];
    expect::<KafkaCluster>("edited while stalled", status(2, &RUNNING, &stalled), "Progressing", UNSEEN);

    let why = "Pod demo-broker-0 is not there yet";
    let founded = [
        ("Ready", "False", "PodMissing", why),
        ("Available", "False", "Unreachable", "there is no broker yet"),
        ("Reconciling", "True", "PodMissing", why),
    ];
    expect::<KafkaCluster>("being founded", status(3, &RUNNING, &founded), "Progressing", why);
    let why = "Pod demo-broker-2 is stopping";
    let restarting = [
        ("Ready", "False", "Restarting", why),
        ("Available", "False", "UnderMinIsr", UNDER),
        ("Reconciling", "True", "Restarting", why),
    ];
    expect::<KafkaCluster>("being rolled", status(3, &RUNNING, &restarting), "Progressing", why);
    let why = "Pod demo-broker-1: 0/3 nodes are available: 3 Insufficient memory.";
    let waiting = [("Ready", "False", "Unschedulable", why), ("Reconciling", "True", "Unschedulable", why)];
    expect::<KafkaCluster>("unschedulable", status(3, &RUNNING, &waiting), "Progressing", why);
}

#[test]
fn cluster_that_runs_is_healthy() {
    expect::<KafkaCluster>("running", status(3, &RUNNING, &[]), "Healthy", RUNS);
    let spread = [("Reconciling", "True", "Rebalancing", "partitions are spread: 12 to go")];
    expect::<KafkaCluster>("spreading replicas", status(3, &RUNNING, &spread), "Healthy", RUNS);
    let pending =
        [("ListenersAdvertised", "False", "AddressPending", "Service demo-ext-0 has no address yet")];
    expect::<KafkaCluster>("without an outer address", status(3, &RUNNING, &pending), "Healthy", RUNS);
}

#[test]
fn cluster_that_needs_somebody_is_degraded() {
    let why = "spec.config.num.partition: is unknown: is num.partitions meant?";
    let stalled = [
        ("Ready", "False", "InvalidConfig", why),
        ("Reconciling", "False", "Stalled", ""),
        ("Stalled", "True", "InvalidConfig", why),
    ];
    expect::<KafkaCluster>("stalled", status(3, &RUNNING, &stalled), "Degraded", why);
    for (reason, why) in [
        ("OfflinePartitions", OFFLINE),
        ("UnderMinIsr", UNDER),
        ("NoController", "the metadata quorum has no leader: a majority of its voters has to run"),
    ] {
        let partly = [("Available", "False", reason, why)];
        expect::<KafkaCluster>(reason, status(3, &RUNNING, &partly), "Degraded", why);
    }
}

#[test]
fn paused_cluster_is_suspended_whatever_was_said_before() {
    expect::<KafkaCluster>("paused", status(3, &RUNNING, &[PAUSE]), "Suspended", PAUSED);
    // The generation that is observed stands still.
    expect::<KafkaCluster>("paused and edited", status(2, &RUNNING, &[PAUSE]), "Suspended", PAUSED);
    let partly = [("Available", "False", "OfflinePartitions", OFFLINE), PAUSE];
    expect::<KafkaCluster>("paused in part", status(3, &RUNNING, &partly), "Suspended", PAUSED);
    let mut new = untouched::<KafkaCluster>();
    let pause = conditions(None, &[PAUSE]).remove(0);
    new["conditions"].as_array_mut().expect("has conditions").push(pause);
    expect::<KafkaCluster>("created paused", new, "Suspended", PAUSED);
}

#[test]
fn topic_is_told_as_a_cluster_is() {
    expect::<KafkaTopic>("just created", untouched::<KafkaTopic>(), "Progressing", UNSEEN);
    expect::<KafkaTopic>("without a status", Value::Null, "Progressing", UNSEEN);
    expect::<KafkaTopic>("edited", status(2, &AS_SPECIFIED, &[]), "Progressing", UNSEEN);
    expect::<KafkaTopic>("there", status(3, &AS_SPECIFIED, &[]), "Healthy", AS_SPECIFIED[0].3);
    for (reason, why) in [
        ("ClusterNotFound", "there is no KafkaCluster demo in namespace kafka"),
        ("Reassigning", "the number of replicas changes from 1 to 3"),
    ] {
        let waits = [("Ready", "False", reason, why), ("Reconciling", "True", reason, why)];
        expect::<KafkaTopic>(reason, status(3, &AS_SPECIFIED, &waits), "Progressing", why);
    }
    for (reason, why) in [
        ("NotOwner", "topic orders belongs to KafkaTopic first: delete one of the two"),
        (
            "NotSupported",
            "spec.partitions: topic orders has 12 and Kafka cannot take partitions away: write 12",
        ),
    ] {
        let stalled = [("Ready", "False", reason, why), ("Stalled", "True", reason, why)];
        expect::<KafkaTopic>(reason, status(3, &AS_SPECIFIED, &stalled), "Degraded", why);
    }
}

/// Nobody but the operator is held to write all that it writes.
#[test]
fn absent_fields_fail_no_script() {
    let bare = |status: Value| json!({"metadata": {"name": "x", "generation": 1}, "status": status});
    let ready = json!([{"type": "Ready", "status": "True", "message": null}]);
    for key in [key::<KafkaCluster>(), key::<KafkaTopic>()] {
        for status in [json!(null), json!({}), json!({"observedGeneration": null, "conditions": null})] {
            assert_eq!(health(&key, &bare(status)), ("Progressing".to_owned(), UNSEEN.to_owned()));
        }
        let silent = bare(json!({"observedGeneration": 1, "conditions": []}));
        assert_eq!(health(&key, &silent), ("Progressing".to_owned(), String::new()));
        let silent = bare(json!({"observedGeneration": 1, "conditions": ready}));
        assert_eq!(health(&key, &silent), ("Healthy".to_owned(), String::new()));
        assert_eq!(health(&key, &json!({"metadata": {}})), ("Progressing".to_owned(), String::new()));
    }
}

/// Asks the script of a kind about an object with this status. The object goes through our own type, so that the script sees
/// no field that the operator could not have written.
fn expect<K>(what: &str, status: Value, word: &str, message: &str)
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
{
    let spec = match &*K::kind(&()) {
        "KafkaCluster" => json!({"brokers": {"replicas": 3, "storage": {"persistent": {"size": "10Gi"}}}}),
        _ => json!({"clusterRef": {"name": "demo"}, "partitions": 12, "replicas": 3}),
    };
    let mut object = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": "demo", "namespace": "kafka", "generation": GENERATION},
        "spec": spec,
    });
    if !status.is_null() {
        object["status"] = status;
    }
    let typed: K = serde_json::from_value(object.clone()).expect("is one of ours");
    let typed = serde_json::to_value(typed).expect("is JSON");
    assert_eq!(typed["status"]["conditions"], object["status"]["conditions"], "{what}");
    assert_eq!(health(&key::<K>(), &typed), (word.to_owned(), message.to_owned()), "{what}");
}

/// A status as the operator writes it: what is said by default, with some of it said otherwise.
fn status(observed_generation: i64, default: &[Said], otherwise: &[Said]) -> Value {
    let kept = default.iter().filter(|old| otherwise.iter().all(|new| new.0 != old.0));
    let said: Vec<_> = kept.chain(otherwise).copied().collect();
    json!({
        "observedGeneration": observed_generation,
        "conditions": conditions(Some(observed_generation), &said),
    })
}

fn conditions(observed_generation: Option<i64>, said: &[Said]) -> Vec<Value> {
    let condition = |(type_, status, reason, message): &Said| {
        let mut condition = json!({
            "lastTransitionTime": "2026-01-02T03:04:05Z",
            "message": message,
            "reason": reason,
            "status": status,
            "type": type_,
        });
        if let Some(generation) = observed_generation {
            condition["observedGeneration"] = generation.into();
        }
        condition
    };
    said.iter().map(condition).collect()
}

/// The status that the API server gives a new object.
fn untouched<K: Resource<DynamicType = ()>>() -> Value {
    let definitions = definitions().expect("are there");
    let (_, text) = definitions.iter().find(|(plural, _)| *plural == K::plural(&())).expect("has one");
    let definition: Value = serde_yaml::from_str(text).expect("is YAML");
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let status = schema["properties"]["status"]["default"].clone();
    assert!(status["conditions"].is_array(), "{status}");
    status
}

fn key<K: Resource<DynamicType = ()>>() -> String {
    format!("resource.customizations.health.{}_{}", K::group(&()), K::kind(&()))
}

fn scripts() -> BTreeMap<String, String> {
    let patch: Value = serde_yaml::from_str(FILE).expect("is YAML");
    serde_json::from_value(patch["data"].clone()).expect("are texts")
}

/// Runs a script over an object: the word and the message that it returns.
fn health(key: &str, object: &Value) -> (String, String) {
    let lua = Lua::new_with(StdLib::TABLE, LuaOptions::default()).expect("starts");
    let globals = lua.globals();
    assert!(!globals.contains_key("string").expect("can be asked"), "Argo CD opens no strings");
    globals.set("obj", to_lua(&lua, object)).expect("can be set");
    let told: Table = lua.load(&scripts()[key]).eval().expect("returns a table");
    (told.get("status").expect("is a text"), told.get("message").expect("is a text"))
}

fn to_lua(lua: &Lua, value: &Value) -> mlua::Value {
    let table = match value {
        Value::Null => return mlua::Value::Nil,
        Value::Bool(value) => return mlua::Value::Boolean(*value),
        Value::Number(value) => return mlua::Value::Number(value.as_f64().expect("is a number")),
        Value::String(value) => {
            return mlua::Value::String(lua.create_string(value).expect("there is memory"));
        }
        Value::Array(items) => lua.create_sequence_from(items.iter().map(|item| to_lua(lua, item))),
        Value::Object(fields) => {
            lua.create_table_from(fields.iter().map(|(key, value)| (key.as_str(), to_lua(lua, value))))
        }
    };
    mlua::Value::Table(table.expect("there is memory"))
}
