//! A million orders as JSON, made with a fixed seed, go in by librdkafka with each codec and come out by Kafka's Java
//! consumer: equal, and in order for each key.

use compat::node::Node;
use compat::scenarios;

const ORDERS: usize = 1_000_000;

#[test]
fn a_million_orders_come_out_as_they_went_in_with_each_codec() {
    let folder = tempfile::tempdir().expect("a folder");
    let node =
        Node::found(folder.path(), &[("num.partitions", "6"), ("group.initial.rebalance.delay.ms", "0")]);
    scenarios::orders_come_out_as_they_went_in(
        &node.bootstrap(),
        ORDERS,
        &["none", "gzip", "snappy", "lz4", "zstd"],
    );
}
