//! Nodes that do not belong where they are started: each is refused, in words that say what to do, and harms nobody.

use compat::node::Node;

#[test]
fn a_second_process_of_one_id_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::found_several(folder.path(), (2, 1), &[]);
    let mut twin = nodes[1].twin(&folder.path().join("twin"));
    twin.start();
    twin.wait_problem("another process lives as broker 1: give each node an id of its own");
    let state = nodes[0].state();
    assert_eq!(state["cluster"]["brokers"].as_array().map(Vec::len), Some(2), "{state}");
    assert_eq!(nodes[1].http("GET", "/readyz", "").expect("an answer").0, 200, "the first one goes on");
}

#[test]
fn a_node_of_another_cluster_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let ours = Node::found_several(&first, (2, 1), &[]);
    let mut theirs = Node::found_several(&second, (2, 1), &[]);
    theirs[1].stop();
    // Its disk is of one cluster, its configuration of the other.
    theirs[1].take_configuration_of(&ours[1]);
    theirs[1].start();
    theirs[1].wait_problem("look at its disk and its peers in broker.yaml");
    assert_eq!(ours[0].http("GET", "/readyz", "").expect("an answer").0, 200);
}
