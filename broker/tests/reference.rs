//! The book's tables of metrics and of APIs are what a broker serves.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Broker, produce};
use protocol::ApiKey;
use protocol::messages::{
    ApiVersionsRequest, FetchRequest, FindCoordinatorRequest, OffsetCommitRequest, fetch_request,
    offset_commit_request,
};

/// The cells of each row of a page's tables whose first cell is in backticks or a number.
fn rows(page: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/book/src/reference").join(page);
    let text = std::fs::read_to_string(path).expect("the page is there");
    let rows = text.lines().filter_map(|line| {
        let cells = line.trim().strip_prefix('|')?.strip_suffix('|')?.split('|');
        let cells: Vec<_> = cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
        let is_row = line.starts_with("| `") || cells[0].parse::<i16>().is_ok();
        is_row.then_some(cells)
    });
    rows.collect()
}

#[test]
fn the_book_lists_the_apis_that_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = Broker::start(folder.path(), "");
    let request = ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let response = broker.connect().ask(&request, 3);
    let served: Vec<_> = response
        .api_keys
        .iter()
        .map(|api| {
            let key = ApiKey::try_from(api.api_key).expect("exists");
            let range = format!("{}–{}", api.min_version, api.max_version);
            vec![api.api_key.to_string(), key.name().to_owned(), range]
        })
        .collect();
    let written: Vec<_> = rows("protocol.md").into_iter().map(|row| row[..3].to_vec()).collect();
    assert_eq!(written, served, "protocol.md is not what is served");
    broker.stop();
}

/// Their series are by broker, and a broker alone has none.
const NEED_ANOTHER_BROKER: [&str; 3] = [
    "taffrail_follower_lag_records_max",
    "taffrail_follower_lag_seconds_max",
    "taffrail_fetcher_failures_total",
];

#[test]
fn the_book_lists_the_metrics_that_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = Broker::start(folder.path(), "config: {offsets.topic.num.partitions: 1}\n");
    use_everything(&broker);
    let text = broker.http("GET /metrics", "").expect("is up");
    let served: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| {
            let (name, kind) = line.split_once(' ').expect("has a type");
            (name.to_owned(), kind.to_owned(), labels(&text, name))
        })
        .collect();
    let written: BTreeSet<_> = rows("metrics.md")
        .into_iter()
        .map(|row| {
            let labels = row[2].split(", ").filter(|label| !label.is_empty());
            (row[0].clone(), row[1].clone(), labels.map(str::to_owned).collect())
        })
        .collect();
    let missing: Vec<_> = served.difference(&written).collect();
    let surplus: Vec<_> = written
        .difference(&served)
        .filter(|(name, ..)| !NEED_ANOTHER_BROKER.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty() && surplus.is_empty(), "not written: {missing:#?}\nnot served: {surplus:#?}");
    assert_values(&text);
    broker.stop();
}

/// Every label that a family's series have, but for those that its type gives.
fn labels(text: &str, family: &str) -> BTreeSet<String> {
    let series = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(family)?;
        let rest =
            ["_bucket", "_count", "_sum"].iter().find_map(|end| rest.strip_prefix(end)).unwrap_or(rest);
        rest.strip_prefix('{')?.split_once('}').map(|(labels, _)| labels)
    });
    let names = series.flat_map(|labels| labels.split("\",")).filter_map(|pair| pair.split_once("=\""));
    names.map(|(name, _)| name.to_owned()).filter(|name| name != "le").collect()
}

/// Does what makes every family have a series.
fn use_everything(broker: &Broker) {
    broker.create_topic("orders");
    let mut connection = broker.connect();
    for value in [b"first", b"other"] {
        let response = connection.ask(&produce("orders", value, -1), 9);
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    }
    let mut invalid = produce("orders", b"value", -1);
    invalid.topic_data[0].partition_data[0].records = None;
    let response = connection.ask(&invalid, 9);
    assert_ne!(response.responses[0].partition_responses[0].error_code, 0);
    for fetch_offset in [0, 1000] {
        let partition = fetch_request::FetchPartition {
            fetch_offset,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        };
        let topic = fetch_request::FetchTopic {
            topic: "orders".into(),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = FetchRequest { max_bytes: 1 << 20, topics: vec![topic], ..Default::default() };
        let response = connection.ask(&request, 11);
        let error = response.responses[0].partitions[0].error_code;
        assert_eq!(error == 0, fetch_offset == 0, "{response:?}");
    }
    commit(&mut connection);
}

/// The group `readers` has read one record.
fn commit(connection: &mut common::Connection) {
    let coordinator =
        FindCoordinatorRequest { coordinator_keys: vec!["readers".into()], ..Default::default() };
    let topic = offset_commit_request::OffsetCommitRequestTopic {
        name: "orders".into(),
        partitions: vec![offset_commit_request::OffsetCommitRequestPartition {
            committed_offset: 1,
            ..Default::default()
        }],
        ..Default::default()
    };
    let request =
        OffsetCommitRequest { group_id: "readers".into(), topics: vec![topic], ..Default::default() };
    let started = Instant::now();
    loop {
        connection.ask(&coordinator, 4);
        let response = connection.ask(&request, 8);
        if response.topics[0].partitions[0].error_code == 0 {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{response:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What dashboards show of it.
fn assert_values(text: &str) {
    for line in [
        "kafka_brokers 1",
        "kafka_topic_partitions{topic=\"orders\"} 1",
        "kafka_topic_partition_current_offset{partition=\"0\",topic=\"orders\"} 2",
        "kafka_topic_partition_oldest_offset{partition=\"0\",topic=\"orders\"} 0",
        "kafka_consumergroup_current_offset{consumergroup=\"readers\",partition=\"0\",topic=\"orders\"} 1",
        "kafka_consumergroup_lag{consumergroup=\"readers\",partition=\"0\",topic=\"orders\"} 1",
        "kafka_consumergroup_lag_sum{consumergroup=\"readers\",topic=\"orders\"} 1",
        "kafka_consumergroup_members{consumergroup=\"readers\"} 0",
        "kafka_server_brokertopicmetrics_messagesin_total{topic=\"orders\"} 2",
        "kafka_server_brokertopicmetrics_totalproducerequests_total{topic=\"orders\"} 3",
        "kafka_server_brokertopicmetrics_failedproducerequests_total{topic=\"orders\"} 1",
        "kafka_server_brokertopicmetrics_failedfetchrequests_total{topic=\"orders\"} 1",
        "kafka_cluster_partition_atminisr{partition=\"0\",topic=\"orders\"} 1",
        "kafka_cluster_partition_underminisr{partition=\"0\",topic=\"orders\"} 0",
        "kafka_controller_kafkacontroller_activecontrollercount 1",
        "taffrail_active_controller 1",
        "taffrail_brokers_active 1",
        "taffrail_brokers_fenced 0",
        "taffrail_partitions_offline 0",
        "taffrail_partitions_under_min_isr 0",
        "taffrail_partitions_under_replicated 0",
        "taffrail_quorum_leader 0",
        "taffrail_quorum_lag_entries{node=\"0\",role=\"voter\"} 0",
        "taffrail_leader_elections_total{kind=\"unclean\"} 0",
        "taffrail_purgatory_size{api=\"Produce\"} 0",
        "taffrail_quorum_elections_total 1",
        "kafka_network_requestmetrics_requests_total{request=\"Produce\",version=\"9\"} 3",
        "kafka_network_requestmetrics_totaltimems_count{request=\"Produce\"} 3",
    ] {
        assert!(text.lines().any(|found| found == line), "no line {line}");
    }
}
