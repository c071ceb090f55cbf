//! Several brokers that are one cluster.

use std::path::Path;

use super::{Node, TOKEN, free_port};

impl Node {
    /// Founds a cluster of so many nodes, the first `voters` of which vote; all of them know where the others are.
    pub(crate) fn found_several(
        folder: &Path,
        (count, voters): (usize, usize),
        configs: &[(&str, &str)],
    ) -> Vec<Node> {
        let ports: Vec<[u16; 3]> = (0..count).map(|_| [free_port(), free_port(), free_port()]).collect();
        let configs: String = configs.iter().map(|(key, value)| format!("  {key}: \"{value}\"\n")).collect();
        let mut nodes: Vec<Node> = (0..count)
            .map(|id| Node::configured(&folder.join(id.to_string()), id, &ports, &configs))
            .collect();
        nodes.iter_mut().for_each(Node::start);
        let voters: Vec<_> = nodes.iter_mut().take(voters).map(|node| node.state()).collect();
        let voters = voters
            .iter()
            .map(|state| serde_json::json!({ "id": state["nodeId"], "directoryId": state["directoryId"] }));
        let cluster = client::node::new_cluster_id().expect("there is randomness");
        let founding = serde_json::json!({ "clusterId": cluster, "voters": voters.collect::<Vec<_>>() });
        let (status, body) =
            nodes[0].http("POST", "/v1/bootstrap", &founding.to_string()).expect("an answer");
        assert_eq!(status, 200, "{body}");
        nodes.iter_mut().for_each(Node::wait_ready);
        nodes
    }

    fn configured(folder: &Path, id: usize, ports: &[[u16; 3]], configs: &str) -> Node {
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(folder.join("token"), TOKEN).expect("a token");
        let [port, admin_port, controller_port] = ports[id];
        let peers: String = ports
            .iter()
            .enumerate()
            .filter(|(peer, _)| *peer != id)
            .map(|(peer, [_, admin, controller])| {
                format!(
                    "- {{id: {peer}, host: 127.0.0.1, controllerPort: {controller}, adminPort: {admin}}}\n"
                )
            })
            .collect();
        let yaml = format!(
            "nodeId: {id}\nroles: [broker, controller]\ndataDirs: [{data}]\n\
             listeners:\n- name: plain\n  bind: 127.0.0.1:{port}\n  advertised: {{host: 127.0.0.1, port: {port}}}\n\
             controller: {{bind: \"127.0.0.1:{controller_port}\"}}\n\
             admin: {{bind: \"127.0.0.1:{admin_port}\", tokenFile: {token}}}\npeers:\n{peers}config:\n{configs}",
            data = folder.join("data").display(),
            token = folder.join("token").display(),
        );
        std::fs::write(folder.join("broker.yaml"), yaml).expect("a configuration");
        Node { folder: folder.to_owned(), port, admin_port, child: None }
    }

    /// A node with the same id and peers, but ports and a disk of its own.
    pub(crate) fn twin(&self, folder: &Path) -> Node {
        std::fs::create_dir_all(folder).expect("a folder");
        let yaml = std::fs::read_to_string(self.folder.join("broker.yaml")).expect("it is configured");
        let (port, admin_port) = (free_port(), free_port());
        let lines = yaml.lines().map(|line| match line.trim_start() {
            own if own.starts_with("controller:") => {
                format!("controller: {{bind: \"127.0.0.1:{}\"}}", free_port())
            }
            _ => line
                .replace(&format!(":{}", self.port), &format!(":{port}"))
                .replace(&format!("port: {}", self.port), &format!("port: {port}"))
                .replace(&format!(":{}", self.admin_port), &format!(":{admin_port}"))
                .replace(&self.data_dir().display().to_string(), &folder.join("data").display().to_string()),
        });
        let yaml: Vec<String> = lines.collect();
        std::fs::write(folder.join("broker.yaml"), yaml.join("\n")).expect("a configuration");
        Node { folder: folder.to_owned(), port, admin_port, child: None }
    }

    /// The other node's peers, and everything else of its own.
    pub(crate) fn take_configuration_of(&mut self, other: &Node) {
        let read = |node: &Node| std::fs::read_to_string(node.folder.join("broker.yaml")).expect("is there");
        let (own, others) = (read(self), read(other));
        let (head, _) = own.split_once("peers:").expect("there are peers");
        let (_, tail) = others.split_once("peers:").expect("there are peers");
        std::fs::write(self.folder.join("broker.yaml"), format!("{head}peers:{tail}")).expect("is writable");
    }

    /// What `/v1/state` says.
    pub(crate) fn state(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.wait_http("/v1/state")).expect("JSON")
    }
}
