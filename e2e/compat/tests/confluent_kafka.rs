//! confluent-kafka from PyPI (librdkafka): administration, idempotent producer, groups with every assignor it has, static
//! membership, offsets.

use compat::clients;
use compat::node::Node;

#[test]
fn confluent_kafka_works_as_against_kafka() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::found(folder.path(), &[("group.initial.rebalance.delay.ms", "0")]);
    let printed = clients::python("confluent_client.py", &[&node.bootstrap(), "1"]);
    assert!(printed.ends_with("all done\n"), "{printed}");
}
