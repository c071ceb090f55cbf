//! What clients outside are told, as Kubernetes gives addresses.

use kube::ResourceExt;
use resources::KafkaCluster;
use serde_json::{Value, json};

use super::{
    Child, Kind, NEW_ID, Observed, Plan, Resource, Step, all_of, cluster, names, plan, status, valid,
};

/// A cluster that is reached from outside, too.
fn outside(kind: &str) -> KafkaCluster {
    cluster(|body| {
        body["spec"]["listeners"] = json!([
            { "name": "plain", "port": 9092 },
            { "name": "ext", "port": 9094, "type": kind },
        ]);
    })
}

/// The address that a broker's file has for the listener from outside.
fn told_outside(observed: &Observed) -> Option<String> {
    let map = observed.child(Kind::ConfigMap, "demo-advertised").expect("is there");
    let file: Value = serde_json::from_str(map["data"]["0.json"].as_str()?).expect("is JSON");
    let address = file.get("EXT")?;
    Some(format!("{}:{}", address["host"].as_str()?, address["port"]))
}

/// Does what the plan applies, and gives its steps.
fn carry_out(wanted: &KafkaCluster, observed: &mut Observed) -> (Vec<String>, Plan) {
    let valid = valid(wanted);
    let done = plan(&valid, &status(Some("old"), Some("0.1.0")), observed, NEW_ID).expect("can be done");
    for step in &done.steps {
        if let Step::Apply(resource) = step {
            observed.children.retain(|child| child.kind != resource.kind || child.name != resource.name);
            let Resource { kind, name, body } = resource.clone();
            observed.children.push(Child { kind, name, body });
        }
        if let Step::Announce { hash, .. } = step {
            let pod = observed.brokers[0].pod.as_mut().expect("is there");
            pod.annotations_mut().insert(names::ADVERTISED.to_owned(), hash.clone());
        }
        if let Step::DeleteService { name } = step {
            observed.children.retain(|child| child.name != *name);
        }
    }
    (done.steps.iter().map(ToString::to_string).collect(), done)
}

fn service<'a>(observed: &'a mut Observed, name: &str) -> &'a mut Value {
    let service = observed.children.iter_mut().find(|child| child.name == name);
    &mut service.expect("is there").body
}

#[test]
fn a_port_of_the_nodes_is_told_once_kubernetes_has_given_it() {
    let wanted = outside("nodeport");
    let mut observed = all_of(&valid(&wanted), Some("old"));
    let (steps, plan) = carry_out(&wanted, &mut observed);
    assert_eq!(steps, [""; 0]);
    assert_eq!(plan.pending, ["listener ext: broker 0 is on no node yet"]);
    let on = |node: &str, observed: &mut Observed| {
        let pod = observed.brokers[0].pod.as_mut().expect("is there");
        pod.status.as_mut().expect("has one").host_ip = Some(node.to_owned());
    };
    on("10.0.0.7", &mut observed);
    let (_, plan) = carry_out(&wanted, &mut observed);
    assert_eq!(plan.pending, ["listener ext: Service demo-ext-0 has no port on the nodes yet"]);
    service(&mut observed, "demo-ext-0")["spec"]["ports"][0]["nodePort"] = json!(31000);
    assert_eq!(carry_out(&wanted, &mut observed).0, ["apply ConfigMap demo-advertised"]);
    assert_eq!(told_outside(&observed).as_deref(), Some("10.0.0.7:31000"));
    // Kubernetes renews the mounted file at once where an annotation changes; the Pod stays.
    assert_eq!(carry_out(&wanted, &mut observed).0, ["announce addresses to Pod demo-broker-0"]);
    assert_eq!(carry_out(&wanted, &mut observed).0, [""; 0]);
    // While it is made again the former node still leads to it; another node is told.
    observed.brokers[0].pod.as_mut().expect("is there").status.as_mut().expect("has one").host_ip = None;
    let (steps, plan) = carry_out(&wanted, &mut observed);
    assert_eq!((steps.len(), plan.pending.len()), (0, 0));
    on("10.0.0.8", &mut observed);
    assert_eq!(carry_out(&wanted, &mut observed).0, ["apply ConfigMap demo-advertised"]);
    assert_eq!(told_outside(&observed).as_deref(), Some("10.0.0.8:31000"));
}

#[test]
fn the_address_of_a_load_balancer_is_told_while_it_has_one() {
    let wanted = outside("loadbalancer");
    let mut observed = all_of(&valid(&wanted), Some("old"));
    assert_eq!(
        carry_out(&wanted, &mut observed).1.pending,
        ["listener ext: Service demo-ext-0 has no address yet"]
    );
    let ingress = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.9" }] } });
    service(&mut observed, "demo-ext-0")["status"] = ingress;
    carry_out(&wanted, &mut observed);
    assert_eq!(told_outside(&observed).as_deref(), Some("192.0.2.9:9094"));
    service(&mut observed, "demo-ext-0")["status"] = json!({});
    carry_out(&wanted, &mut observed);
    assert_eq!(told_outside(&observed), None);
    // What the spec says stands above all that is found out.
    let mut named = outside("loadbalancer");
    let advertised = json!({ "host": "b$(nodeId).example.com", "perBroker": [{ "id": 0, "port": 443 }] });
    named.spec.listeners[1].advertised = serde_json::from_value(advertised).expect("is valid");
    carry_out(&named, &mut observed);
    assert_eq!(told_outside(&observed).as_deref(), Some("b0.example.com:443"));
}

#[test]
fn services_of_a_listener_that_is_gone_are_deleted() {
    let mut observed = all_of(&valid(&outside("nodeport")), Some("old"));
    let (steps, _) = carry_out(&cluster(|_| {}), &mut observed);
    assert_eq!(steps[..2], ["delete Service demo-ext-clients", "delete Service demo-ext-0"]);
}
