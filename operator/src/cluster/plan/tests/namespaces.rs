//! Topics of other namespaces, where the operator may not know which those are.

use serde_json::json;

use super::{Blocked, all_of, blocked, cluster, status, steps, valid};

#[test]
fn a_selector_of_namespaces_that_cannot_be_read_says_which_right_is_missing_and_holds_up_nothing_else() {
    let wanted = cluster(|body| {
        body["spec"]["topicNamespaces"] = json!({ "from": "Selector", "selector": {} });
    });
    let mut observed = all_of(&valid(&wanted), Some("old"));
    let why = "the operator may not read namespaces: install it with rbac.clusterReads=true (denied)";
    observed.unreadable_namespaces = Some(why.to_owned());
    let expected = Blocked {
        reason: "NamespacesUnreadable",
        message: format!("spec.topicNamespaces.selector: {why}; or write from: Names"),
    };
    assert_eq!(blocked(&wanted, &status(Some("old"), None), &observed), expected);
    let scaled = cluster(|body| body["spec"]["brokers"]["replicas"] = json!(2));
    assert_eq!(steps(&scaled, &status(Some("old"), None), &observed), ["apply StatefulSet demo-broker"]);
}
