//! A broker of one node in this process, and a client that knows frames and nothing else.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use broker::RunError;
use bytes::Bytes;
use config::node::NodeConfig;
use protocol::messages::{CreateTopicsRequest, ProduceRequest, create_topics_request, produce_request};
use protocol::{Decoder, Records, Request, frame};
use record::{BatchBuilder, Compression};
use tokio::sync::oneshot;
use types::Timestamp;

pub(crate) const CLUSTER: &str = "the-cluster";
const TOKEN: &str = "secret";
const PATIENCE: Duration = Duration::from_secs(20);

/// A running node.
pub(crate) struct Broker {
    pub(crate) port: u16,
    pub(crate) admin: u16,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), RunError>>,
}

/// A port that nobody listens on at this moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

/// What `broker.yaml` says; `more` is added to its end.
pub(crate) fn node_config(folder: &Path, port: u16, admin: u16, more: &str) -> NodeConfig {
    let token = folder.join("token");
    std::fs::write(&token, TOKEN).expect("is writable");
    let (token, data) = (token.display(), folder.join("data"));
    let text = format!(
        "nodeId: 0\nroles: [broker, controller]\ndataDirs: [{}]\nlisteners:\n- name: PLAINTEXT\n  bind: 127.0.0.1:{port}\n  \
         advertised: {{host: 127.0.0.1, port: {port}}}\nadmin: {{bind: '127.0.0.1:{admin}', tokenFile: {token}}}\n{more}",
        data.display()
    );
    serde_yaml::from_str(&text).expect("is a broker.yaml")
}

/// Runs a node in this process until `stop`.
fn run(config: NodeConfig, stop: oneshot::Receiver<()>) -> Result<(), RunError> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
    let stopped = async move {
        stop.await.ok();
    };
    runtime.block_on(broker::run(config, stopped))
}

/// Runs a node that must not start, and gives its reason.
pub(crate) fn refused(config: NodeConfig) -> String {
    let (_keep, stop) = oneshot::channel();
    let thread = std::thread::spawn(move || run(config, stop));
    let started = Instant::now();
    while !thread.is_finished() {
        assert!(started.elapsed() < PATIENCE, "it runs");
        std::thread::sleep(Duration::from_millis(5));
    }
    thread.join().expect("no panic").expect_err("must not start").to_string()
}

impl Broker {
    /// Starts a node, founds its cluster if there is none, and waits until it serves.
    pub(crate) fn start(folder: &Path, more: &str) -> Broker {
        let (port, admin) = (free_port(), free_port());
        let config = node_config(folder, port, admin, more);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || run(config, stopped));
        let broker = Broker { port, admin, stop, thread };
        let state = broker.wait_for("GET /v1/state", "nodeId");
        if !state.contains("clusterId") {
            let directory = state.split("\"directoryId\":\"").nth(1).expect("is there");
            let directory = directory.split('"').next().expect("ends");
            let body = format!(
                "{{\"clusterId\":\"{CLUSTER}\",\"voters\":[{{\"id\":0,\"directoryId\":\"{directory}\"}}]}}"
            );
            let answer = broker.http("POST /v1/bootstrap", &body).expect("is up");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        broker.wait_for("GET /readyz", "HTTP/1.1 200");
        broker
    }

    /// Asks it to stop, as a signal does, and waits until it has.
    pub(crate) fn stop(self) {
        self.stop.send(()).expect("it runs");
        self.thread.join().expect("no panic").expect("stops cleanly");
    }

    /// The whole answer of the administration endpoint.
    pub(crate) fn http(&self, request: &str, body: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin))?;
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn wait_for(&self, request: &str, wanted: &str) -> String {
        let started = Instant::now();
        loop {
            match self.http(request, "") {
                Ok(answer) if answer.contains(wanted) => return answer,
                last => assert!(started.elapsed() < PATIENCE, "{request}: {last:?}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn connect(&self) -> Connection {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("is a socket");
        Connection { stream }
    }

    pub(crate) fn create_topic(&self, name: &str) {
        let topic = create_topics_request::CreatableTopic {
            name: name.to_owned().into(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let response = self.connect().ask(&request, 7);
        assert_eq!(response.topics[0].error_code, 0, "{response:?}");
    }
}

/// A connection to a broker.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
}

impl Connection {
    pub(crate) fn send<R: Request>(&mut self, request: &R, version: i16, correlation_id: i32) {
        let frame =
            frame::encode_request(request, version, correlation_id, Some("test".into())).expect("is valid");
        self.write(&frame.bytes);
    }

    /// The broker may have hung up already: what it answered is looked at when it is read.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).ok();
    }

    /// The next whole frame; `None` when the broker has hung up.
    pub(crate) fn read(&mut self) -> Option<Bytes> {
        let mut length = [0; 4];
        match self.stream.read_exact(&mut length) {
            Ok(()) => (),
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "neither an answer nor an end");
                return None;
            }
        }
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame).ok()?;
        Some(frame.into())
    }

    pub(crate) fn receive<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        let mut decoder = Decoder::new(self.read().expect("an answer"));
        let (header, response) = frame::decode_response::<R>(&mut decoder, version).expect("is valid");
        (header.correlation_id, response)
    }

    pub(crate) fn ask<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.send(request, version, 7);
        let (correlation_id, response) = self.receive::<R>(version);
        assert_eq!(correlation_id, 7);
        response
    }
}

/// One record with `value` for partition 0 of `topic`.
pub(crate) fn produce(topic: &str, value: &[u8], acks: i16) -> ProduceRequest {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(Timestamp(1), None, Some(value), &[]);
    let partition = produce_request::PartitionProduceData {
        index: 0,
        records: Some(Records::Inline(builder.build().expect("fits"))),
        ..Default::default()
    };
    let topic = produce_request::TopicProduceData {
        name: topic.to_owned().into(),
        partition_data: vec![partition],
        ..Default::default()
    };
    ProduceRequest { acks, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() }
}
