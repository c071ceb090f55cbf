//! Controllers with Pods of their own.

use resources::KafkaCluster;
use serde_json::json;

use super::{Gate, Observed, all_of, close, cluster, directory, nothing, say, status, steps, valid};

/// A cluster with dedicated controllers.
fn dedicated(controllers: i32) -> KafkaCluster {
    cluster(|body| {
        let storage = json!({ "persistent": { "size": "1Gi" } });
        body["spec"]["brokers"]["replicas"] = json!(3);
        body["spec"]["controllers"] = json!({ "replicas": controllers, "storage": storage });
    })
}

#[test]
fn dedicated_controllers_come_before_brokers_and_found_the_cluster() {
    let done = steps(&dedicated(3), &status(None, None), &nothing());
    assert_eq!(
        done[done.len() - 2..],
        ["apply StatefulSet demo-controller", "apply StatefulSet demo-broker"]
    );
    let observed = all_of(&valid(&dedicated(3)), None);
    let expected = [
        "write cluster id newnewnewnewnewnewneww",
        "found cluster newnewnewnewnewnewneww with voters 1000,1001,1002",
    ];
    assert_eq!(steps(&dedicated(3), &status(None, None), &observed), expected);
    assert_eq!(
        steps(&dedicated(3), &status(Some("old"), None), &all_of(&valid(&dedicated(3)), Some("old"))),
        [""; 0]
    );
}

#[test]
fn controllers_become_more_and_fewer_by_change_of_membership() {
    let settled = status(Some("old"), Some("0.1.0"));
    let mut observed = all_of(&valid(&dedicated(3)), Some("old"));
    assert_eq!(steps(&dedicated(5), &settled, &observed), ["apply StatefulSet demo-controller"]);
    observed = all_of(&valid(&dedicated(5)), Some("old"));
    observed.voters = Some((1000..1003).map(directory).collect());
    assert_eq!(steps(&dedicated(5), &settled, &observed), ["add voter 1003"]);
    observed.voters = Some((1000..1004).map(directory).collect());
    assert_eq!(steps(&dedicated(5), &settled, &observed), ["add voter 1004"]);
    // Fewer: first their votes go, one at a time, and then they do.
    observed.voters = Some((1000..1005).map(directory).collect());
    assert_eq!(steps(&dedicated(3), &settled, &observed), ["remove voter 1004"]);
    observed.voters = Some((1000..1003).map(directory).collect());
    assert_eq!(steps(&dedicated(3), &settled, &observed), ["apply StatefulSet demo-controller"]);
}

#[test]
fn controllers_are_restarted_before_brokers_behind_a_closed_budget() {
    let settled = status(Some("old"), Some("0.1.0"));
    let before = all_of(&valid(&dedicated(3)), Some("old"));
    let mut wanted = dedicated(3);
    wanted.spec.image = Some("taffrail:2".to_owned());
    let after = all_of(&valid(&wanted), Some("old"));
    let mut observed = Observed { brokers: before.brokers, controllers: before.controllers, ..after };
    say(&mut observed, |cluster| cluster.controller = Some(1002));
    assert_eq!(steps(&wanted, &settled, &observed), ["apply PodDisruptionBudget demo"]);
    close(&mut observed, &wanted);
    assert_eq!(
        steps(&wanted, &settled, &observed),
        ["delete Pod demo-controller-1001: its image, configuration, resources or template changed"]
    );
    observed.controllers[1].gate = Gate::Refused("2 voters are needed".to_owned());
    assert_eq!(steps(&wanted, &settled, &observed), [""; 0]);
}
