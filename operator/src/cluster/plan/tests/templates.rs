//! What is added to Pods.

use serde_json::json;

use super::{all_of, cluster, status, steps, valid};

#[test]
fn another_template_outdates_the_pods_that_it_is_for_and_no_others() {
    let with_labels = |brokers: &str, controllers: &str| {
        cluster(|body| {
            let template = |label: &str| json!({ "pod": { "metadata": { "labels": { "team": label } } } });
            body["spec"]["brokers"]["template"] = template(brokers);
            body["spec"]["controllers"] = json!({
                "replicas": 3, "storage": { "ephemeral": {} }, "template": template(controllers),
            });
        })
    };
    let (before, after) = (with_labels("a", "a"), with_labels("b", "a"));
    let observed = all_of(&valid(&before), Some("old"));
    let founded = status(Some("old"), None);
    assert_eq!(steps(&before, &founded, &observed), [""; 0]);
    assert_eq!(steps(&after, &founded, &observed), ["apply StatefulSet demo-broker"]);
    assert_ne!(valid(&before).pod_hash_of(0), valid(&after).pod_hash_of(0));
    assert_eq!(valid(&before).pod_hash_of(1000), valid(&after).pod_hash_of(1000));
}
