//! A node's life: what starts in which order, how it becomes part of the cluster, and how it stops so that the next start
//! has nothing to repair.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use config::BrokerConfig;
use config::node::{INTER_BROKER_LISTENER, NodeConfig, NodeConfigError, Role};
use futures::future::BoxFuture;
use metadata::{BrokerRegistration, Command, ControllerDefaults, Endpoint, Rejection, Response};
use replication::{FetchSessions, SessionConfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use storage::{BoundedDisk, DataDir, Disk, OpenDirError, Shutdown};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::{BrokerEpoch, BrokerId, Uuid};

use crate::advertised::Advertised;
use crate::coordinators::GroupCoordinators;
use crate::metrics::Metrics;
use crate::net::{Server, ServerLimits};
use crate::node::{Node, Sessions};
use crate::partitions::{Partitions, ReplicaSettings, run_cleaner, run_flushes, run_maintenance};
use crate::peers::{
    FetcherSettings, IsrProposals, RegisteredBrokers, ReplicaFetchers, Side, Suspects, Throttle,
};
use crate::quorum::{Committed, MetadataQuorum, QuorumOptions, SubmitError};
use crate::sabotage::{Rule, is_broken};
use crate::seams::{Listener, Seams, Transport, random_uuid};
use crate::{admin, heartbeat, publisher};

/// How long requests that are under way may take to finish when the node stops.
const DRAIN: Duration = Duration::from_secs(3);
/// Between two attempts to register while the quorum has no leader yet.
const REGISTER_RETRY: Duration = Duration::from_millis(20);
/// For so long a node waits for its rack.
const RACK_PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks for it.
const RACK_RETRY: Duration = Duration::from_millis(200);
/// Where a node notes its broker epoch.
const BROKER_EPOCH: &str = "broker-epoch";
/// Which life of the process was the last to register, or to try.
const INCARNATION: &str = "incarnation";
/// Where a node notes which directories it has, beside the metadata.
const LOG_DIRS: &str = "log-dirs";
/// With fewer files than that a log cannot even be recovered.
const OPEN_FILES_MIN: usize = 32;
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
pub fn run(
    config: NodeConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> BoxFuture<'static, Result<(), RunError>> {
    run_until(config, Box::pin(shutdown))
}

/// A future is compiled by the crate that makes a pointer to it or polls it: each program that runs a node would compile all of
/// this crate again.
fn run_until(
    config: NodeConfig,
    shutdown: BoxFuture<'static, ()>,
) -> BoxFuture<'static, Result<(), RunError>> {
    Box::pin(run_here(config, shutdown))
}

async fn run_here(config: NodeConfig, shutdown: BoxFuture<'static, ()>) -> Result<(), RunError> {
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
    let data_dirs = open_data_dirs(&config, &seams)?;
    let (published_sender, published) = watch::channel(Committed::default());
    let node = build(config, data_dirs, seams, published).await?;
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
        throttle: Throttle::new(node.metadata().clone(), BrokerId(node.config.node_id), Side::Follower),
        copying: node.metrics.copying.clone(),
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
    Ok(())
}

/// The first is the one with the metadata. One that cannot be opened is no directory to do without: the replicas in it would
/// be begun anew, empty, in another one.
fn open_data_dirs(config: &NodeConfig, seams: &Seams) -> Result<Vec<Arc<DataDir>>, RunError> {
    let broker_config = config.broker_config();
    let disk: Arc<dyn Disk> =
        Arc::new(BoundedDisk::new(Arc::clone(&seams.disk), open_files_max(&broker_config)));
    let mut cluster_id = config.cluster_id.clone();
    let mut data_dirs = Vec::new();
    for path in &config.data_dirs {
        let data_dir = DataDir::open(Arc::clone(&disk), path, config.node_id, cluster_id.as_deref())?;
        data_dir
            .set_low_water_bytes(u64::try_from(broker_config.log_dir_low_water_bytes).ok())
            .map_err(|source| RunError::Io { what: format!("{}", path.display()), source })?;
        cluster_id = cluster_id.or_else(|| data_dir.cluster_id());
        data_dirs.push(Arc::new(data_dir));
    }
    Ok(data_dirs)
}

/// Half of what the process may open, if nothing else is asked for: each connection takes a descriptor too, and a client
/// that is refused is worse than a file that is opened once more.
fn open_files_max(config: &BrokerConfig) -> usize {
    let asked = usize::try_from(config.log_open_files_max).ok();
    let limit = getrlimit(Resource::Nofile).current;
    let half = limit.map_or(usize::MAX, |limit| usize::try_from(limit / 2).unwrap_or(usize::MAX));
    asked.unwrap_or(half).max(OPEN_FILES_MIN)
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
    let advertised =
        config.listeners.iter().find_map(|listener| Some(listener.advertised.as_ref()?.host.clone()));
    let host = match bound {
        "0.0.0.0" | "[::]" => advertised.unwrap_or_else(|| bound.to_owned()),
        bound => bound.to_owned(),
    };
    Ok(Some((listener, host)))
}

async fn build(
    config: NodeConfig,
    data_dirs: Vec<Arc<DataDir>>,
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
        data_dir: Arc::clone(&data_dirs[0]),
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
        partitions: Arc::new(Partitions::new(data_dirs, replica_settings(&config, &broker_config))),
        fetch_sessions: Sessions::new(FetchSessions::new(sessions)),
        suspects,
        groups: GroupCoordinators::new(&broker_config),
        throttle: Throttle::new(quorum.handle().clone(), BrokerId(config.node_id), Side::Leader),
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
    let mut own = Vec::new();
    for (field, listener) in listeners(&node.config) {
        let failed = |source| listen_error(&field, &listener.bind, source);
        let socket = node.transport.listen(&listener.bind).await.map_err(failed)?;
        let server = Server::new(socket, &listener.name, limits(node));
        let bound = server.local_addr().map_err(failed)?;
        let address = listener.advertised.map(|mut advertised| {
            advertised.port = if advertised.port == 0 { bound.port() } else { advertised.port };
            advertised
        });
        own.push((listener.name, address));
        servers.push((server, bound));
    }
    let mut advertised = Advertised::new(node, own);
    advertised.read(node).await;
    let registration = registration(node, advertised.endpoints()).await;
    let epoch = register(node, &registration).await;
    tasks.spawn(heartbeat::run(Arc::clone(node), epoch));
    tasks.spawn(advertised.follow(Arc::clone(node), registration));
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
        advertised: Some(endpoint.advertised),
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

/// Where this node stands. Whoever placed it may say so only after it has started; if nobody does, it stands where it stood.
async fn rack(node: &Node) -> Option<String> {
    let Some(file) = node.config.rack_file.clone() else { return node.config.rack.clone() };
    let started = tokio::time::Instant::now();
    let mut is_said = false;
    loop {
        let path = file.clone();
        let text = node.blocking.run(move || std::fs::read_to_string(path)).await.unwrap_or_default();
        if !text.trim().is_empty() {
            return Some(text.trim().to_owned());
        }
        if started.elapsed() >= RACK_PATIENCE {
            let image = node.metadata().image();
            let former = image.broker(BrokerId(node.config.node_id)).and_then(|broker| broker.rack.clone());
            tracing::warn!(rack = former, "rackFile says nothing: this broker stands where it stood before");
            return former;
        }
        if !is_said {
            tracing::info!(file = %file.display(), "waiting for the rack");
            is_said = true;
        }
        node.problem.send_replace(Some(format!("waiting for the rack in {}", file.display())));
        tokio::time::sleep(RACK_RETRY).await;
    }
}

/// What this node says of itself to the controller.
async fn registration(node: &Node, endpoints: Vec<Endpoint>) -> BrokerRegistration {
    let (data_dirs, incarnation) = (data_dirs(node), node.incarnation);
    let directories = data_dirs.iter().map(|dir| dir.directory_id()).collect();
    let (previous_epoch, previous_incarnation) = node
        .blocking
        .run(move || (previous_epoch(&data_dirs), replace_incarnation(&data_dirs[0], incarnation)))
        .await;
    BrokerRegistration {
        broker: BrokerId(node.config.node_id),
        incarnation,
        endpoints,
        rack: rack(node).await,
        directories,
        previous_epoch,
        // What it lost, it lost in whichever life.
        previous_incarnation: previous_incarnation.filter(|_| previous_epoch.is_some()),
        ..BrokerRegistration::default()
    }
}

/// Notes which life this is before the controller hears of it, and gives back the one that was noted before: it may be
/// registered without having heard so.
fn replace_incarnation(data_dir: &DataDir, incarnation: Uuid) -> Option<Uuid> {
    let known = data_dir.read_state(INCARNATION).ok().flatten();
    if let Err(error) = data_dir.write_state(INCARNATION, incarnation.to_string().as_bytes()) {
        tracing::warn!(%error, "cannot note the incarnation: a crash before the registration is noted counts as an unclean shutdown");
    }
    known.and_then(|known| std::str::from_utf8(&known).ok()?.trim().parse().ok())
}

/// Registers with the controller and waits until this node has taken its own registration in: by then every log is open.
async fn register(node: &Arc<Node>, registration: &BrokerRegistration) -> BrokerEpoch {
    let broker = registration.broker;
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
            // What clients are told may have changed since; where brokers dial has not.
            && former.endpoints.first() == endpoints.first()
            && !former.is_fenced
    });
    if let Some(former) = former {
        let fence = Command::FenceBroker { broker, epoch: former.epoch };
        if let Err(error) = node.metadata().submit(fence).await {
            tracing::warn!(%error, "the former life of this broker was not fenced");
        }
    }
}

fn data_dirs(node: &Node) -> Vec<Arc<DataDir>> {
    node.partitions.log_dirs().all().iter().map(|dir| Arc::clone(dir.data_dir())).collect()
}

/// As what this node was registered when it last wrote to its directories, if all that it wrote is still there: in each of
/// those that it had then, and in no other.
fn previous_epoch(data_dirs: &[Arc<DataDir>]) -> Option<BrokerEpoch> {
    let first = data_dirs[0].directory_id();
    let epoch = last_epoch(&data_dirs[0])?;
    let known = match data_dirs[0].read_state(LOG_DIRS).ok()? {
        Some(known) => String::from_utf8_lossy(&known).lines().map(str::to_owned).collect(),
        None => BTreeSet::from([first.to_string()]),
    };
    let used = data_dirs.iter().filter(|dir| dir.previous_shutdown() != Shutdown::Never);
    let used: BTreeSet<String> = used.map(|dir| dir.directory_id().to_string()).collect();
    let is_good = |dir: &Arc<DataDir>| match dir.previous_shutdown() {
        Shutdown::Clean { broker_epoch } => broker_epoch == epoch,
        Shutdown::Never | Shutdown::ProcessCrash => true,
        Shutdown::Unclean => false,
    };
    (used == known && data_dirs[1..].iter().all(is_good)).then_some(epoch)
}

fn last_epoch(data_dir: &DataDir) -> Option<BrokerEpoch> {
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
    let (node, data_dirs, cluster_id) = (Arc::clone(node), data_dirs(node), node.cluster_id());
    let blocking = node.blocking.clone();
    let write = move || {
        if let Some(cluster_id) = cluster_id {
            data_dirs[1..].iter().try_for_each(|dir| dir.set_cluster_id(&cluster_id))?;
        }
        note_log_dirs(&node.partitions)?;
        data_dirs[0].write_state(BROKER_EPOCH, epoch.to_string().as_bytes())?;
        data_dirs.iter().try_for_each(|dir| dir.shutdown_was_told())
    };
    if let Err(error) = blocking.run(write).await {
        tracing::warn!(%error, "cannot note the broker epoch: a crash will count as an unclean shutdown");
    }
}

/// Notes which directories can be used. One that fails is not among them, so that its coming back is seen: what it has then is
/// older than what the node says that it has.
pub(crate) fn note_log_dirs(partitions: &Partitions) -> io::Result<()> {
    let first = partitions.data_dir();
    if partitions.log_dirs().all().len() == 1 && first.read_state(LOG_DIRS)?.is_none() {
        return Ok(());
    }
    let online = partitions.log_dirs().online();
    let ids: Vec<_> = online.map(|dir| dir.data_dir().directory_id().to_string()).collect();
    first.write_state(LOG_DIRS, ids.join("\n").as_bytes())
}

/// Logs of topics that the cluster does not know keep their files under another name: somebody may want them back.
async fn set_strays_aside(node: &Arc<Node>) {
    let partitions = Arc::clone(&node.partitions);
    node.blocking
        .run(move || match partitions.unclaimed() {
            Err(error) => tracing::error!(%error, "cannot look for stray logs"),
            Ok(found) => {
                let strays = found.iter().filter(|(_, log)| !log.name.starts_with("__cluster_metadata"));
                for (data_dir, log) in strays {
                    match data_dir.mark_stray(log) {
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
        let marked = node.partitions.log_dirs().online().try_for_each(|dir| dir.data_dir().mark_clean(epoch));
        match marked {
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
    let mut online = partitions.log_dirs().online();
    online.try_for_each(|dir| dir.data_dir().checkpoint(&|reader| ends.get(&reader.id()).copied()))
}

fn listen_error(field: &str, bind: &str, source: io::Error) -> RunError {
    RunError::Listen { field: field.to_owned(), bind: bind.to_owned(), source }
}
