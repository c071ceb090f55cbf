//! kcat, the client of the shell: produce with keys, consume, list, ask for offsets, consume as a group.

use compat::node::Node;
use compat::scenarios;

#[test]
fn kcat_produces_consumes_and_lists() {
    let folder = tempfile::tempdir().expect("a folder");
    let node =
        Node::found(folder.path(), &[("num.partitions", "3"), ("group.initial.rebalance.delay.ms", "0")]);
    scenarios::kcat_produces_consumes_and_lists(&node.bootstrap());
}
