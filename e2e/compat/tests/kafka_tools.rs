//! Kafka's own command-line tools, as its scripts in `bin/` run them.

mod clients;
mod node;

use clients::{kafka_tool, kafka_tool_with_input};
use node::Node;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand";
const LOG_DIRS: &str = "org.apache.kafka.tools.LogDirsCommand";
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

    fn run_with_input(&self, class: &str, arguments: &str, input: &str) -> String {
        let bootstrap = self.node.bootstrap();
        let mut all = vec!["--bootstrap-server", &bootstrap];
        all.extend(arguments.split_whitespace());
        kafka_tool_with_input(class, &all, input)
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
    let kafka = Kafka::new();
    kafka.run(TOPICS, "--create --topic t --partitions 2");
    let input: String = (0..200).map(|i| format!("key-{}:value-{i}\n", i % 10)).collect();
    let keyed = "--topic t --reader-property parse.key=true --reader-property key.separator=:";
    kafka.run_with_input(PRODUCER, keyed, &input);

    let read =
        "--topic t --from-beginning --max-messages 200 --group readers --formatter-property print.key=true";
    let read = kafka.run(CONSUMER, read);
    assert_eq!(read.lines().filter(|line| line.starts_with("key-3\tvalue-")).count(), 20, "{read}");

    assert!(kafka.run(GROUPS, "--list").contains("readers"));
    let lag = |kafka: &Kafka| {
        let described = kafka.run(GROUPS, "--describe --group readers");
        let lines = described.lines().filter(|line| line.starts_with("readers "));
        lines
            .map(|line| line.split_whitespace().nth(5).unwrap_or_default().parse::<i64>().unwrap_or(-1))
            .sum::<i64>()
    };
    assert_eq!(lag(&kafka), 0);
    kafka.run(GROUPS, "--group readers --topic t --reset-offsets --to-earliest --execute");
    assert_eq!(lag(&kafka), 200);
    kafka.run(GROUPS, "--delete-offsets --group readers --topic t");
    kafka.run(GROUPS, "--delete --group readers");
    assert!(!kafka.run(GROUPS, "--list").contains("readers"));

    let ends = kafka.run(OFFSETS, "--topic t --time -1");
    let sum = |text: &str| -> i64 {
        let offsets = text.lines().filter(|line| line.starts_with("t:"));
        offsets.map(|line| line.rsplit(':').next().unwrap_or_default().parse::<i64>().unwrap_or(-1)).sum()
    };
    assert_eq!(sum(&ends), 200, "{ends}");
    let json = r#"{"version":1,"partitions":[{"topic":"t","partition":0,"offset":5},{"topic":"t","partition":1,"offset":5}]}"#;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), json).expect("a file");
    let dirs = kafka.run(LOG_DIRS, "--describe --topic-list t");
    let json = dirs.lines().find(|line| line.starts_with('{')).expect("a line of JSON");
    for expected in [
        r#""logDir":"/"#,
        r#""partition":"t-0","size":"#,
        r#""partition":"t-1","size":"#,
        r#""offsetLag":0,"isFuture":false"#,
        r#""error":null"#,
    ] {
        assert!(json.contains(expected), "{dirs}");
    }
    assert!(!json.contains("__consumer_offsets") && !json.contains(r#""size":0"#), "{dirs}");

    kafka.run(DELETE_RECORDS, &format!("--offset-json-file {}", file.path().display()));
    assert_eq!(sum(&kafka.run(OFFSETS, "--topic t --time -2")), 10);
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
