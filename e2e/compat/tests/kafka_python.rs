//! kafka-python from PyPI, which is written in Python alone: administration, producer with each codec of its own, groups.

use compat::clients;
use compat::node::Node;

#[test]
fn kafka_python_works_as_against_kafka() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::found(folder.path(), &[("group.initial.rebalance.delay.ms", "0")]);
    let printed = clients::python("kafka_python_client.py", &[&node.bootstrap(), "1"]);
    assert!(printed.ends_with("all done\n"), "{printed}");
}
