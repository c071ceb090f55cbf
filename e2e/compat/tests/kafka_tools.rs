//! Kafka's own command-line tools, as its scripts in `bin/` run them.

use compat::clients::kafka_tool;
use compat::node::Node;
use compat::scenarios;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
const PRODUCER_PERF: &str = "org.apache.kafka.tools.ProducerPerformance";
const CONSUMER_PERF: &str = "org.apache.kafka.tools.ConsumerPerformance";

struct Kafka {
    node: Node,
    _folder: tempfile::TempDir,
}

impl Kafka {
    fn new() -> Kafka {
        let folder = tempfile::tempdir().expect("a folder");
        let configs = [("group.initial.rebalance.delay.ms", "0"), ("offsets.topic.num.partitions", "3")];
        Kafka { node: Node::found(folder.path(), &configs), _folder: folder }
    }

    fn run(&self, class: &str, arguments: &str) -> String {
        let bootstrap = self.node.bootstrap();
        let mut all = vec!["--bootstrap-server", &bootstrap];
        all.extend(arguments.split_whitespace());
        kafka_tool(class, &all)
    }
}

#[test]
fn topics_and_their_configurations() {
    let kafka = Kafka::new();
    kafka.run(TOPICS, "--create --topic orders --partitions 3 --config retention.ms=86400000");
    let described = kafka.run(TOPICS, "--describe --topic orders");
    assert!(described.contains("PartitionCount: 3"), "{described}");
    assert!(described.contains("Configs: retention.ms=86400000"), "{described}");
    assert!(described.contains("Leader: 0"), "{described}");
    kafka.run(TOPICS, "--alter --topic orders --partitions 5");
    assert!(kafka.run(TOPICS, "--describe --topic orders").contains("PartitionCount: 5"));

    kafka.run(
        CONFIGS,
        "--alter --entity-type topics --entity-name orders --add-config max.message.bytes=2000",
    );
    let all = kafka.run(CONFIGS, "--describe --all --entity-type topics --entity-name orders");
    assert!(all.contains("max.message.bytes=2000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG"), "{all}");
    assert!(all.contains("DEFAULT_CONFIG:log.cleanup.policy=delete"), "{all}");
    kafka.run(CONFIGS, "--alter --entity-type topics --entity-name orders --delete-config max.message.bytes");
    let set = kafka.run(CONFIGS, "--describe --entity-type topics --entity-name orders");
    assert!(!set.contains("max.message.bytes") && set.contains("retention.ms"), "{set}");
    let broker = kafka.run(CONFIGS, "--describe --all --entity-type brokers --entity-name 0");
    assert!(broker.contains("node.id=0") && broker.contains("STATIC_BROKER_CONFIG:node.id=0"), "{broker}");

    kafka.run(TOPICS, "--delete --topic orders");
    assert!(!kafka.run(TOPICS, "--list").contains("orders"));
}

#[test]
fn records_groups_and_offsets() {
    scenarios::records_groups_and_offsets(&Kafka::new().node.bootstrap());
}

#[test]
fn performance_tools() {
    let kafka = Kafka::new();
    kafka.run(TOPICS, "--create --topic perf --partitions 3");
    let bootstrap = kafka.node.bootstrap();
    let produced = kafka_tool(
        PRODUCER_PERF,
        &[
            "--bootstrap-server",
            &bootstrap,
            "--topic",
            "perf",
            "--num-records",
            "50000",
            "--record-size",
            "200",
            "--throughput",
            "-1",
            "--command-property",
            "acks=all",
        ],
    );
    assert!(produced.contains("50000 records sent"), "{produced}");
    let consumed = kafka.run(CONSUMER_PERF, "--topic perf --num-records 50000 --hide-header");
    let line = consumed.lines().rev().find(|line| line.matches(',').count() == 9).unwrap_or_default();
    assert_eq!(line.split(',').nth(4).map(str::trim), Some("50000"), "{consumed}");
}
