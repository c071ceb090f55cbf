//! Connections to the controllers of other nodes: one for each node and purpose, made when it is needed and again when it
//! broke, with many requests under way on it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use protocol::Encoder;
use storage::DataDir;
use tokio::io::{AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::Uuid;

use super::message::{FRAME_BYTES_MAX, Hello, MAGIC, Purpose, Refusal, Reply, Request, VERSION, Welcome};
use super::raft::VoterAddress;
use super::wire::{Wire, from_bytes, to_bytes};
use crate::net::framing::{FrameError, FrameReader};
use crate::seams::{Blocking, Stream, Transport};

/// Requests that wait for a connection.
const CALLS_WAITING_MAX: usize = 64;
/// Requests that wait for their answers.
const CALLS_PENDING_MAX: usize = 512;
/// For connecting and the handshake together.
const DIAL_TIMEOUT: Duration = Duration::from_millis(500);
/// Between two attempts to connect.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_millis(200);
/// A voter that says nothing for so long, while it is asked several times a second, is behind a broken connection: the
/// kernel would go on trying for minutes, and would notice late that the network is whole again.
const RAFT_SILENCE: Duration = Duration::from_millis(1500);
/// The same for who waits for commits and for news.
const CLIENT_SILENCE: Duration = Duration::from_secs(20);

/// Another node, as the target of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) node: i32,
    /// The directory that it must have.
    pub(super) directory: Option<Uuid>,
    pub(super) purpose: Purpose,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum CallError {
    /// There is no connection; the request was not sent.
    #[error("node {node} cannot be reached: {error}")]
    Unreachable {
        /// Which.
        node: i32,
        /// Why.
        error: String,
    },
    /// The other node does not talk to this one; the request was not sent.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many requests wait; this one was not sent.
    #[error("too many requests wait for an answer")]
    Busy,
    /// The request is larger than a message may be.
    #[error("the request is too large for one message")]
    TooLarge,
    /// The connection broke, or the time ran out, after the request was sent.
    #[error("the connection was lost before the answer came")]
    Lost,
    /// The answer is not one to this request.
    #[error("the answer makes no sense: {0}")]
    Senseless(String),
}

impl CallError {
    /// Whether the other node surely did nothing.
    pub(super) fn is_undone(&self) -> bool {
        match self {
            CallError::Unreachable { .. } | CallError::Refused(_) | CallError::Busy | CallError::TooLarge => {
                true
            }
            CallError::Lost | CallError::Senseless(_) => false,
        }
    }
}

/// All connections that this node makes. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Links {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    transport: Arc<dyn Transport>,
    data_dir: Arc<DataDir>,
    blocking: Blocking,
    node: i32,
    /// Where the nodes are that the configuration names; this goes before what the log says, which may be older.
    addresses: BTreeMap<i32, VoterAddress>,
    open: Mutex<BTreeMap<Target, mpsc::Sender<Call>>>,
    /// Who does not talk to this node, and why.
    refusals: Mutex<BTreeMap<i32, Refusal>>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

#[derive(Debug)]
struct Call {
    request: Bytes,
    answer: oneshot::Sender<Result<Bytes, CallError>>,
}

type Pending = Mutex<BTreeMap<u32, oneshot::Sender<Result<Bytes, CallError>>>>;

impl Links {
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        data_dir: Arc<DataDir>,
        blocking: Blocking,
        node: i32,
        addresses: BTreeMap<i32, VoterAddress>,
        tasks: TaskTracker,
        stopping: CancellationToken,
    ) -> Links {
        let (open, refusals) = (Mutex::default(), Mutex::default());
        let shared =
            Shared { transport, data_dir, blocking, node, addresses, open, refusals, tasks, stopping };
        Links { shared: Arc::new(shared) }
    }

    /// The nodes that the configuration names.
    pub(super) fn nodes(&self) -> impl Iterator<Item = i32> {
        self.shared.addresses.keys().copied()
    }

    /// What ends with the quorum.
    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.shared.tasks
    }

    /// When that is.
    pub(super) fn stopping(&self) -> &CancellationToken {
        &self.shared.stopping
    }

    /// Where a node is, if the configuration says so.
    pub(super) fn address(&self, node: i32) -> Option<&VoterAddress> {
        self.shared.addresses.get(&node)
    }

    /// Asks another node. Without an answer in time nobody knows what it did.
    pub(super) async fn call(
        &self,
        target: Target,
        known_at: Option<&VoterAddress>,
        request: &Request,
        timeout: Duration,
    ) -> Result<Reply, CallError> {
        let request = to_bytes(request);
        if request.len() + 8 > FRAME_BYTES_MAX {
            return Err(CallError::TooLarge);
        }
        let (answer, answered) = oneshot::channel();
        let link = self.link(target, known_at)?;
        link.try_send(Call { request, answer }).map_err(|_| CallError::Busy)?;
        let answered = tokio::time::timeout(timeout, answered).await;
        let bytes = answered.map_err(|_| CallError::Lost)?.map_err(|_| CallError::Lost)??;
        from_bytes(bytes).map_err(|error| CallError::Senseless(error.to_string()))
    }

    /// Asks a node who it is, over a connection of its own.
    pub(super) async fn probe(
        &self,
        target: Target,
        known_at: Option<&VoterAddress>,
    ) -> Result<Option<String>, CallError> {
        let address = self.shared.address(target.node, known_at)?;
        let (_, cluster_id) = self.shared.dial(target, &address).await?;
        Ok(cluster_id)
    }

    /// Why other nodes do not talk to this one.
    pub(super) fn refusals(&self) -> Vec<Refusal> {
        self.shared.refusals().values().cloned().collect()
    }

    fn link(&self, target: Target, known_at: Option<&VoterAddress>) -> Result<mpsc::Sender<Call>, CallError> {
        let mut open = self.shared.lock();
        if let Some(link) = open.get(&target).filter(|link| !link.is_closed()) {
            return Ok(link.clone());
        }
        let address = self.shared.address(target.node, known_at)?;
        let (sender, calls) = mpsc::channel(CALLS_WAITING_MAX);
        let link = Link { shared: Arc::clone(&self.shared), target, address, calls };
        self.shared.tasks.spawn(link.run());
        open.insert(target, sender.clone());
        Ok(sender)
    }
}

impl Shared {
    fn refusals(&self) -> MutexGuard<'_, BTreeMap<i32, Refusal>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Target, mpsc::Sender<Call>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self, node: i32, known_at: Option<&VoterAddress>) -> Result<VoterAddress, CallError> {
        self.addresses.get(&node).or(known_at).cloned().ok_or_else(|| CallError::Unreachable {
            node,
            error: "its address is not known: add it to peers in broker.yaml".to_owned(),
        })
    }

    /// Connects and shakes hands.
    async fn dial(
        &self,
        target: Target,
        address: &VoterAddress,
    ) -> Result<(Box<dyn Stream>, Option<String>), CallError> {
        let unreachable = |error: String| CallError::Unreachable { node: target.node, error };
        let dialled = tokio::time::timeout(DIAL_TIMEOUT, self.shake_hands(target, address)).await;
        let (stream, welcome) = match dialled {
            Ok(Ok(dialled)) => dialled,
            Ok(Err(error)) => return Err(unreachable(error.to_string())),
            Err(_) => return Err(unreachable(format!("no answer within {} ms", DIAL_TIMEOUT.as_millis()))),
        };
        match welcome {
            Welcome::Accepted { cluster_id, directory: _ } => {
                self.join(target, cluster_id.clone())
                    .await
                    .map_err(|error| unreachable(error.to_string()))?;
                self.refusals().remove(&target.node);
                Ok((stream, cluster_id))
            }
            Welcome::Refused(refusal) => {
                // Who belongs to no cluster yet is no problem, but a stage.
                if !matches!(refusal, Refusal::Unformatted { .. }) {
                    self.refusals().insert(target.node, refusal.clone());
                }
                Err(refusal.into())
            }
        }
    }

    async fn shake_hands(
        &self,
        target: Target,
        address: &VoterAddress,
    ) -> io::Result<(Box<dyn Stream>, Welcome)> {
        let mut stream = self.transport.connect(&address.host, address.port).await?;
        let hello = Hello {
            magic: MAGIC,
            version: VERSION,
            purpose: target.purpose,
            cluster_id: self.data_dir.cluster_id(),
            node: self.node,
            directory: self.data_dir.directory_id(),
            target: target.node,
            target_directory: target.directory,
        };
        write_frame(&mut stream, &to_bytes(&hello)).await?;
        // Nothing comes behind the answer before something is asked: the reader has no more than that.
        let mut reader = FrameReader::new(FRAME_BYTES_MAX);
        let answer = reader.next(&mut stream).await.map_err(io::Error::other)?;
        let answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok((stream, from_bytes(answer).map_err(io::Error::other)?))
    }

    /// A node without a cluster joins that of the controllers which its configuration names.
    async fn join(&self, target: Target, cluster_id: Option<String>) -> io::Result<()> {
        let Some(cluster_id) = cluster_id.filter(|_| target.purpose == Purpose::Client) else {
            return Ok(());
        };
        if self.data_dir.cluster_id().is_some() {
            return Ok(());
        }
        let data_dir = Arc::clone(&self.data_dir);
        self.blocking.run(move || data_dir.set_cluster_id(&cluster_id)).await.map_err(io::Error::other)
    }
}

/// The task behind one connection.
struct Link {
    shared: Arc<Shared>,
    target: Target,
    address: VoterAddress,
    calls: mpsc::Receiver<Call>,
}

impl Link {
    /// Runs until the node stops.
    async fn run(mut self) {
        let stopping = self.shared.stopping.clone();
        stopping.run_until_cancelled(self.connect_and_serve()).await;
    }

    async fn connect_and_serve(&mut self) {
        let mut backoff = BACKOFF_MIN;
        let mut says_refusal = true;
        while let Some(first) = self.calls.recv().await {
            match self.shared.dial(self.target, &self.address).await {
                Ok((stream, _)) => {
                    (backoff, says_refusal) = (BACKOFF_MIN, true);
                    let error = self.serve(stream, first).await;
                    tracing::debug!(node = self.target.node, %error, "a connection to a controller ended");
                }
                Err(error) => {
                    // Before the founding all nodes look for a cluster at each other.
                    let is_early = matches!(&error, CallError::Refused(Refusal::Unformatted { .. }));
                    if let (CallError::Refused(refusal), true) = (&error, says_refusal && !is_early) {
                        tracing::error!(node = self.target.node, error = %refusal, "refused by a controller");
                        says_refusal = false;
                    }
                    first.answer.send(Err(error.clone())).ok();
                    self.refuse(&error, backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }

    /// Tells everybody who calls that there is no connection, until the next attempt is due.
    async fn refuse(&mut self, error: &CallError, backoff: Duration) {
        let until = Instant::now() + backoff;
        while let Ok(Some(call)) = tokio::time::timeout_at(until, self.calls.recv()).await {
            call.answer.send(Err(error.clone())).ok();
        }
    }

    /// Carries requests and answers until the connection breaks. Both directions go on by themselves: a peer that waits for
    /// us to read must not keep us from reading.
    async fn serve(&mut self, stream: Box<dyn Stream>, first: Call) -> io::Error {
        let (reader, writer) = tokio::io::split(stream);
        let pending = Pending::default();
        let silence = match self.target.purpose {
            Purpose::Raft => RAFT_SILENCE,
            Purpose::Client | Purpose::Probe => CLIENT_SILENCE,
        };
        // What is pending is dropped with the connection, which tells those who wait that it is lost.
        tokio::select! {
            result = write_requests(writer, &mut self.calls, first, &pending) => match result {
                Ok(()) => io::ErrorKind::ConnectionAborted.into(),
                Err(error) => error,
            },
            error = read_replies(reader, &pending, silence) => error,
        }
    }
}

async fn write_requests(
    mut writer: WriteHalf<Box<dyn Stream>>,
    calls: &mut mpsc::Receiver<Call>,
    first: Call,
    pending: &Pending,
) -> io::Result<()> {
    let mut next = Some(first);
    let mut number = 0u32;
    while let Some(Call { request, answer }) = next {
        number = number.wrapping_add(1);
        let has_room = {
            let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
            if pending.len() >= CALLS_PENDING_MAX {
                pending.retain(|_, answer| !answer.is_closed());
            }
            let has_room = pending.len() < CALLS_PENDING_MAX;
            match has_room {
                true => drop(pending.insert(number, answer)),
                false => drop(answer.send(Err(CallError::Busy))),
            }
            has_room
        };
        if has_room {
            write_frame(&mut writer, &numbered(number, &request)).await?;
        }
        next = calls.recv().await;
    }
    Ok(())
}

async fn read_replies(
    mut stream: ReadHalf<Box<dyn Stream>>,
    pending: &Pending,
    silence: Duration,
) -> io::Error {
    let mut reader = FrameReader::new(FRAME_BYTES_MAX);
    // Silence counts from when there is something to wait for.
    let mut has_waited = false;
    loop {
        let frame = match tokio::time::timeout(silence, reader.next(&mut stream)).await {
            Err(_) => {
                let is_waiting = !pending.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
                if is_waiting && has_waited {
                    return io::ErrorKind::TimedOut.into();
                }
                has_waited = is_waiting;
                continue;
            }
            Ok(Ok(Some(frame))) => frame,
            Ok(Ok(None)) => return io::ErrorKind::UnexpectedEof.into(),
            Ok(Err(FrameError::Io(error))) => return error,
            Ok(Err(error @ FrameError::Length { .. })) => return io::Error::other(error),
        };
        has_waited = false;
        let Some((number, reply)) = unnumbered(&frame) else {
            return io::Error::other("an answer without a number");
        };
        let answer = pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if let Some(answer) = answer {
            answer.send(Ok(reply)).ok();
        }
    }
}

/// A message behind the number of its request.
pub(super) fn numbered(number: u32, message: &[u8]) -> Bytes {
    let mut encoder = Encoder::new();
    number.put(&mut encoder);
    encoder.raw(message);
    encoder.into_bytes()
}

/// The reverse of [`numbered`].
pub(super) fn unnumbered(frame: &Bytes) -> Option<(u32, Bytes)> {
    let number = frame.first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), frame.slice(4..)))
}

/// Writes a frame with its length.
pub(super) async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    let length = i32::try_from(message.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(4 + message.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(message);
    stream.write_all(&frame).await?;
    stream.flush().await
}
