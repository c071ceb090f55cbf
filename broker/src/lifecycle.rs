//! A node's life: what starts in which order, how it becomes part of the cluster, and how it stops so that the next start
//! has nothing to repair.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use config::BrokerConfig;
use config::node::{INTER_BROKER_LISTENER, NodeConfig, NodeConfigError, Role};
use metadata::{BrokerRegistration, Command, ControllerDefaults, Endpoint, Rejection, Response};
use replication::{FetchSessions, SessionConfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use storage::{DataDir, OpenDirError, Shutdown};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::{BrokerEpoch, BrokerId};

use crate::coordinators::GroupCoordinators;
use crate::metrics::Metrics;
use crate::net::{Server, ServerLimits};
use crate::node::{Node, Sessions};
use crate::partitions::{Partitions, ReplicaSettings, run_cleaner, run_flushes, run_maintenance};
use crate::peers::{FetcherSettings, IsrProposals, RegisteredBrokers, ReplicaFetchers, Suspects, Throttle};
use crate::quorum::{Committed, MetadataQuorum, QuorumOptions, SubmitError};
use crate::sabotage::{Rule, is_broken};
use crate::seams::{Listener, Seams, Transport, random_uuid};
use crate::{admin, heartbeat, publisher};

/// How long requests that are under way may take to finish when the node stops.
const DRAIN: Duration = Duration::from_secs(3);
/// Between two attempts to register while the quorum has no leader yet.
const REGISTER_RETRY: Duration = Duration::from_millis(20);
/// Where a node notes its broker epoch.
const BROKER_EPOCH: &str = "broker-epoch";
/// A session that was not used for so long makes room (Kafka: `MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`).
const SESSION_EVICTION: Duration = Duration::from_secs(120);

/// Why a node did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// `broker.yaml` has a mistake.
    #[error(transparent)]
    Config(#[from] NodeConfigError),
    /// The node is asked to be something that this release has not.
    #[error("{0}")]
    Unsupported(String),
    /// The data directory is not to be used.
    #[error(transparent)]
    DataDir(#[from] OpenDirError),
    /// An address is taken or not ours.
    #[error("{field}: cannot listen on {bind}: {source}")]
    Listen {
        /// The field of `broker.yaml`.
        field: String,
        /// Its value.
        bind: String,
        /// Why.
        source: io::Error,
    },
    /// The metadata log cannot be used.
    #[error("the metadata quorum cannot start: {0}")]
    Quorum(io::Error),
    /// The metadata log failed: its end is unknown until it is opened again.
    #[error("the metadata quorum failed: {0}")]
    QuorumFailed(String),
    /// The disk failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

/// Runs a node until `shutdown` resolves, and stops it cleanly.
pub async fn run(config: NodeConfig, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    raise_file_limit();
    let (node, tasks) = start(config, Seams::real()).await?;
    let result = match tokio::net::TcpListener::bind(&node.config.admin.bind).await {
        Err(source) => Err(listen_error("admin.bind", &node.config.admin.bind, source)),
        Ok(listener) => {
            tasks.spawn(admin::serve(Arc::clone(&node), listener));
            tokio::select! {
                result = serve(&node, &tasks) => result,
                () = shutdown => Ok(()),
            }
        }
    };
    if result.is_ok() {
        heartbeat::leave(&node).await;
    }
    stop(&node, tasks).await;
    result
}

/// Lives until the node is stopped or its quorum has failed.
pub(crate) async fn serve(node: &Arc<Node>, tasks: &TaskTracker) -> Result<(), RunError> {
    tokio::select! {
        result = live(node, tasks) => result,
        // Nothing can be changed any more, and only a start can mend it: whoever runs the node sees to that.
        error = node.quorum.failed() => Err(RunError::QuorumFailed(error)),
    }
}

/// What a node has before it is part of a cluster: its quorum and its background work.
pub(crate) async fn start(config: NodeConfig, seams: Seams) -> Result<(Arc<Node>, TaskTracker), RunError> {
    config.validate()?;
    check_roles(&config)?;
    let data_dir = open_data_dir(&config, &seams)?;
    let (published_sender, published) = watch::channel(Committed::default());
    let node = build(config, Arc::new(data_dir), seams, published).await?;
    let tasks = TaskTracker::new();
    tasks.spawn(publisher::run(Arc::clone(&node), node.metadata().committed(), published_sender));
    tasks.spawn(run_maintenance(Arc::clone(&node)));
    tasks.spawn(run_flushes(Arc::clone(&node)));
    tasks.spawn(run_cleaner(Arc::clone(&node)));
    start_replication(&node, &tasks);
    Ok((node, tasks))
}

/// What this node follows is fetched, and what its leaders propose goes to the controller.
fn start_replication(node: &Arc<Node>, tasks: &TaskTracker) {
    let proposals = IsrProposals {
        partitions: Arc::clone(&node.partitions),
        controller: Arc::new(node.metadata().clone()),
        registration: node.registration.subscribe(),
        wall: node.wall,
        stopping: node.stopping.clone(),
    };
    tasks.spawn(proposals.run());
    let leaders = RegisteredBrokers {
        metadata: node.metadata().clone(),
        client_id: format!("broker-{}-fetcher", node.config.node_id),
        transport: Arc::clone(&node.transport),
    };
    let fetchers = ReplicaFetchers {
        partitions: Arc::clone(&node.partitions),
        leaders: Arc::new(leaders),
        suspects: Arc::clone(&node.suspects),
        registration: node.registration.subscribe(),
        throttle: Throttle::new(node.metadata().clone(), BrokerId(node.config.node_id)),
        settings: FetcherSettings::new(&node.broker_config),
        blocking: node.blocking.clone(),
        wall: node.wall,
    };
    tasks.spawn(Arc::new(fetchers).run(node.stopping.clone()));
}

/// Segments and connections need more files than a shell's limit for small programs allows; the JVM does the same.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

fn check_roles(config: &NodeConfig) -> Result<(), RunError> {
    if !config.has_role(Role::Controller) && config.peers.is_empty() {
        let message = "peers: a node that is no controller needs to know the controllers";
        return Err(RunError::Unsupported(message.to_owned()));
    }
    if config.data_dirs.len() > 1 {
        return Err(RunError::Unsupported("dataDirs: this release uses one directory".to_owned()));
    }
    Ok(())
}

fn open_data_dir(config: &NodeConfig, seams: &Seams) -> Result<DataDir, RunError> {
    let path = &config.data_dirs[0];
    let data_dir =
        DataDir::open(Arc::clone(&seams.disk), path, config.node_id, config.cluster_id.as_deref())?;
    let low_water = config.broker_config().log_dir_low_water_bytes;
    data_dir
        .set_low_water_bytes(u64::try_from(low_water).ok())
        .map_err(|source| RunError::Io { what: format!("{}", path.display()), source })?;
    Ok(data_dir)
}

/// Where other nodes reach this controller. Alone it need not be reached, and takes any port of this machine.
async fn controller_listener(
    config: &NodeConfig,
    transport: &dyn Transport,
) -> Result<Option<(Box<dyn Listener>, String)>, RunError> {
    if !config.has_role(Role::Controller) {
        return Ok(None);
    }
    let bind = config.controller.as_ref().map_or("127.0.0.1:0", |controller| controller.bind.as_str());
    let listener =
        transport.listen(bind).await.map_err(|source| listen_error("controller.bind", bind, source))?;
    let bound = bind.rsplit_once(':').map_or(bind, |(host, _)| host);
    // Others know this node by their own configuration; this is for voters that come later.
    let advertised = config.listeners.first().map(|listener| listener.advertised.host.clone());
    let host = match bound {
        "0.0.0.0" | "[::]" => advertised.unwrap_or_else(|| bound.to_owned()),
        bound => bound.to_owned(),
    };
    Ok(Some((listener, host)))
}

async fn build(
    config: NodeConfig,
    data_dir: Arc<DataDir>,
    seams: Seams,
    published: watch::Receiver<Committed>,
) -> Result<Arc<Node>, RunError> {
    let Seams { disk: _, transport, blocking, wall } = seams;
    let broker_config = config.broker_config();
    let static_config = config.static_config();
    let defaults = ControllerDefaults {
        num_partitions: broker_config.num_partitions,
        replication_factor: i16::try_from(broker_config.default_replication_factor).unwrap_or(i16::MAX),
        fixed: static_config.clone(),
    };
    let suspects = Arc::new(Suspects::new(published.clone()));
    let listener = controller_listener(&config, &*transport).await?;
    let others = config.peers.iter().filter(|peer| peer.id != config.node_id);
    let peers = others.map(|peer| (peer.id, peer.host.clone(), peer.controller_port)).collect();
    let options = QuorumOptions {
        data_dir: Arc::clone(&data_dir),
        node: config.node_id,
        listener,
        peers,
        defaults,
        session_timeout: millis(broker_config.broker_session_timeout_ms),
        published,
        transport: Arc::clone(&transport),
        blocking: blocking.clone(),
        wall,
    };
    let quorum = MetadataQuorum::start(options).await.map_err(RunError::Quorum)?;
    let sessions = SessionConfig {
        slots_max: usize::try_from(broker_config.max_incremental_fetch_session_cache_slots).unwrap_or(0),
        eviction_after: SESSION_EVICTION,
    };
    Ok(Arc::new(Node {
        wall,
        transport,
        blocking,
        partitions: Arc::new(Partitions::new(data_dir, replica_settings(&config, &broker_config))),
        fetch_sessions: Sessions::new(FetchSessions::new(sessions)),
        suspects,
        groups: GroupCoordinators::new(&broker_config),
        metrics: Metrics::new(),
        quorum,
        incarnation: random_uuid(),
        registration: watch::Sender::new(None),
        problem: watch::Sender::new(None),
        producer_ids: tokio::sync::Mutex::default(),
        leaving: CancellationToken::new(),
        stopping: CancellationToken::new(),
        broker_config,
        static_config,
        config,
    }))
}

fn replica_settings(config: &NodeConfig, broker_config: &BrokerConfig) -> ReplicaSettings {
    ReplicaSettings {
        me: BrokerId(config.node_id),
        lag_time_max: millis(broker_config.replica_lag_time_max_ms),
        fetch_backoff: millis(broker_config.replica_fetch_backoff_ms),
    }
}

/// A configuration in milliseconds; a negative one is none.
pub(crate) fn millis(value: impl Into<i64>) -> Duration {
    Duration::from_millis(u64::try_from(value.into()).unwrap_or(0))
}

/// Becomes part of the cluster and serves.
pub(crate) async fn live(node: &Arc<Node>, tasks: &TaskTracker) -> Result<(), RunError> {
    if !node.config.has_role(Role::Broker) {
        node.stopping.cancelled().await;
        return Ok(());
    }
    let mut servers = Vec::new();
    let mut endpoints = Vec::new();
    for (field, listener) in listeners(&node.config) {
        let failed = |source| listen_error(&field, &listener.bind, source);
        let socket = node.transport.listen(&listener.bind).await.map_err(failed)?;
        let server = Server::new(socket, &listener.name, limits(node));
        let bound = server.local_addr().map_err(failed)?;
        let port = if listener.advertised.port == 0 { bound.port() } else { listener.advertised.port };
        endpoints.push(Endpoint { listener: listener.name, host: listener.advertised.host, port });
        servers.push((server, bound));
    }
    let epoch = register(node, endpoints).await;
    tasks.spawn(heartbeat::run(Arc::clone(node), epoch));
    set_strays_aside(node).await;
    for (server, bound) in servers {
        tracing::info!(address = %bound, "listening");
        tasks.spawn(server.run(Arc::clone(node)));
    }
    node.registration.send_replace(Some(epoch));
    tracing::info!(node = node.config.node_id, epoch = epoch.0, "ready");
    node.stopping.cancelled().await;
    Ok(())
}

/// Where the broker listens, each with the field that says so. The one for brokers comes first: that is where they dial.
fn listeners(config: &NodeConfig) -> Vec<(String, config::node::Listener)> {
    let own = config.inter_broker.clone().map(|endpoint| config::node::Listener {
        name: INTER_BROKER_LISTENER.to_owned(),
        bind: endpoint.bind,
        advertised: endpoint.advertised,
    });
    let own = own.map(|listener| ("interBroker.bind".to_owned(), listener));
    let clients = config.listeners.iter().cloned().enumerate();
    own.into_iter()
        .chain(clients.map(|(index, listener)| (format!("listeners[{index}].bind"), listener)))
        .collect()
}

fn limits(node: &Node) -> ServerLimits {
    let config = &node.broker_config;
    let count = |value: i32| usize::try_from(value).unwrap_or(0);
    ServerLimits {
        connections_max: count(config.max_connections),
        connections_per_ip_max: count(config.max_connections_per_ip),
        // A negative time is never, as in Kafka.
        idle_timeout: u64::try_from(config.connections_max_idle_ms).ok().map(Duration::from_millis),
    }
}

/// Registers with the controller and waits until this node has taken its own registration in: by then every log is open.
async fn register(node: &Arc<Node>, endpoints: Vec<Endpoint>) -> BrokerEpoch {
    let broker = BrokerId(node.config.node_id);
    let data_dir = Arc::clone(node.partitions.data_dir());
    let registration = BrokerRegistration {
        broker,
        incarnation: node.incarnation,
        endpoints,
        rack: node.config.rack.clone(),
        directories: vec![data_dir.directory_id()],
        previous_epoch: node.blocking.run(move || previous_epoch(&data_dir)).await,
        ..BrokerRegistration::default()
    };
    // Each reason is said once, however often it keeps the node waiting.
    let mut said = BTreeSet::new();
    loop {
        let answer = node.metadata().submit(Command::RegisterBroker(registration.clone())).await;
        let error = match answer {
            Ok(Response::Registered(epoch)) => {
                remember_epoch(node, epoch).await;
                match node.metadata().submit(Command::UnfenceBroker { broker, epoch }).await {
                    Ok(Response::Unfenced) => {
                        node.problem.send_replace(None);
                        return epoch;
                    }
                    Ok(_) => None,
                    Err(error) => Some(error),
                }
            }
            Ok(_) => None,
            Err(error) => {
                if let SubmitError::Rejected(Rejection::DuplicateBrokerRegistration { .. }) = error {
                    fence_former_life(node, &registration.endpoints).await;
                }
                Some(error)
            }
        };
        let is_refused = matches!(error, Some(SubmitError::Rejected(_)));
        let problem = error.and_then(|error| waiting_for(node, error));
        if let Some(problem) = problem.as_ref().filter(|problem| said.insert((*problem).clone())) {
            // Waiting is what a start is made of; a refusal lasts until somebody does something.
            match is_refused {
                true => tracing::warn!("{problem}"),
                false => tracing::info!("{problem}"),
            }
        }
        node.problem.send_replace(problem);
        tokio::time::sleep(REGISTER_RETRY).await;
    }
}

/// Why this node is no broker of its cluster yet, in words that say what to do.
fn waiting_for(node: &Node, error: SubmitError) -> Option<String> {
    match error {
        SubmitError::Rejected(rejection) => {
            Some(format!("the controller does not register this node: {rejection}"))
        }
        _ if node.cluster_id().is_none() => Some(
            "waiting to be bootstrapped: POST /v1/bootstrap on the admin listener founds the cluster"
                .to_owned(),
        ),
        SubmitError::NoController | SubmitError::Unknown | SubmitError::Busy | SubmitError::TooLarge => Some(
            format!("waiting for the active controller: {error}; see that most voters run and are reached"),
        ),
    }
}

/// Whoever was registered with this node's directory and addresses is gone, as this node holds both: the controller need
/// not wait for the end of that session. A copy of a disk has other addresses, and waits.
async fn fence_former_life(node: &Arc<Node>, endpoints: &[Endpoint]) {
    let broker = BrokerId(node.config.node_id);
    let directory = node.partitions.data_dir().directory_id();
    let former = node.metadata().committed().borrow().image.broker(broker).cloned();
    let former = former.filter(|former| {
        former.incarnation != node.incarnation
            && former.directories.contains(&directory)
            && former.endpoints == endpoints
            && !former.is_fenced
    });
    if let Some(former) = former {
        let fence = Command::FenceBroker { broker, epoch: former.epoch };
        if let Err(error) = node.metadata().submit(fence).await {
            tracing::warn!(%error, "the former life of this broker was not fenced");
        }
    }
}

/// As what this node was registered when it last wrote to its directory, if all that it wrote is still there.
fn previous_epoch(data_dir: &DataDir) -> Option<BrokerEpoch> {
    match data_dir.previous_shutdown() {
        Shutdown::Clean { broker_epoch } => Some(broker_epoch),
        Shutdown::ProcessCrash => crashed_epoch(data_dir),
        Shutdown::Unclean if is_broken(Rule::PowerLossIsTold) => crashed_epoch(data_dir),
        Shutdown::Never | Shutdown::Unclean => None,
    }
}

fn crashed_epoch(data_dir: &DataDir) -> Option<BrokerEpoch> {
    let epoch = data_dir.read_state(BROKER_EPOCH).ok().flatten()?;
    std::str::from_utf8(&epoch).ok()?.trim().parse().ok().map(BrokerEpoch)
}

/// Written before the node leads anything in this epoch, so that after a crash of the process it can say which it was.
async fn remember_epoch(node: &Arc<Node>, epoch: BrokerEpoch) {
    let data_dir = Arc::clone(node.partitions.data_dir());
    let write = move || data_dir.write_state(BROKER_EPOCH, epoch.to_string().as_bytes());
    if let Err(error) = node.blocking.run(write).await {
        tracing::warn!(%error, "cannot note the broker epoch: a crash will count as an unclean shutdown");
    }
}

/// Logs of topics that the cluster does not know keep their files under another name: somebody may want them back.
async fn set_strays_aside(node: &Arc<Node>) {
    let partitions = Arc::clone(&node.partitions);
    node.blocking
        .run(move || match partitions.unclaimed() {
            Err(error) => tracing::error!(%error, "cannot look for stray logs"),
            Ok(found) => {
                for log in found.iter().filter(|log| !log.name.starts_with("__cluster_metadata")) {
                    match partitions.data_dir().mark_stray(log) {
                        Ok(path) => {
                            tracing::warn!(log = log.name, path = %path.display(), "set a stray log aside")
                        }
                        Err(error) => tracing::error!(log = log.name, %error, "cannot set a stray log aside"),
                    }
                }
            }
        })
        .await;
}

/// Takes no new request, lets those under way finish, writes everything down.
pub(crate) async fn stop(node: &Arc<Node>, tasks: TaskTracker) {
    tracing::info!("stopping");
    node.stopping.cancel();
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!("requests that are under way are given up");
    }
    let (partitions, now) = (Arc::clone(&node.partitions), node.wall.now());
    let is_closed = node.blocking.run(move || close(&partitions, now)).await;
    node.quorum.stop(&node.blocking).await;
    // What a failed disk has of the logs only a start can tell.
    let epoch = node.registration.borrow().filter(|_| !node.partitions.is_disk_failed());
    if let (Ok(()), Some(epoch)) = (&is_closed, epoch) {
        match node.partitions.data_dir().mark_clean(epoch) {
            Ok(()) => tracing::info!("stopped cleanly"),
            Err(error) => tracing::error!(%error, "cannot write the marker of a clean shutdown"),
        }
    }
    if let Err(error) = is_closed {
        tracing::error!(%error, "the checkpoints could not be written: the next start looks at the logs again");
    }
}

fn close(partitions: &Partitions, now: types::Now) -> io::Result<()> {
    let ends: std::collections::BTreeMap<_, _> = partitions
        .all()
        .iter()
        .map(|partition| (partition.id(), partition.bounds().high_watermark))
        .collect();
    partitions.close_all(now);
    partitions.data_dir().checkpoint(&|reader| ends.get(&reader.id()).copied())
}

fn listen_error(field: &str, bind: &str, source: io::Error) -> RunError {
    RunError::Listen { field: field.to_owned(), bind: bind.to_owned(), source }
}
