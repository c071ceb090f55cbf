//! What clients do with a cluster, whether it is one node or three.

use crate::clients::{kafka_tool_on, kcat};

pub use crate::orders::orders_come_out_as_they_went_in;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand";
const LOG_DIRS: &str = "org.apache.kafka.tools.LogDirsCommand";

/// With each codec; a new topic has three partitions.
pub fn kcat_produces_consumes_and_lists(broker: &str) {
    let input: String = (0..300).map(|i| format!("key-{}:value-{i}\n", i % 10)).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        kcat(&["-b", broker, "-P", "-t", "trades", "-K", ":", "-z", codec], &input);
    }

    let listed = kcat(&["-b", broker, "-L"], "");
    assert!(listed.contains("topic \"trades\" with 3 partitions"), "{listed}");

    let out = kcat(&["-b", broker, "-C", "-t", "trades", "-e", "-q", "-f", "%p %o %k %s\n"], "");
    assert_eq!(out.lines().count(), 5 * 300);
    let one_key: Vec<_> = out.lines().filter(|line| line.split(' ').nth(2) == Some("key-7")).collect();
    assert_eq!(one_key.len(), 5 * 30);
    assert!(
        one_key.iter().all(|line| line.split(' ').next() == one_key[0].split(' ').next()),
        "one partition a key"
    );
    assert!(one_key[0].ends_with("value-7") && one_key[1].ends_with("value-17"), "in order: {one_key:?}");

    let latest = kcat(&["-b", broker, "-Q", "-t", "trades:0:-1"], "");
    let earliest = kcat(&["-b", broker, "-Q", "-t", "trades:0:-2"], "");
    let end = out.lines().filter(|line| line.starts_with("0 ")).count();
    assert!(latest.contains(&format!("offset {end}")), "{latest}");
    assert!(earliest.contains("offset 0"), "{earliest}");

    let earliest = ["-X", "auto.offset.reset=earliest"];
    let group =
        ["-b", broker, "-G", "kcat", earliest[0], earliest[1], "-c", "1500", "-q", "-f", "%s\n", "trades"];
    assert_eq!(kcat(&group, "").lines().count(), 1500);
}

/// Kafka's console clients, and what its tools say and do of what they left.
pub fn records_groups_and_offsets(bootstrap: &str) {
    let run = |class: &str, arguments: &str| kafka_tool_on(bootstrap, class, arguments, "");
    run(TOPICS, "--create --topic t --partitions 2");
    let input: String = (0..200).map(|i| format!("key-{}:value-{i}\n", i % 10)).collect();
    let keyed = "--topic t --reader-property parse.key=true --reader-property key.separator=:";
    kafka_tool_on(bootstrap, PRODUCER, keyed, &input);

    let read =
        "--topic t --from-beginning --max-messages 200 --group readers --formatter-property print.key=true";
    let read = run(CONSUMER, read);
    assert_eq!(read.lines().filter(|line| line.starts_with("key-3\tvalue-")).count(), 20, "{read}");

    assert!(run(GROUPS, "--list").contains("readers"));
    let lag = || {
        let described = run(GROUPS, "--describe --group readers");
        let lines = described.lines().filter(|line| line.starts_with("readers "));
        lines
            .map(|line| line.split_whitespace().nth(5).unwrap_or_default().parse::<i64>().unwrap_or(-1))
            .sum::<i64>()
    };
    assert_eq!(lag(), 0);
    run(GROUPS, "--group readers --topic t --reset-offsets --to-earliest --execute");
    assert_eq!(lag(), 200);
    run(GROUPS, "--delete-offsets --group readers --topic t");
    run(GROUPS, "--delete --group readers");
    assert!(!run(GROUPS, "--list").contains("readers"));

    let ends = run(OFFSETS, "--topic t --time -1");
    let sum = |text: &str| -> i64 {
        let offsets = text.lines().filter(|line| line.starts_with("t:"));
        offsets.map(|line| line.rsplit(':').next().unwrap_or_default().parse::<i64>().unwrap_or(-1)).sum()
    };
    assert_eq!(sum(&ends), 200, "{ends}");
    let json = r#"{"version":1,"partitions":[{"topic":"t","partition":0,"offset":5},{"topic":"t","partition":1,"offset":5}]}"#;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), json).expect("a file");
    let dirs = run(LOG_DIRS, "--describe --topic-list t");
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

    run(DELETE_RECORDS, &format!("--offset-json-file {}", file.path().display()));
    assert_eq!(sum(&run(OFFSETS, "--topic t --time -2")), 10);
}
