//! `/metrics` as Prometheus reads it: the text is well formed, and what clients send does not make it grow.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::{Broker, Connection, produce};
use protocol::messages::{
    DeleteTopicsRequest, FetchRequest, FindCoordinatorRequest, MetadataRequest, OffsetCommitRequest,
    delete_topics_request, fetch_request, offset_commit_request,
};

/// One metric of an exposition.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    /// Name and labels of each series, with its value.
    series: BTreeMap<String, f64>,
}

/// The body of an answer, read as strictly as the text format allows.
fn families(answer: &str) -> BTreeMap<String, Family> {
    let (head, text) = answer.split_once("\r\n\r\n").expect("is HTTP");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(text.ends_with('\n'), "the last line ends");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let mut described = BTreeSet::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("has a text");
            assert!(!help.is_empty() && described.insert(name.to_owned()), "{line}: once, with a text");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("has a type");
            assert!(described.contains(name), "{line}: HELP comes first");
            current = name.to_owned();
            let family = Family { kind: kind.to_owned(), ..Family::default() };
            assert!(families.insert(current.clone(), family).is_none(), "{line}: once");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("has a value");
            let name = series.split('{').next().expect("has a name");
            let family = families.get_mut(&current).expect("TYPE comes first");
            let suffixes: &[&str] =
                if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.iter().any(|end| name == format!("{current}{end}")), "{line} among {current}");
            let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.chars().all(is_legal), "{name}");
            let value: f64 = value.parse().expect("is a number");
            assert!(value.is_finite(), "{line}");
            assert!(family.series.insert(series.to_owned(), value).is_none(), "{line}: once");
        }
    }
    families
}

fn assert_well_formed(families: &BTreeMap<String, Family>) {
    for (name, family) in families {
        assert!(!family.series.is_empty(), "{name} has no series");
        match family.kind.as_str() {
            "counter" => {
                // Strimzi's rules call the count of a timer so; all others as Prometheus wants it.
                assert!(name.ends_with("_total") || name.ends_with("_totaltimems_count"), "{name}");
                assert!(family.series.values().all(|value| *value >= 0.0), "{name}");
            }
            "gauge" => assert!(!name.ends_with("_total"), "{name}"),
            "histogram" => assert_buckets(name, family),
            kind => panic!("{name} is a {kind}"),
        }
    }
}

/// Of each set of labels the buckets rise, and the last holds all.
fn assert_buckets(name: &str, family: &Family) {
    let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (series, value) in &family.series {
        let Some((labels, le)) =
            series.strip_prefix(&format!("{name}_bucket{{")).and_then(|s| s.split_once(",le=\""))
        else {
            continue;
        };
        let bound = le.trim_end_matches("\"}").replace("+Inf", "inf");
        buckets.entry(labels.to_owned()).or_default().push((bound.parse().expect("is a number"), *value));
    }
    assert!(!buckets.is_empty(), "{name}");
    for (labels, mut bounds) in buckets {
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(bounds.is_sorted_by(|a, b| a.1 <= b.1), "{name} {labels}: {bounds:?}");
        assert!(bounds.len() >= 10, "{name} {labels}");
        let count = family.series[&format!("{name}_count{{{labels}}}")];
        assert_eq!(bounds.last(), Some(&(f64::INFINITY, count)), "{name} {labels}");
        assert!(family.series.contains_key(&format!("{name}_sum{{{labels}}}")));
    }
}

fn scrape(broker: &Broker) -> BTreeMap<String, Family> {
    families(&broker.http("GET /metrics", "").expect("is up"))
}

fn fetch(topic: &str) -> FetchRequest {
    let partition = fetch_request::FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = fetch_request::FetchTopic {
        topic: topic.to_owned().into(),
        partitions: vec![partition],
        ..Default::default()
    };
    FetchRequest { max_bytes: 1 << 20, topics: vec![topic], ..Default::default() }
}

/// The code with which a commit of one offset is answered.
fn commit(connection: &mut Connection, group: &str, topic: &str) -> i16 {
    let partition =
        offset_commit_request::OffsetCommitRequestPartition { committed_offset: 1, ..Default::default() };
    let topic = offset_commit_request::OffsetCommitRequestTopic {
        name: topic.to_owned().into(),
        partitions: vec![partition],
        ..Default::default()
    };
    let request =
        OffsetCommitRequest { group_id: group.to_owned().into(), topics: vec![topic], ..Default::default() };
    connection.ask(&request, 8).topics[0].partitions[0].error_code
}

fn wait_for(what: &str, mut look: impl FnMut() -> bool) {
    let started = Instant::now();
    while !look() {
        assert!(started.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn mentions(families: &BTreeMap<String, Family>, text: &str) -> Vec<String> {
    let series = families.values().flat_map(|family| family.series.keys());
    series.filter(|series| series.contains(text)).cloned().collect()
}

#[test]
fn the_text_is_what_prometheus_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = Broker::start(folder.path(), "config: {offsets.topic.num.partitions: 1}\n");
    broker.create_topic("orders");
    let mut connection = broker.connect();
    connection.ask(&produce("orders", b"value", -1), 9);
    connection.ask(&fetch("orders"), 11);
    // A group may have any name, also one that would end the text's quotes and its line.
    let odd = "a \"group\" \\ of\nmany lines";
    let coordinator = FindCoordinatorRequest { coordinator_keys: vec![odd.into()], ..Default::default() };
    connection.ask(&coordinator, 4);
    wait_for("the commit", || commit(&mut connection, odd, "orders") == 0);

    let first = scrape(&broker);
    assert_well_formed(&first);
    let escaped = r#"consumergroup="a \"group\" \\ of\nmany lines""#;
    assert!(!mentions(&first, escaped).is_empty(), "{:?}", mentions(&first, "consumergroup"));
    connection.ask(&produce("orders", b"value", -1), 9);
    let second = scrape(&broker);
    assert_well_formed(&second);
    for (name, family) in first.iter().filter(|(_, family)| family.kind != "gauge") {
        for (series, value) in &family.series {
            assert!(second[name].series[series] >= *value, "{series} went back");
        }
    }
    broker.stop();
}

#[test]
fn names_that_clients_make_up_leave_no_series() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = "config: {offsets.topic.num.partitions: 1, auto.create.topics.enable: false}\n";
    let broker = Broker::start(folder.path(), config);
    broker.create_topic("orders");
    let mut connection = broker.connect();
    wait_for("the group", || {
        let key = FindCoordinatorRequest { coordinator_keys: vec!["real".into()], ..Default::default() };
        connection.ask(&key, 4);
        commit(&mut connection, "real", "orders") == 0
    });
    let everything = |connection: &mut Connection, name: &str| {
        connection.ask(&produce(name, b"value", -1), 9);
        connection.ask(&fetch(name), 11);
        commit(connection, "real", name);
        let topic = protocol::messages::metadata_request::MetadataRequestTopic {
            name: Some(name.to_owned().into()),
            ..Default::default()
        };
        connection.ask(&MetadataRequest { topics: Some(vec![topic]), ..Default::default() }, 9);
        let names = vec![name.to_owned().into()];
        connection
            .ask(&DeleteTopicsRequest { topic_names: names, timeout_ms: 1000, ..Default::default() }, 5);
    };
    everything(&mut connection, "invented-0");
    let count = |families: &BTreeMap<String, Family>| {
        families.values().map(|family| family.series.len()).sum::<usize>()
    };
    let before = count(&scrape(&broker));
    for i in 1..200 {
        everything(&mut connection, &format!("invented-{i}"));
    }
    let after = scrape(&broker);
    assert_eq!(mentions(&after, "invented"), Vec::<String>::new());
    assert_eq!(count(&after), before);
    broker.stop();
}

#[test]
fn series_go_with_their_topic() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = Broker::start(folder.path(), "");
    let mut connection = broker.connect();
    broker.create_topic("orders");
    connection.ask(&produce("orders", b"value", -1), 9);
    connection.ask(&fetch("orders"), 11);
    assert!(mentions(&scrape(&broker), "\"orders\"").len() > 20);
    let topics =
        vec![delete_topics_request::DeleteTopicState { name: Some("orders".into()), ..Default::default() }];
    let response =
        connection.ask(&DeleteTopicsRequest { topics, timeout_ms: 10_000, ..Default::default() }, 6);
    assert_eq!(response.responses[0].error_code, 0);
    wait_for("the end of its series", || mentions(&scrape(&broker), "\"orders\"").is_empty());
    // What still asks for it does not bring it back.
    connection.ask(&produce("orders", b"value", -1), 9);
    connection.ask(&fetch("orders"), 11);
    assert_eq!(mentions(&scrape(&broker), "\"orders\""), Vec::<String>::new());
    broker.stop();
}
