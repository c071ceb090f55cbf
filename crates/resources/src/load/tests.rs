//! What a file with a mistake is answered with.

use super::load;

const GOOD: &str = "\
apiVersion: taffrail.dev/v1alpha1
kind: KafkaCluster
metadata:
  name: demo
spec:
  brokers:
    replicas: 1
    storage:
      persistent:
        size: 10Gi
  config:
    num.partitions: 3
    auto.create.topics.enable: false
---
apiVersion: taffrail.dev/v1alpha1
kind: KafkaTopic
metadata:
  name: orders
spec:
  clusterRef:
    name: demo
  partitions: 6
  replicas: 1
  config:
    retention.ms: 604800000
";

fn error(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from} is not in the file");
    let wrong = GOOD.replacen(from, to, 1);
    load(&wrong).expect_err("has a mistake").to_string()
}

#[test]
fn a_value_that_is_no_text_is_refused_by_its_key() {
    for wrong in ["{a: b}", "[1]"] {
        let error = error("retention.ms: 604800000", &format!("retention.ms: {wrong}"));
        assert!(error.contains("spec.config.retention.ms"), "{error}");
    }
    let error = error("num.partitions: 3", "num.partitions: [3]");
    assert!(error.contains("spec.config.num.partitions") && error.contains("[3]"), "{error}");
}

#[test]
fn a_good_file_is_read() {
    let manifests = load(GOOD).expect("is good");
    assert_eq!(manifests.cluster.spec.config.0["auto.create.topics.enable"], "false");
    assert_eq!(manifests.topics[0].topic_name(), "orders");
    assert_eq!(manifests.topics[0].spec.config.0["retention.ms"], "604800000");
}

#[test]
fn errors_name_line_field_and_what_to_write() {
    let unknown = error("partitions: 6", "partition: 6");
    assert_eq!(
        unknown,
        "line 22, KafkaTopic orders: spec.partition: is not a field: did you mean partitions?"
    );
    let missing = error("  partitions: 6\n", "");
    assert!(missing.contains("line 19, KafkaTopic orders: spec.partitions: is missing"), "{missing}");
    let misspelt = error("  config:\n    retention", "  confg:\n    retention");
    assert_eq!(misspelt, "line 24, KafkaTopic orders: spec.confg: is not a field: did you mean config?");
    let brokers = error("replicas: 1", "replicas: 0");
    assert_eq!(
        brokers,
        "line 7, KafkaCluster demo: spec.brokers.replicas: is not 1 to 1000: write 3 for a cluster that survives the \
         loss of one"
    );
    let replicas = error("partitions: 6\n  replicas: 1", "partitions: 6\n  replicas: 3");
    assert_eq!(
        replicas,
        "line 23, KafkaTopic orders: spec.replicas: is more than the 1 of spec.brokers.replicas: write 1"
    );
    let cluster = error("name: demo\n  partitions", "name: dmo\n  partitions");
    assert!(cluster.contains("line 21") && cluster.contains("write name: demo"), "{cluster}");
    let kind = error("kind: KafkaTopic", "kind: Topic");
    assert!(kind.contains("line 16") && kind.contains("write KafkaCluster or KafkaTopic"), "{kind}");
}

#[test]
fn values_of_the_wrong_type_name_their_field() {
    let text = error("partitions: 6", "partitions: six");
    assert!(text.contains("line 22") && text.contains("spec.partitions"), "{text}");
}

#[test]
fn configurations_are_checked() {
    let key = error("retention.ms: 604800000", "retention.sm: 1");
    assert!(key.contains("line 25") && key.contains("did you mean retention.ms?"), "{key}");
    let value = error("retention.ms: 604800000", "retention.ms: week");
    assert!(value.contains("line 25") && value.contains("week"), "{value}");
}

#[test]
fn configurations_that_cannot_work_here_say_what_to_write() {
    let own = error("num.partitions: 3", "log.dirs: /data");
    assert!(own.ends_with("spec.config.log.dirs: log.dirs follows from the cluster: leave it out"), "{own}");
    for key in ["default.replication.factor", "min.insync.replicas"] {
        let many = error("num.partitions: 3", &format!("{key}: 2"));
        assert!(many.contains("line 12"), "{many}");
        assert!(
            many.ends_with(&format!("{key}: is more than there are replicas: write 1, or leave it out")),
            "{many}"
        );
    }
    let topic = error("retention.ms: 604800000", "min.insync.replicas: 2");
    assert!(topic.contains("KafkaTopic orders") && topic.contains("write 1, or leave it out"), "{topic}");
}

#[test]
fn what_is_not_yaml_names_its_line() {
    let text = error("  partitions: 6", "  partitions: [6");
    assert!(text.starts_with("line 2"), "{text}");
}

#[test]
fn a_file_has_one_cluster() {
    let (cluster, topic) = GOOD.split_once("---\n").expect("two documents");
    assert!(load(topic).expect_err("has none").to_string().contains("has no KafkaCluster"));
    let twice = format!("{cluster}---\n{cluster}");
    assert!(load(&twice).expect_err("has two").to_string().contains("has 2 KafkaClusters"));
    assert!(load("").is_err());
}

#[test]
fn the_example_is_good() {
    let manifests = load(include_str!("../../../../examples/demo.yaml")).expect("is good");
    assert_eq!(manifests.topics.len(), 2);
}
