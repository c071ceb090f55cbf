//! kcat, the client of the shell: produce with keys, consume, list, ask for offsets, consume as a group.

mod clients;
mod node;

use clients::kcat;
use node::Node;

#[test]
fn kcat_produces_consumes_and_lists() {
    let folder = tempfile::tempdir().expect("a folder");
    let node =
        Node::found(folder.path(), &[("num.partitions", "3"), ("group.initial.rebalance.delay.ms", "0")]);
    let broker = node.bootstrap();
    let input: String = (0..300).map(|i| format!("key-{}:value-{i}\n", i % 10)).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        kcat(&["-b", &broker, "-P", "-t", "orders", "-K", ":", "-z", codec], &input);
    }

    let listed = kcat(&["-b", &broker, "-L"], "");
    assert!(listed.contains("topic \"orders\" with 3 partitions"), "{listed}");

    let out = kcat(&["-b", &broker, "-C", "-t", "orders", "-e", "-q", "-f", "%p %o %k %s\n"], "");
    assert_eq!(out.lines().count(), 5 * 300);
    let one_key: Vec<_> = out.lines().filter(|line| line.split(' ').nth(2) == Some("key-7")).collect();
    assert_eq!(one_key.len(), 5 * 30);
    assert!(
        one_key.iter().all(|line| line.split(' ').next() == one_key[0].split(' ').next()),
        "one partition a key"
    );
    assert!(one_key[0].ends_with("value-7") && one_key[1].ends_with("value-17"), "in order: {one_key:?}");

    let latest = kcat(&["-b", &broker, "-Q", "-t", "orders:0:-1"], "");
    let earliest = kcat(&["-b", &broker, "-Q", "-t", "orders:0:-2"], "");
    let end = out.lines().filter(|line| line.starts_with("0 ")).count();
    assert!(latest.contains(&format!("offset {end}")), "{latest}");
    assert!(earliest.contains("offset 0"), "{earliest}");

    let earliest = ["-X", "auto.offset.reset=earliest"];
    let group = [
        "-b",
        &broker,
        "-G",
        "readers",
        earliest[0],
        earliest[1],
        "-c",
        "1500",
        "-q",
        "-f",
        "%s\n",
        "orders",
    ];
    assert_eq!(kcat(&group, "").lines().count(), 1500);
}
