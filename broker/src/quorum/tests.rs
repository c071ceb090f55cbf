//! The quorum as a whole: founded once, and as it was after every kind of end.

use std::path::Path;
use std::sync::Arc;

use metadata::{Command, ControllerDefaults, Image, NewTopic, Response};
use storage::fake::{Crash, FakeDisk};
use storage::{DataDir, Disk, RealDisk};
use tokio::sync::watch;
use types::{TopicId, Uuid};

use super::{BootstrapError, Committed, MetadataQuorum, Part, QuorumOptions};
use crate::seams::{Blocking, TcpTransport, Transport, Wall};

const CLUSTER: &str = "test-cluster";

pub(super) struct Quorum {
    pub(super) quorum: MetadataQuorum,
    blocking: Blocking,
    node: tokio::task::JoinHandle<()>,
}

/// Starts a quorum whose node acts on every image at once.
async fn start(path: &Path) -> Quorum {
    start_on(Arc::new(RealDisk), path).await
}

pub(super) async fn start_on(disk: Arc<dyn Disk>, path: &Path) -> Quorum {
    let data_dir = Arc::new(DataDir::open(disk, path, 0, None).unwrap());
    let (publisher, published) = watch::channel(Committed::default());
    let blocking = Blocking::pool(2);
    let defaults =
        ControllerDefaults { num_partitions: 1, replication_factor: 1, fixed: config::Overrides::new() };
    let transport = Arc::new(TcpTransport);
    let listener = transport.listen("127.0.0.1:0").await.unwrap();
    let options = QuorumOptions {
        data_dir,
        node: 0,
        listener: Some((listener, "127.0.0.1".to_owned())),
        peers: Vec::new(),
        defaults,
        // Brokers of these tests send no heartbeats.
        session_timeout: std::time::Duration::from_secs(3600),
        published,
        transport,
        blocking: blocking.clone(),
        wall: Wall::real(),
    };
    let quorum = MetadataQuorum::start(options).await.unwrap();
    let mut committed = quorum.handle().committed();
    let node = tokio::spawn(async move {
        while committed.changed().await.is_ok() {
            publisher.send_replace(committed.borrow_and_update().clone());
        }
    });
    Quorum { quorum, blocking, node }
}

impl Quorum {
    pub(super) fn raft(&self) -> &super::Raft {
        let Part::Controller(service, _) = &self.quorum.part else { panic!("an observer") };
        &service.raft
    }

    pub(super) fn voter(&self) -> super::VoterId {
        super::VoterId { node: self.quorum.node, directory: self.quorum.data_dir.directory_id() }
    }

    pub(super) async fn found(&self) {
        self.quorum.bootstrap(CLUSTER, &[(0, self.quorum.data_dir.directory_id())]).await.unwrap();
        self.lead().await;
    }

    pub(super) async fn lead(&self) {
        while !self.quorum.status().is_leader {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    async fn create(&self, name: &str, seed: u8) -> bool {
        self.try_create(name, seed).await.expect("a controller that carries it out")
    }

    async fn try_create(&self, name: &str, seed: u8) -> Result<bool, super::SubmitError> {
        let topic = NewTopic {
            name: name.to_owned(),
            id: TopicId(Uuid::from_random([seed; 16])),
            partitions: 1,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: Vec::new(),
        };
        let command = Command::CreateTopics { topics: vec![topic], validate_only: false };
        match self.quorum.handle().submit(command).await? {
            Response::CreatedTopics(results) => Ok(results[0].is_ok()),
            other => panic!("{other:?}"),
        }
    }

    async fn register(&self) {
        let registration = metadata::BrokerRegistration {
            broker: types::BrokerId(0),
            incarnation: Uuid::from_random([3; 16]),
            ..metadata::BrokerRegistration::default()
        };
        let answer = self.quorum.handle().submit(Command::RegisterBroker(registration)).await;
        let Ok(Response::Registered(epoch)) = answer else { panic!("{answer:?}") };
        let unfence = Command::UnfenceBroker { broker: types::BrokerId(0), epoch };
        self.quorum.handle().submit(unfence).await.unwrap();
    }

    pub(super) fn image(&self) -> Arc<Image> {
        self.quorum.handle().image()
    }

    /// Ends it without closing anything, as far as one process can.
    pub(super) async fn abandon(self) {
        self.raft().shutdown().await.unwrap();
        self.quorum.end_tasks().await;
        self.node.abort();
    }
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let quorum = start(folder.path()).await;
    quorum.found().await;
    quorum.register().await;
    assert!(quorum.create("a", 1).await);
    assert!(!quorum.create("a", 2).await, "it is there already");
    let before = quorum.image();
    quorum.quorum.stop(&quorum.blocking).await;
    quorum.node.abort();
    drop(quorum);

    let quorum = start(folder.path()).await;
    quorum.lead().await;
    assert!(quorum.create("b", 3).await);
    assert!(before.topic_named("a").is_some());
    assert_eq!(quorum.image().topic_named("a"), before.topic_named("a"));
    let before = quorum.image();
    quorum.abandon().await;

    let quorum = start(folder.path()).await;
    quorum.lead().await;
    assert!(quorum.create("c", 4).await);
    assert_eq!(quorum.image().topics().len(), 3);
    assert_eq!(quorum.image().topic_named("b"), before.topic_named("b"));
}

#[tokio::test]
async fn a_snapshot_takes_the_place_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let quorum = start(folder.path()).await;
    quorum.found().await;
    quorum.register().await;
    assert!(quorum.create("a", 1).await);
    quorum.raft().trigger().snapshot().await.unwrap();
    let applied = quorum.quorum.status().applied;
    quorum.raft().wait(None).metrics(|m| m.snapshot.is_some(), "a snapshot").await.unwrap();
    quorum.raft().trigger().purge_log(applied - 1).await.unwrap();
    quorum.raft().wait(None).metrics(|m| m.purged.is_some(), "a shorter log").await.unwrap();
    assert!(quorum.create("b", 2).await);
    let before = quorum.image();
    quorum.abandon().await;

    let quorum = start(folder.path()).await;
    quorum.lead().await;
    assert!(quorum.create("c", 3).await);
    assert_eq!(quorum.image().topic_named("a"), before.topic_named("a"));
    assert_eq!(quorum.image().brokers().len(), 1);
}

#[tokio::test]
async fn only_the_first_founding_counts() {
    let folder = tempfile::tempdir().unwrap();
    let quorum = start(folder.path()).await;
    let directory = quorum.quorum.data_dir.directory_id();
    let other = quorum.quorum.bootstrap(CLUSTER, &[(0, Uuid::from_random([8; 16]))]).await;
    assert!(matches!(other, Err(BootstrapError::OtherVoters { .. })));
    quorum.found().await;
    quorum.found().await;
    let other = quorum.quorum.bootstrap("another", &[(0, directory)]).await;
    assert!(matches!(other, Err(BootstrapError::OtherCluster { .. })));
}

#[tokio::test]
async fn nothing_is_decided_before_the_founding() {
    let folder = tempfile::tempdir().unwrap();
    let quorum = start(folder.path()).await;
    let command = Command::DeleteTopics { topics: Vec::new() };
    assert_eq!(quorum.quorum.handle().submit(command).await, Err(super::SubmitError::NoController));
}

/// What was answered is there after a loss of power, wherever it hits; what was not answered is there or not, but the log
/// can be read and goes on.
#[tokio::test]
async fn what_was_answered_survives_a_loss_of_power() {
    let path = Path::new("/data");
    for seed in 0..20 {
        let disk = FakeDisk::new(seed);
        let quorum = start_on(Arc::new(disk.clone()), path).await;
        quorum.found().await;
        quorum.register().await;
        disk.crash_after(seed * 3 + 1);
        let mut answered = Vec::new();
        for topic in 0..u8::MAX {
            let name = format!("t{topic}");
            match quorum.try_create(&name, topic).await {
                Ok(is_created) => answered.extend(is_created.then_some(name)),
                Err(_) => break,
            }
        }
        assert!(disk.is_down(), "seed {seed}");
        // The node ends: without its log nothing can be changed any more.
        tokio::time::timeout(std::time::Duration::from_secs(10), quorum.quorum.failed()).await.unwrap();
        quorum.raft().shutdown().await.ok();
        quorum.node.abort();
        drop(quorum);
        disk.restart(Crash::Power);

        let quorum = start_on(Arc::new(disk.clone()), path).await;
        quorum.lead().await;
        assert!(quorum.create("after", u8::MAX).await, "seed {seed}");
        let image = quorum.image();
        for name in &answered {
            assert!(image.topic_named(name).is_some(), "seed {seed}: {name} was answered and is gone");
        }
        assert!(image.topics().len() <= answered.len() + 2, "seed {seed}: more than was asked for");
        quorum.abandon().await;
    }
}
