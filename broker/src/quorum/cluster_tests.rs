//! Several nodes over real sockets of this machine: they elect, commit, lose their leader, come back, lag behind.

mod cut;
mod members;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use metadata::{BrokerHeartbeat, Command, ControllerDefaults, Image, NewTopic, Response};
use storage::{DataDir, RealDisk};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use types::{BrokerId, TopicId, Uuid};

use self::cut::{Cut, CutTransport};
use super::message::{Purpose, Reply, Request};
use super::service::Session;
use super::{BootstrapError, Committed, MetadataQuorum, Part, QuorumOptions, SubmitError, handle};
use crate::seams::{Blocking, TcpTransport, Transport, Wall};

const CLUSTER: &str = "test-cluster";
/// For tests whose brokers send no heartbeats.
const NEVER: Duration = Duration::from_secs(3600);
/// Far beyond what anything here takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(30);

struct Node {
    quorum: MetadataQuorum,
    publisher: JoinHandle<()>,
    blocking: Blocking,
}

/// Voters 0, 1, … and whoever comes along, each with a folder and a port that stay.
struct Cluster {
    folder: tempfile::TempDir,
    ports: Vec<u16>,
    nodes: Vec<Option<Node>>,
    cut: Cut,
    unreached: Cut,
    session_timeout: Duration,
}

impl Cluster {
    /// Starts so many nodes that know each other.
    async fn new(count: usize, session_timeout: Duration) -> Cluster {
        let ports = (0..count).map(|_| free_port()).collect();
        let nodes = (0..count).map(|_| None).collect();
        let mut cluster = Cluster {
            folder: tempfile::tempdir().unwrap(),
            ports,
            nodes,
            cut: Cut::default(),
            unreached: Cut::default(),
            session_timeout,
        };
        for node in 0..count {
            cluster.start(node).await;
        }
        cluster
    }

    /// Starts so many voters and founds their quorum.
    async fn founded(count: usize) -> Cluster {
        Cluster::founded_with(count, NEVER).await
    }

    /// The same, with brokers that are fenced when they are silent.
    async fn founded_with(count: usize, session_timeout: Duration) -> Cluster {
        let cluster = Cluster::new(count, session_timeout).await;
        cluster.found().await.unwrap();
        cluster.leader().await;
        cluster
    }

    fn path(&self, node: usize) -> std::path::PathBuf {
        self.folder.path().join(node.to_string())
    }

    async fn start(&mut self, node: usize) {
        let own = self.ports[node];
        let (cut, unreached) = (Arc::clone(&self.cut), Arc::clone(&self.unreached));
        let transport = CutTransport { own, cut, unreached };
        let started =
            start(&self.path(node), node, &self.ports, Some(own), Arc::new(transport), self.session_timeout)
                .await;
        self.nodes[node] = Some(started);
    }

    async fn found(&self) -> Result<(), BootstrapError> {
        self.found_by(self.nodes.len()).await
    }

    /// The first so many nodes are the voters.
    async fn found_by(&self, count: usize) -> Result<(), BootstrapError> {
        let voters: Vec<_> = (0i32..)
            .zip(self.nodes.iter().take(count))
            .map(|(id, node)| (id, node.as_ref().unwrap().quorum.data_dir.directory_id()))
            .collect();
        self.node(0).quorum.bootstrap(CLUSTER, &voters).await
    }

    fn node(&self, node: usize) -> &Node {
        self.nodes[node].as_ref().expect("it runs")
    }

    fn alive(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter_map(|(id, node)| Some((id, node.as_ref()?)))
    }

    /// The node that leads, by its own account, once all that are alive agree on it.
    async fn leader(&self) -> usize {
        let agreed = || {
            let leader = self.alive().find(|(_, node)| node.quorum.status().is_leader)?.0;
            let is_known = |node: &Node| node.quorum.status().leader == i32::try_from(leader).ok();
            self.alive().all(|(_, node)| is_known(node)).then_some(leader)
        };
        eventually("a leader", agreed).await
    }

    /// Nobody hears of a node any more, nor it of anybody, until the cut is taken back.
    fn isolate(&self, node: usize) {
        self.cut.lock().unwrap().insert(self.ports[node]);
    }

    /// Ends a node as a kill would, as far as one process can.
    async fn kill(&mut self, node: usize) {
        let node = self.nodes[node].take().expect("it runs");
        node.quorum.stopping.cancel();
        if let Part::Controller(service, _) = &node.quorum.part {
            service.raft.shutdown().await.unwrap();
        }
        node.quorum.end_tasks().await;
        node.publisher.abort();
    }
}

/// A port that nobody listens on, below those that the kernel gives to connections: it is still free when a node comes
/// back. Each process begins somewhere else.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let begin = std::process::id() % 200 * 100;
        let port = 10_000 + u16::try_from(begin).unwrap() + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

async fn start(
    path: &Path,
    id: usize,
    ports: &[u16],
    port: Option<u16>,
    transport: Arc<dyn Transport>,
    session_timeout: Duration,
) -> Node {
    let node = i32::try_from(id).unwrap();
    // Tasks of openraft may outlive it by a moment.
    let opened = || DataDir::open(Arc::new(RealDisk), path, node, None).ok();
    let data_dir = Arc::new(eventually("the data directory", opened).await);
    let (publisher, published) = watch::channel(Committed::default());
    let blocking = Blocking::pool(2);
    let listener = match port {
        Some(port) => {
            let listener = transport.listen(&format!("127.0.0.1:{port}")).await.unwrap();
            Some((listener, "127.0.0.1".to_owned()))
        }
        None => None,
    };
    let peers = (0i32..).zip(ports).filter(|(peer, _)| *peer != node);
    let options = QuorumOptions {
        data_dir,
        node,
        listener,
        peers: peers.map(|(peer, port)| (peer, "127.0.0.1".to_owned(), *port)).collect(),
        defaults: ControllerDefaults {
            num_partitions: 1,
            replication_factor: 1,
            fixed: config::Overrides::new(),
        },
        session_timeout,
        published,
        transport,
        blocking: blocking.clone(),
        wall: Wall::real(),
    };
    let quorum = MetadataQuorum::start(options).await.unwrap();
    let mut committed = quorum.handle().committed();
    let publisher = tokio::spawn(async move {
        loop {
            let next = committed.borrow_and_update().clone();
            publisher.send_replace(next);
            if committed.changed().await.is_err() {
                return;
            }
        }
    });
    Node { quorum, publisher, blocking }
}

impl Node {
    /// Its process is gone, as far as that can be within one.
    async fn die(self) {
        self.quorum.end_tasks().await;
        self.publisher.abort();
    }

    fn image(&self) -> Arc<Image> {
        self.quorum.handle().image()
    }

    /// A broker that new topics can be placed on.
    async fn register(&self) {
        self.register_at(BrokerId(0), Vec::new()).await;
    }

    async fn register_at(&self, broker: BrokerId, endpoints: Vec<metadata::Endpoint>) {
        let registration = metadata::BrokerRegistration {
            broker,
            incarnation: Uuid::from_random([3; 16]),
            endpoints,
            ..metadata::BrokerRegistration::default()
        };
        let answer = self.quorum.handle().submit(Command::RegisterBroker(registration)).await;
        let Ok(Response::Registered(epoch)) = answer else { panic!("{answer:?}") };
        let unfence = Command::UnfenceBroker { broker, epoch };
        self.quorum.handle().submit(unfence).await.unwrap();
    }

    async fn create(&self, name: &str) -> Result<bool, SubmitError> {
        let mut id = [0; 16];
        id[..name.len()].copy_from_slice(name.as_bytes());
        let topic = NewTopic {
            name: name.to_owned(),
            id: TopicId(Uuid::from_random(id)),
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

    async fn knows(&self, name: &str) {
        eventually("the topic", || self.image().topic_named(name).map(|_| ())).await;
    }

    fn end(&self) -> u64 {
        self.quorum.handle().committed().borrow().end
    }
}

async fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_elect_and_whoever_is_asked_knows_what_it_changed() {
    let cluster = Cluster::founded(3).await;
    cluster.node(1).register().await;
    for (id, node) in cluster.alive() {
        assert_eq!(node.quorum.data_dir.cluster_id().as_deref(), Some(CLUSTER), "node {id}");
        let name = format!("t{id}");
        assert_eq!(node.create(&name).await, Ok(true), "through node {id}");
        assert!(node.image().topic_named(&name).is_some(), "node {id} answered before it knew");
        assert_eq!(node.create(&name).await, Ok(false), "it is there already");
    }
    for (_, node) in cluster.alive() {
        node.knows("t2").await;
        assert_eq!(node.image().topics().len(), 3);
    }
    cluster.found().await.expect("founding again changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_committed_is_lost_with_the_leader() {
    let mut cluster = Cluster::founded(3).await;
    let mut names = Vec::new();
    cluster.node(0).register().await;
    for round in 0..3 {
        let leader = cluster.leader().await;
        let follower = (leader + 1) % 3;
        for index in 0..5 {
            let name = format!("r{round}-{index}");
            assert_eq!(cluster.node(follower).create(&name).await, Ok(true));
            names.push(name);
        }
        cluster.kill(leader).await;
        let name = format!("after{round}");
        // The old controller may take a command with it: then it was made or not, and asking again tells.
        while let Err(error) = cluster.node(follower).create(&name).await {
            assert_eq!(error, SubmitError::Unknown);
        }
        names.push(name);
        assert_ne!(cluster.leader().await, leader);
        cluster.start(leader).await;
        for name in &names {
            cluster.node(leader).knows(name).await;
        }
    }
    for (id, node) in cluster.alive() {
        node.knows(names.last().unwrap()).await;
        assert_eq!(node.image().topics().len(), names.len(), "node {id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_decides_nothing_and_comes_back() {
    let cluster = Cluster::founded(3).await;
    cluster.node(0).register().await;
    let old = cluster.leader().await;
    let others = [(old + 1) % 3, (old + 2) % 3];
    cluster.isolate(old);
    let elected = || others.into_iter().find(|id| cluster.node(*id).quorum.status().is_leader);
    eventually("another leader", elected).await;
    assert!(cluster.node(old).create("alone").await.is_err(), "nobody can have agreed");
    for id in others {
        // What was on its way to the old controller is unknown.
        let name = format!("without{id}");
        while let Err(error) = cluster.node(id).create(&name).await {
            assert_eq!(error, SubmitError::Unknown);
        }
    }
    cluster.cut.lock().unwrap().clear();
    cluster.node(old).knows(&format!("without{}", others[1])).await;
    assert!(cluster.node(old).image().topic_named("alone").is_none());
    eventually("one leader", || (!cluster.node(old).quorum.status().is_leader).then_some(())).await;
    while let Err(error) = cluster.node(old).create("again").await {
        assert_eq!(error, SubmitError::Unknown);
    }
    let names = |id: usize| {
        let image = cluster.node(id).image();
        image.topics().map(|topic| topic.name.to_string()).collect::<std::collections::BTreeSet<_>>()
    };
    for id in others {
        cluster.node(id).knows("again").await;
        assert_eq!(names(id), names(old));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_leader_that_hangs_was_asked_is_given_up_when_another_leads() {
    let cluster = Cluster::founded(3).await;
    cluster.node(0).register().await;
    let old = cluster.leader().await;
    let other = (old + 1) % 3;
    cluster.node(other).create("before").await.unwrap();
    cluster.isolate(old);
    // It does not know yet that the leader is gone, and the connection to it stands.
    let asked = tokio::time::timeout(handle::FORWARD_TIMEOUT / 2, cluster.node(other).create("lost")).await;
    assert_eq!(asked.expect("it is given up before its time is over"), Err(SubmitError::Unknown));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_slow_to_act_on_the_metadata_still_beats() {
    let cluster = Cluster::founded(1).await;
    cluster.node(0).register().await;
    cluster.node(0).publisher.abort();
    // It is committed, and the node never acts on it.
    assert_eq!(cluster.node(0).create("slow").await, Err(SubmitError::Unknown));
    let epoch = cluster.node(0).image().broker(BrokerId(0)).expect("it is registered").epoch;
    let heartbeat = BrokerHeartbeat { broker: BrokerId(0), epoch, ..BrokerHeartbeat::default() };
    let beat = cluster.node(0).quorum.handle().tell(Command::BrokerHeartbeat(heartbeat));
    let beat = tokio::time::timeout(PATIENCE, beat).await.expect("an answer");
    assert!(matches!(beat, Ok(Response::Heartbeat(_))), "{beat:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_nobody_reaches_passes_on_nothing_that_was_not_committed() {
    let cluster = Cluster::founded(3).await;
    cluster.node(0).register().await;
    let old = cluster.leader().await;
    let other = (old + 1) % 3;
    let (node, end) = (cluster.node(old), cluster.node(old).end());
    cluster.isolate(old);
    let service = node.quorum.service().unwrap();
    let alone = service.raft.client_write(super::raft::Proposal::default());
    let alone = tokio::time::timeout(Duration::from_millis(300), alone).await;
    assert!(alone.is_err(), "it is in its log, and nobody else's: {alone:?}");
    while let Err(error) = cluster.node(other).create("agreed").await {
        assert!(matches!(error, SubmitError::Unknown | SubmitError::NoController), "{error}");
    }
    // It asks others what is committed, as no leader speaks to it; its log stays as it is.
    cluster.unreached.lock().unwrap().insert(cluster.ports[old]);
    cluster.cut.lock().unwrap().clear();
    node.knows("agreed").await;
    let session = Session::new(Purpose::Client, 9, Uuid::from_random([9; 16]));
    let reply = service.answer(&session, Request::Tail { from: end, wait_ms: 0 }).await;
    assert!(matches!(reply, Reply::TailSnapshot { .. }), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_broker_is_fenced_also_by_a_controller_that_never_heard_of_it() {
    let mut cluster = Cluster::founded_with(3, Duration::from_secs(2)).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    cluster.node(leader).register().await;
    let is_fenced = |cluster: &Cluster| {
        let image = cluster.node(follower).image();
        image.broker(BrokerId(0)).map(|broker| broker.is_fenced)
    };
    cluster.kill(leader).await;
    eventually("another leader", || {
        let status = cluster.node(follower).quorum.status();
        status.leader.filter(|id| usize::try_from(*id) != Ok(leader))
    })
    .await;
    let epoch = cluster.node(follower).image().broker(BrokerId(0)).expect("it is registered").epoch;
    let heartbeat = || async {
        let heartbeat = metadata::BrokerHeartbeat {
            broker: BrokerId(0),
            epoch,
            metadata_end: cluster.node(follower).quorum.handle().published_end(),
            ..metadata::BrokerHeartbeat::default()
        };
        cluster.node(follower).quorum.handle().submit(Command::BrokerHeartbeat(heartbeat)).await
    };
    // As long as it speaks it lives, for longer than one session.
    let until = tokio::time::Instant::now() + Duration::from_secs(3);
    while tokio::time::Instant::now() < until {
        match heartbeat().await {
            Ok(Response::Heartbeat(reply)) => assert!(!reply.is_fenced),
            other => assert_eq!(other, Err(SubmitError::Unknown)),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(is_fenced(&cluster), Some(false));
    eventually("the end of its session", || is_fenced(&cluster).filter(|is_fenced| *is_fenced)).await;
    let Ok(Response::Heartbeat(reply)) = heartbeat().await else { panic!("there is a controller") };
    assert!(!reply.is_fenced, "it speaks again, and has taken all in");
}

/// The sockets of a broker: somebody listens, until this is dropped.
fn endpoint() -> (std::net::TcpListener, Vec<metadata::Endpoint>) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let host = "127.0.0.1".to_owned();
    (socket, vec![metadata::Endpoint { listener: "PLAINTEXT".to_owned(), host, port }])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_process_is_gone_is_fenced_at_once() {
    let mut cluster = Cluster::founded(3).await;
    let path = cluster.folder.path().join("broker");
    let broker = start(&path, 7, &cluster.ports, None, Arc::new(TcpTransport), NEVER).await;
    eventually("the leader", || broker.quorum.status().leader).await;
    let (socket, endpoints) = endpoint();
    broker.register_at(BrokerId(7), endpoints).await;
    // With the one that dies with the controller.
    let (other, endpoints) = endpoint();
    broker.register_at(BrokerId(8), endpoints).await;
    let fenced = |cluster: &Cluster, node: usize, id: i32| {
        let image = cluster.node(node).image();
        image.broker(BrokerId(id)).filter(|broker| broker.is_fenced).map(|_| ())
    };
    let leader = cluster.leader().await;
    // A broken connection alone means nothing.
    broker.die().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(fenced(&cluster, leader, 7), None);

    let broker = start(&path, 7, &cluster.ports, None, Arc::new(TcpTransport), NEVER).await;
    broker.create("t").await.unwrap();
    // A process closes its sockets one after the other.
    broker.die().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(socket);
    eventually("the fencing", || fenced(&cluster, leader, 7)).await;

    drop(other);
    let follower = (leader + 1) % 3;
    assert_eq!(fenced(&cluster, follower, 8), None);
    cluster.kill(leader).await;
    eventually("the fencing by the next controller", || fenced(&cluster, follower, 8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_was_stopped_goes_on() {
    let mut cluster = Cluster::founded(3).await;
    cluster.node(2).register().await;
    assert_eq!(cluster.node(2).create("a").await, Ok(true));
    let term = cluster.node(0).quorum.status().term;
    for id in 0..3 {
        let node = cluster.nodes[id].take().unwrap();
        node.quorum.stop(&node.blocking).await;
        node.publisher.abort();
    }
    for id in 0..3 {
        cluster.start(id).await;
    }
    cluster.leader().await;
    assert_eq!(cluster.node(1).create("b").await, Ok(true));
    assert!(cluster.node(1).image().topic_named("a").is_some());
    assert!(cluster.node(1).quorum.status().term > term);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_hands_over_first() {
    let mut cluster = Cluster::founded(3).await;
    let leader = cluster.leader().await;
    let node = cluster.nodes[leader].take().unwrap();
    let Part::Controller(service, _) = &node.quorum.part else { unreachable!("all are voters") };
    service.hand_over().await;
    assert_ne!(cluster.leader().await, leader);
    node.quorum.stop(&node.blocking).await;
    node.publisher.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_directory_is_another_voter() {
    let mut cluster = Cluster::founded(3).await;
    cluster.node(0).register().await;
    let victim = (cluster.leader().await + 1) % 3;
    cluster.kill(victim).await;
    std::fs::remove_dir_all(cluster.path(victim)).unwrap();
    cluster.start(victim).await;
    let others = (victim + 1) % 3;
    assert_eq!(cluster.node(others).create("a").await, Ok(true));
    // The quorum goes on without it, and does not take it for the voter that it was: it only follows.
    let node = cluster.node(victim);
    node.knows("a").await;
    assert_eq!(node.quorum.data_dir.cluster_id().as_deref(), Some(CLUSTER));
    assert!(!node.quorum.service().unwrap().is_member());
    if victim == 0 {
        // It may found nothing with those who have a cluster.
        let refused = cluster.found().await;
        assert!(matches!(refused, Err(BootstrapError::Voter { .. })), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voters_that_are_not_there_or_not_free_found_nothing() {
    let mut cluster = Cluster::new(3, NEVER).await;
    let directory = |cluster: &Cluster, node: usize| cluster.node(node).quorum.data_dir.directory_id();
    let (zero, one) = (directory(&cluster, 0), directory(&cluster, 1));
    let stranger = Uuid::from_random([9; 16]);
    let wrong = cluster.node(0).quorum.bootstrap(CLUSTER, &[(0, zero), (1, stranger)]).await;
    assert!(matches!(wrong, Err(BootstrapError::Voter { node: 1, .. })), "{wrong:?}");
    let higher = cluster.node(1).quorum.bootstrap(CLUSTER, &[(0, zero), (1, one)]).await;
    assert!(matches!(higher, Err(BootstrapError::OtherVoters { .. })), "{higher:?}");
    let two = directory(&cluster, 2);
    cluster.kill(2).await;
    let absent = cluster.node(0).quorum.bootstrap(CLUSTER, &[(0, zero), (2, two)]).await;
    assert!(matches!(absent, Err(BootstrapError::Voter { node: 2, .. })), "{absent:?}");
    cluster.node(1).quorum.bootstrap("another", &[(1, one)]).await.unwrap();
    let taken = cluster.node(0).quorum.bootstrap(CLUSTER, &[(0, zero), (1, one)]).await;
    assert!(matches!(taken, Err(BootstrapError::Voter { node: 1, .. })), "{taken:?}");
    assert_eq!(cluster.node(0).quorum.data_dir.cluster_id(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lagging_follower_gets_a_snapshot() {
    let mut cluster = Cluster::founded(3).await;
    cluster.node(0).register().await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    cluster.kill(follower).await;
    for index in 0..10 {
        assert_eq!(cluster.node(leader).create(&format!("t{index}")).await, Ok(true));
    }
    purge(cluster.node(leader)).await;
    purge(cluster.node((leader + 2) % 3)).await;
    assert_eq!(cluster.node(leader).create("last").await, Ok(true));
    cluster.start(follower).await;
    cluster.node(follower).knows("last").await;
    assert_eq!(cluster.node(follower).image().topics().len(), 11);
    assert_eq!(cluster.node(follower).create("more").await, Ok(true));
}

/// Takes a snapshot and lets the log before it go.
async fn purge(node: &Node) {
    let Part::Controller(service, _) = &node.quorum.part else { unreachable!("all are voters") };
    let applied = node.quorum.status().applied;
    service.raft.trigger().snapshot().await.unwrap();
    let wait = || service.raft.wait(Some(PATIENCE));
    wait().metrics(|m| m.snapshot.is_some_and(|at| at.index + 1 >= applied), "a snapshot").await.unwrap();
    service.raft.trigger().purge_log(applied - 1).await.unwrap();
    wait().metrics(|m| m.purged.is_some(), "a shorter log").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_vote_follows_and_may_be_asked() {
    let mut cluster = Cluster::founded(3).await;
    cluster.node(0).register().await;
    assert_eq!(cluster.node(0).create("before").await, Ok(true));
    for id in 0..3 {
        cluster.node(id).knows("before").await;
        purge(cluster.node(id)).await;
    }
    let path = cluster.folder.path().join("observer");
    let observer = start(&path, 7, &cluster.ports, None, Arc::new(TcpTransport), NEVER).await;
    observer.knows("before").await;
    assert_eq!(observer.quorum.data_dir.cluster_id().as_deref(), Some(CLUSTER));
    eventually("the leader", || observer.quorum.status().leader).await;
    assert_eq!(observer.create("through").await, Ok(true));
    assert!(observer.image().topic_named("through").is_some());
    let leader = cluster.leader().await;
    cluster.kill(leader).await;
    while let Err(error) = observer.create("after").await {
        assert_eq!(error, SubmitError::Unknown);
    }
    assert!(observer.image().topic_named("after").is_some());
    observer.quorum.stop(&observer.blocking).await;
    observer.publisher.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_cluster_is_turned_away() {
    let cluster = Cluster::founded(1).await;
    let path = cluster.folder.path().join("stranger");
    let data_dir = DataDir::open(Arc::new(RealDisk), &path, 5, None).unwrap();
    data_dir.set_cluster_id("another").unwrap();
    drop(data_dir);
    let stranger = start(&path, 5, &cluster.ports, None, Arc::new(TcpTransport), NEVER).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(stranger.end(), 0);
    let target = super::link::Target { node: 0, directory: None, purpose: super::message::Purpose::Client };
    let request = super::message::Request::Tail { from: 0, wait_ms: 0 };
    let refused = stranger.quorum.links.call(target, None, &request, PATIENCE).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("belongs to cluster test-cluster, not to another"), "{refused}");
}
