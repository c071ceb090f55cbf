//! One broker as a process that can be killed: its folder, its configuration, its life.

mod place;
mod several;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use client::admin::{Admin, NewTopic};
use client::consumer::{ConsumedRecord, FetchConfig, Fetcher, OffsetReset};
use client::{Client, ClientConfig};

pub use place::{ADMIN_PORT, CONTROLLER_PORT, KAFKA_PORT, Place};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long a node is given to take a connection and to answer: one that is stopped does neither.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);
const TOKEN: &str = "token-of-the-tests";

/// A broker's folder and its process, if it runs; killed when it is dropped.
#[derive(Debug)]
pub struct Node {
    id: usize,
    folder: PathBuf,
    place: Place,
    child: Option<Child>,
}

impl Node {
    /// Founds a cluster of one node in `folder`, with these broker configs.
    pub fn found(folder: &Path, configs: &[(&str, &str)]) -> Node {
        let mut node = Node::new(0, folder, Place::on_loopback());
        node.configure(&[], configs);
        node.start();
        let voter = node.voter();
        node.bootstrap_with(&[voter]);
        node.wait_ready();
        node
    }

    /// A node that has no configuration yet.
    pub fn new(id: usize, folder: &Path, place: Place) -> Node {
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(folder.join("token"), TOKEN).expect("a token");
        Node { id, folder: folder.to_owned(), place, child: None }
    }

    /// Its number in the cluster.
    pub fn id(&self) -> usize {
        self.id
    }

    /// Where its topics are.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where it listens.
    pub fn host(&self) -> &str {
        &self.place.host
    }

    /// For clients.
    pub fn bootstrap(&self) -> String {
        format!("{}:{KAFKA_PORT}", self.place.host)
    }

    /// Whether there is a process.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("it is ours").is_none())
    }

    /// What the node has logged, of all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Starts the process and does not wait for it.
    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.folder.join("log")).expect("a log");
        let mut words = self.place.launcher.iter().map(OsString::from).chain([binary().into_os_string()]);
        let child = Command::new(words.next().expect("the binary at least"))
            .args(words)
            .args(["broker", "--config"])
            .arg(self.folder.join("broker.yaml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("TAFFRAIL_BIN names the binary");
        self.child = Some(child);
    }

    /// Until it serves.
    pub fn wait_ready(&mut self) {
        self.wait_http("/readyz");
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
    }

    /// Sends a signal to the process, which lives on.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill");
        assert!(status.success());
    }

    /// SIGTERM; the node writes everything down.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let status = Command::new("kill").arg(child.id().to_string()).status().expect("kill");
        assert!(status.success());
        let status = child.wait().expect("it is ours");
        assert!(status.success(), "the node did not stop cleanly:\n{}", self.log());
    }

    /// A client that tries again soon.
    pub fn client(&self) -> Client {
        let mut config = ClientConfig::new(&self.bootstrap());
        config.retry_backoff = Duration::from_millis(10);
        config.retry_backoff_max = Duration::from_millis(100);
        Client::new(config).expect("a client")
    }

    /// A topic of one partition.
    pub async fn create_topic(&self, name: &str, configs: &[(&str, &str)]) {
        let configs: BTreeMap<String, String> =
            configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let topic =
            NewTopic { name: name.to_owned(), partitions: Some(1), replication_factor: Some(1), configs };
        Admin::new(self.client()).create_topic(&topic).await.expect("the topic is created");
    }

    /// What is answered to a GET, once it is.
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
    pub fn http(&self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let mut addresses = (self.place.host.as_str(), ADMIN_PORT).to_socket_addrs()?;
        let address = addresses.next().ok_or(std::io::ErrorKind::NotFound)?;
        let mut stream = TcpStream::connect_timeout(&address, HTTP_TIMEOUT)?;
        stream.set_read_timeout(Some(HTTP_TIMEOUT))?;
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
pub async fn consume(client: Client, topic: &str, from: i64, end: i64) -> Vec<ConsumedRecord> {
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
pub fn binary() -> PathBuf {
    if let Some(binary) = std::env::var_os("TAFFRAIL_BIN") {
        return binary.into();
    }
    let test = std::env::current_exe().expect("a running test");
    let above = test.ancestors().skip(1).map(|folder| folder.join("taffrail"));
    above
        .into_iter()
        .find(|path| path.is_file())
        .expect("target/PROFILE/taffrail above the test, or TAFFRAIL_BIN")
}
