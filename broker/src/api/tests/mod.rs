//! A whole node without its sockets: requests go in as frames, and come back as clients would read them.

mod answers;
mod control;
mod directories;
mod log;
mod replication;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use config::node::NodeConfig;
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use protocol::{Decoder, Request, frame};
use tokio_util::task::TaskTracker;
use types::TopicId;

use super::{Answer, Peer, RequestError, answer};
use crate::lifecycle;
use crate::node::Node;
use crate::seams::Seams;

/// A node that has founded its cluster, in a folder of its own.
struct Harness {
    node: Arc<Node>,
    tasks: TaskTracker,
    folder: Option<tempfile::TempDir>,
    /// All requests come over one connection.
    peer: Peer,
}

/// Of a new connection.
fn new_peer() -> Peer {
    Peer::new(SocketAddr::from(([127, 0, 0, 1], 1)), "plain".into())
}

impl Harness {
    async fn start() -> Harness {
        Harness::start_with("").await
    }

    /// With more lines in its `broker.yaml`.
    async fn start_with(more: &str) -> Harness {
        let folder = tempfile::tempdir().unwrap();
        let data_dirs = folder.path().join("data").display().to_string();
        let harness = Harness::start_on(&data_dirs, more, Seams::real(), true).await;
        Harness { folder: Some(folder), ..harness }
    }

    /// In other directories, perhaps again.
    async fn start_on(data_dirs: &str, more: &str, seams: Seams, is_new: bool) -> Harness {
        let yaml = format!(
            "nodeId: 1\nroles: [broker, controller]\ndataDirs: [{data_dirs}]\n\
             listeners: [{{name: plain, bind: '127.0.0.1:0', advertised: {{host: localhost, port: 0}}}}]\n\
             controller: {{bind: '127.0.0.1:0'}}\nadmin: {{bind: '127.0.0.1:0'}}\n{more}"
        );
        let config: NodeConfig = serde_yaml::from_str(&yaml).unwrap();
        let (node, tasks) = lifecycle::start(config, seams).await.unwrap();
        let (living, living_tasks) = (Arc::clone(&node), tasks.clone());
        tasks.spawn(async move { lifecycle::live(&living, &living_tasks).await.unwrap() });
        if is_new {
            let voter = (1, node.partitions.data_dir().directory_id());
            node.quorum.bootstrap("cluster", &[voter]).await.unwrap();
        }
        node.registration.subscribe().wait_for(Option::is_some).await.unwrap();
        Harness { node, tasks, folder: None, peer: new_peer() }
    }

    async fn stop(self) {
        lifecycle::stop(&self.node, self.tasks).await;
        drop(self.folder);
    }

    /// Creates a topic of one partition.
    async fn create_topic(&self, name: &'static str, configs: &[(&'static str, &'static str)]) -> TopicId {
        self.create_replicated(name, 1, configs).await
    }

    /// Creates a topic of one partition with so many replicas.
    async fn create_replicated(
        &self,
        name: &'static str,
        replication_factor: i16,
        configs: &[(&'static str, &'static str)],
    ) -> TopicId {
        let config = |&(name, value): &(&'static str, &'static str)| CreatableTopicConfig {
            name: name.into(),
            value: Some(value.into()),
            ..Default::default()
        };
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 1,
            replication_factor,
            configs: configs.iter().map(config).collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 5000, ..Default::default() };
        let created = self.ask(7, &request).await.topics.remove(0);
        assert_eq!(created.error_code, 0, "{created:?}");
        TopicId(created.topic_id)
    }

    /// The answer to a request in one of its versions.
    async fn ask<R: Request>(&self, version: i16, request: &R) -> R::Response {
        let answer = self.send(version, request).await.unwrap_or_else(|error| panic!("{version}: {error:?}"));
        let bytes = answer.unwrap_or_else(|| panic!("version {version} got no answer"));
        let mut decoder = Decoder::new(bytes);
        let (header, response) = frame::decode_response::<R>(&mut decoder, version).unwrap();
        assert_eq!(header.correlation_id, 77);
        assert_eq!(decoder.remaining(), 0, "the response ends with its last field");
        response
    }

    /// A response's bytes without their length, or nothing if nothing is answered.
    async fn send<R: Request>(&self, version: i16, request: &R) -> Result<Option<Bytes>, RequestError> {
        let frame = frame::encode_request(request, version, 77, Some("tests".into())).unwrap();
        let answer =
            answer(Arc::clone(&self.node), self.peer.clone(), frame.bytes.freeze().slice(4..)).await?;
        let Answer::Frame { frame, slices } = answer else { return Ok(None) };
        let mut whole = BytesMut::new();
        let mut sent = 0;
        for part in &frame.external {
            whole.extend_from_slice(&frame.bytes[sent..part.at]);
            whole.extend_from_slice(&slices[part.id as usize].read_to_bytes().unwrap());
            sent = part.at;
        }
        whole.extend_from_slice(&frame.bytes[sent..]);
        let announced = u32::from_be_bytes(*whole.first_chunk().unwrap());
        assert_eq!(announced as usize + 4, whole.len(), "the length counts the ranges of files too");
        Ok(Some(whole.freeze().slice(4..)))
    }
}
