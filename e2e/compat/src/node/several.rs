//! Several brokers that are one cluster.

use std::path::Path;

use super::{ADMIN_PORT, CONTROLLER_PORT, KAFKA_PORT, Node, Place};
use crate::wait_until;

impl Node {
    /// Founds a cluster of so many nodes, the first `voters` of which vote; all of them know where the others are.
    pub fn found_several(
        folder: &Path,
        (count, voters): (usize, usize),
        configs: &[(&str, &str)],
    ) -> Vec<Node> {
        let places = (0..count).map(|_| Place::on_loopback()).collect();
        Node::found_at(folder, places, voters, configs)
    }

    /// The same, at places that are given.
    pub fn found_at(folder: &Path, places: Vec<Place>, voters: usize, configs: &[(&str, &str)]) -> Vec<Node> {
        let hosts: Vec<String> = places.iter().map(|place| place.host.clone()).collect();
        let place_at = |(id, place)| Node::new(id, &folder.join(format!("{id}")), place);
        let mut nodes: Vec<Node> = places.into_iter().enumerate().map(place_at).collect();
        nodes.iter().for_each(|node| node.configure(&hosts, configs));
        nodes.iter_mut().for_each(Node::start);
        let voters: Vec<_> = nodes.iter_mut().take(voters).map(Node::voter).collect();
        nodes[0].bootstrap_with(&voters);
        nodes.iter_mut().for_each(Node::wait_ready);
        nodes
    }

    /// Writes its configuration; `hosts` are those of all nodes, itself too, in the order of their ids.
    pub fn configure(&self, hosts: &[String], configs: &[(&str, &str)]) {
        let id = self.id;
        let peer = |(peer, host)| {
            format!(
                "- {{id: {peer}, host: {host}, controllerPort: {CONTROLLER_PORT}, adminPort: {ADMIN_PORT}}}\n"
            )
        };
        let peers: String = hosts.iter().enumerate().filter(|(peer, _)| *peer != id).map(peer).collect();
        let configs: String = configs.iter().map(|(key, value)| format!("  {key}: \"{value}\"\n")).collect();
        let section = |name: &str, lines: &str| match lines {
            "" => String::new(),
            lines => format!("{name}:\n{lines}"),
        };
        let yaml = format!(
            "nodeId: {id}\nroles: [broker, controller]\ndataDirs: [{data}]\n\
             listeners:\n- name: plain\n  bind: {host}:{KAFKA_PORT}\n\
             \x20 advertised: {{host: {host}, port: {KAFKA_PORT}}}\n\
             controller: {{bind: \"{host}:{CONTROLLER_PORT}\"}}\n\
             admin: {{bind: \"{host}:{ADMIN_PORT}\", tokenFile: {token}}}\n{peers}{configs}",
            host = self.place.host,
            data = self.data_dir().display(),
            token = self.folder.join("token").display(),
            peers = section("peers", &peers),
            configs = section("config", &configs),
        );
        std::fs::write(self.folder.join("broker.yaml"), yaml).expect("a configuration");
    }

    /// Who it is among the voters.
    pub fn voter(&mut self) -> serde_json::Value {
        let state = self.state();
        serde_json::json!({ "id": state["nodeId"], "directoryId": state["directoryId"] })
    }

    /// Founds a cluster of these voters.
    pub fn bootstrap_with(&self, voters: &[serde_json::Value]) {
        let cluster = client::node::new_cluster_id().expect("there is randomness");
        let founding = serde_json::json!({ "clusterId": cluster, "voters": voters });
        let (status, body) = self.http("POST", "/v1/bootstrap", &founding.to_string()).expect("an answer");
        assert_eq!(status, 200, "{body}");
    }

    /// A node with the same id and peers, but an address and a disk of its own.
    pub fn twin(&self, folder: &Path) -> Node {
        let twin = Node::new(self.id, folder, Place::on_loopback());
        let yaml = std::fs::read_to_string(self.folder.join("broker.yaml")).expect("it is configured");
        let yaml = yaml
            .replace(&self.place.host, &twin.place.host)
            .replace(&self.folder.display().to_string(), &folder.display().to_string());
        std::fs::write(folder.join("broker.yaml"), yaml).expect("a configuration");
        twin
    }

    /// The other node's peers, and everything else of its own.
    pub fn take_configuration_of(&mut self, other: &Node) {
        let read = |node: &Node| std::fs::read_to_string(node.folder.join("broker.yaml")).expect("is there");
        let (own, others) = (read(self), read(other));
        let (head, _) = own.split_once("peers:").expect("there are peers");
        let (_, tail) = others.split_once("peers:").expect("there are peers");
        std::fs::write(self.folder.join("broker.yaml"), format!("{head}peers:{tail}")).expect("is writable");
    }

    /// What `/v1/state` says.
    pub fn state(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.wait_http("/v1/state")).expect("JSON")
    }

    /// Waits until it names a problem of these words, in its state and in its log.
    pub fn wait_problem(&mut self, expected: &str) {
        let said = |node: &mut Node| {
            let state = node.state();
            let problems = state["problems"].as_array().cloned().unwrap_or_default();
            problems.iter().any(|problem| problem.as_str().is_some_and(|text| text.contains(expected)))
        };
        wait_until(expected, || said(self));
        assert!(self.log().contains(expected), "{}", self.log());
    }
}
