//! One broker as a process that can be killed: its folder, its configuration, its life.

#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "shared by tests that use parts of it and report"
)]

mod several;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use client::admin::{Admin, NewTopic};
use client::consumer::{ConsumedRecord, FetchConfig, Fetcher, OffsetReset};
use client::{Client, ClientConfig};

const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "token-of-the-tests";

/// A broker's folder and its process, if it runs; killed when it is dropped.
pub(crate) struct Node {
    folder: PathBuf,
    port: u16,
    admin_port: u16,
    child: Option<Child>,
}

impl Node {
    /// Founds a cluster of one node in `folder`, with these broker configs.
    pub(crate) fn found(folder: &Path, configs: &[(&str, &str)]) -> Node {
        let (port, admin_port, controller_port) = (free_port(), free_port(), free_port());
        let mut node = Node { folder: folder.to_owned(), port, admin_port, child: None };
        std::fs::write(folder.join("token"), TOKEN).expect("a token");
        let configs: String = configs.iter().map(|(key, value)| format!("  {key}: \"{value}\"\n")).collect();
        let configs = if configs.is_empty() { String::new() } else { format!("config:\n{configs}") };
        let yaml = format!(
            "nodeId: 0\nroles: [broker, controller]\ndataDirs: [{data}]\n\
             listeners:\n- name: plain\n  bind: 127.0.0.1:{port}\n  advertised: {{host: 127.0.0.1, port: {port}}}\n\
             controller: {{bind: \"127.0.0.1:{controller_port}\"}}\n\
             admin: {{bind: \"127.0.0.1:{admin_port}\", tokenFile: {token}}}\n{configs}",
            data = node.data_dir().display(),
            token = folder.join("token").display(),
        );
        std::fs::write(folder.join("broker.yaml"), yaml).expect("a configuration");
        node.start();
        let state: serde_json::Value = serde_json::from_str(&node.wait_http("/v1/state")).expect("JSON");
        let founding = serde_json::json!({
            "clusterId": "Y2x1c3Rlci1vZi10ZXN0cw",
            "voters": [{"id": 0, "directoryId": state["directoryId"]}],
        });
        let (status, body) = node.http("POST", "/v1/bootstrap", &founding.to_string()).expect("an answer");
        assert_eq!(status, 200, "{body}");
        node.wait_http("/readyz");
        node
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What the node has logged, of all its lives.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Starts the process and does not wait for it.
    pub(crate) fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.folder.join("log")).expect("a log");
        let child = Command::new(binary())
            .args(["broker", "--config"])
            .arg(self.folder.join("broker.yaml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("TAFFRAIL_BIN names the binary");
        self.child = Some(child);
    }

    pub(crate) fn wait_ready(&mut self) {
        self.wait_http("/readyz");
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
    }

    /// Sends a signal to the process, which lives on.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill");
        assert!(status.success());
    }

    /// SIGTERM; the node writes everything down.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let status = Command::new("kill").arg(child.id().to_string()).status().expect("kill");
        assert!(status.success());
        let status = child.wait().expect("it is ours");
        assert!(status.success(), "the node did not stop cleanly:\n{}", self.log());
    }

    pub(crate) fn client(&self) -> Client {
        let mut config = ClientConfig::new(&self.bootstrap());
        config.retry_backoff = Duration::from_millis(10);
        config.retry_backoff_max = Duration::from_millis(100);
        Client::new(config).expect("a client")
    }

    /// A topic of one partition.
    pub(crate) async fn create_topic(&self, name: &str, configs: &[(&str, &str)]) {
        let configs: BTreeMap<String, String> =
            configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let topic =
            NewTopic { name: name.to_owned(), partitions: Some(1), replication_factor: Some(1), configs };
        Admin::new(self.client()).create_topic(&topic).await.expect("the topic is created");
    }

    fn wait_http(&mut self, path: &str) -> String {
        let begin = Instant::now();
        loop {
            if let Ok((200, body)) = self.http("GET", path, "") {
                return body;
            }
            let exited = self.child.as_mut().and_then(|child| child.try_wait().expect("it is ours"));
            assert!(exited.is_none(), "the node ended: {exited:?}\n{}", self.log());
            assert!(begin.elapsed() < PATIENCE, "no answer to {path}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// One request over a connection of its own; status and body.
    pub(crate) fn http(&self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin_port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        Ok((status, body))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// All records of a topic's only partition, from an offset to `end`.
pub(crate) async fn consume(client: Client, topic: &str, from: i64, end: i64) -> Vec<ConsumedRecord> {
    let config =
        FetchConfig { reset: OffsetReset::Fail, partition_max_bytes: 8 << 20, ..FetchConfig::default() };
    let mut fetcher = Fetcher::new(client, config);
    fetcher.assign(BTreeMap::from([(client::admin::TopicPartitionName::new(topic, 0), from)]));
    let mut records = Vec::new();
    let begin = Instant::now();
    while records.last().map_or(from, |record: &ConsumedRecord| record.offset + 1) < end {
        assert!(
            begin.elapsed() < 2 * PATIENCE,
            "stuck at {:?} of {end}",
            records.last().map(|last| last.offset)
        );
        match fetcher.poll().await {
            Ok(polled) => records.extend(polled),
            Err(error) => eprintln!("fetch: {error}"),
        }
    }
    records
}

/// The binary under test: `TAFFRAIL_BIN`, or what lies beside the test.
pub(crate) fn binary() -> PathBuf {
    if let Some(binary) = std::env::var_os("TAFFRAIL_BIN") {
        return binary.into();
    }
    let test = std::env::current_exe().expect("a running test");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    profile.join("taffrail")
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}
