//! The controller's port: voters, and nodes that read metadata or want it changed. Knows who may talk to whom; what is
//! asked is answered in `service`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::BrokerId;

use super::link::{numbered, unnumbered, write_frame};
use super::message::{FRAME_BYTES_MAX, Hello, MAGIC, Purpose, Refusal, Request, VERSION, Welcome};
use super::service::{Service, Session};
use super::wire::{from_bytes, to_bytes};
use crate::net::framing::{FrameError, FrameReader};
use crate::seams::{Listener, Stream};

/// Every other node has two connections, and a few more while it restarts.
const CONNECTIONS_MAX: usize = 2000;
/// Requests of one connection that are under way.
const REQUESTS_MAX: usize = 64;
/// Until the handshake is done.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// A handshake is no longer than this.
const HELLO_BYTES_MAX: usize = 1024;
/// Nodes that have nothing to say for so long connect again when they have.
const IDLE: Duration = Duration::from_secs(600);
/// After a failed accept (mostly: no file descriptor left), wait instead of spinning.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("this is no node of Taffrail: {0}")]
    Stranger(String),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the request makes no sense: {0}")]
    Senseless(String),
}

/// Accepts until the node stops.
pub(super) async fn run(listener: Box<dyn Listener>, service: Arc<Service>, stopping: CancellationToken) {
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
                    tracing::warn!(%peer, "refused on the controller's port: too many connections");
                    continue;
                };
                let (service, stopping) = (Arc::clone(&service), stopping.clone());
                connections.spawn(async move {
                    let _permit = permit;
                    if let Some(Err(error)) = stopping.run_until_cancelled(serve(service, stream)).await {
                        log(peer, &error);
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the controller's port");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

fn log(peer: SocketAddr, error: &ServeError) {
    match error {
        ServeError::Frame(FrameError::Io(_)) | ServeError::Io(_) => {
            tracing::debug!(%peer, %error, "a connection on the controller's port ended");
        }
        ServeError::Frame(FrameError::Length { .. })
        | ServeError::Stranger(_)
        | ServeError::Refused(_)
        | ServeError::Senseless(_) => {
            tracing::warn!(%peer, %error, "closed a connection on the controller's port");
        }
    }
}

async fn serve(service: Arc<Service>, mut stream: Box<dyn Stream>) -> Result<(), ServeError> {
    let mut reader = FrameReader::new(HELLO_BYTES_MAX);
    let hello = tokio::time::timeout(HANDSHAKE_TIMEOUT, reader.next(&mut stream)).await;
    let Some(hello) = hello.map_err(io::Error::from)?? else { return Ok(()) };
    let hello: Hello = from_bytes(hello).map_err(|error| ServeError::Stranger(error.to_string()))?;
    if hello.magic != MAGIC {
        return Err(ServeError::Stranger("another protocol".to_owned()));
    }
    let admitted = admit(&service, &hello).await;
    let welcome = match &admitted {
        Ok(()) => Welcome::Accepted {
            cluster_id: service.data_dir.cluster_id(),
            directory: service.data_dir.directory_id(),
        },
        Err(refusal) => Welcome::Refused(refusal.clone()),
    };
    write_frame(&mut stream, &to_bytes(&welcome)).await?;
    admitted?;
    if hello.purpose == Purpose::Probe {
        return Ok(());
    }
    // The caller asks nothing before it has read the answer: the first reader holds no more than the handshake.
    let ended = requests(&service, &Session::new(hello.purpose, hello.node, hello.directory), stream).await;
    if hello.purpose == Purpose::Client {
        service.prober.fence_if_gone(BrokerId(hello.node)).await;
    }
    ended
}

/// Whether a caller is who it should be, and takes this node for what it is.
async fn admit(service: &Service, hello: &Hello) -> Result<(), Refusal> {
    let node = service.voter.node;
    if hello.version != VERSION {
        return Err(Refusal::Version { node, found: VERSION, asked: hello.version });
    }
    if hello.target != node {
        return Err(Refusal::OtherNode { found: node, asked: hello.target });
    }
    let directory = service.data_dir.directory_id();
    if let Some(asked) = hello.target_directory.filter(|asked| *asked != directory) {
        return Err(Refusal::OtherDirectory { node, found: directory, asked });
    }
    match (service.data_dir.cluster_id(), &hello.cluster_id, hello.purpose) {
        (_, _, Purpose::Probe) => Ok(()),
        (Some(found), Some(asked), _) if found != *asked => {
            Err(Refusal::OtherCluster { node, found, asked: asked.clone() })
        }
        // A founding that did not come to its end is tried again, and wants voters that belong to no cluster.
        (Some(_), None, Purpose::Client) if !service.is_member() => Err(Refusal::Unformatted { node }),
        (Some(_), Some(_), _) | (Some(_), None, Purpose::Client) => Ok(()),
        // Whoever founded the quorum named this very directory as one of its voters.
        (None, Some(cluster_id), Purpose::Raft) if hello.target_directory.is_some() => {
            let (data_dir, cluster_id) = (Arc::clone(&service.data_dir), cluster_id.clone());
            let noted = service.blocking.run(move || data_dir.set_cluster_id(&cluster_id)).await;
            noted.map_err(|error| Refusal::Disk { node, error: error.to_string() })
        }
        (Some(_), None, Purpose::Raft) | (None, _, _) => Err(Refusal::Unformatted { node }),
    }
}

/// Answers as soon as an answer is there: a heartbeat does not wait for the disk of the request before it.
async fn requests(
    service: &Arc<Service>,
    session: &Session,
    mut stream: Box<dyn Stream>,
) -> Result<(), ServeError> {
    let mut reader = FrameReader::new(FRAME_BYTES_MAX);
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some((number, reply)) = under_way.next() => {
                write_frame(&mut stream, &numbered(number, &to_bytes(&reply))).await?;
            }
            frame = tokio::time::timeout(IDLE, reader.next(&mut stream)), if under_way.len() < REQUESTS_MAX => {
                let Ok(frame) = frame else { return Ok(()) };
                let Some(frame) = frame? else { return Ok(()) };
                let (number, request) = unnumbered(&frame)
                    .ok_or_else(|| ServeError::Senseless("it has no number".to_owned()))?;
                let request: Request =
                    from_bytes(request).map_err(|error| ServeError::Senseless(error.to_string()))?;
                under_way.push(async move { (number, service.answer(session, request).await) });
            }
        }
    }
}

#[cfg(test)]
mod tests;
