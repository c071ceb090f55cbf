//! Accepting connections, within limits.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::connection;
use crate::api::Peer;
use crate::node::Node;
use crate::seams::{Listener, Stream};

/// After a failed accept (mostly: no file descriptor left), wait instead of spinning.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How many connections there may be, and for how long they may idle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerLimits {
    /// `max.connections`.
    pub(crate) connections_max: usize,
    /// `max.connections.per.ip`.
    pub(crate) connections_per_ip_max: usize,
    /// `connections.max.idle.ms`; `None` never closes them.
    pub(crate) idle_timeout: Option<Duration>,
}

/// All connections of one listener.
#[derive(Debug)]
pub(crate) struct Server {
    listener: Box<dyn Listener>,
    name: Arc<str>,
    limits: ServerLimits,
    open: Arc<Mutex<Open>>,
    connections: TaskTracker,
}

/// Who is connected.
#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_ip: BTreeMap<IpAddr, usize>,
}

/// Counts a connection for as long as it lives.
struct Admission {
    open: Arc<Mutex<Open>>,
    node: Arc<Node>,
    listener: Arc<str>,
    ip: IpAddr,
}

impl Server {
    /// On a socket that already listens.
    pub(crate) fn new(listener: Box<dyn Listener>, name: &str, limits: ServerLimits) -> Server {
        let open = Arc::default();
        Server { listener, name: name.into(), limits, open, connections: TaskTracker::new() }
    }

    /// Where it listens.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until the node stops, then waits for the connections to finish what they have begun.
    pub(crate) async fn run(self, node: Arc<Node>) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = node.stopping.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(&node, stream, peer),
                Err(error) => {
                    tracing::warn!(listener = %self.name, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
        self.connections.close();
        self.connections.wait().await;
    }

    fn admit(&self, node: &Arc<Node>, stream: Box<dyn Stream>, address: SocketAddr) {
        let Some(admission) = self.count(node, address.ip()) else {
            node.metrics.connection_refused();
            tracing::warn!(listener = %self.name, peer = %address, "refused: too many connections");
            return;
        };
        let peer = Peer::new(address, Arc::clone(&self.name));
        let (node, idle_timeout) = (Arc::clone(node), self.limits.idle_timeout);
        self.connections.spawn(async move {
            let _admission = admission;
            if let Err(error) = connection::serve(node, stream, peer, idle_timeout).await {
                tracing::info!(peer = %address, error = %Chain(&error), "connection closed");
            }
        });
    }

    fn count(&self, node: &Arc<Node>, ip: IpAddr) -> Option<Admission> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_ip = open.by_ip.get(&ip).copied().unwrap_or(0);
        if open.total >= self.limits.connections_max || of_ip >= self.limits.connections_per_ip_max {
            return None;
        }
        open.total += 1;
        open.by_ip.insert(ip, of_ip + 1);
        node.metrics.connection_opened(&self.name);
        let (open, listener) = (Arc::clone(&self.open), Arc::clone(&self.name));
        Some(Admission { open, node: Arc::clone(node), listener, ip })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        match open.by_ip.get_mut(&self.ip) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.by_ip.remove(&self.ip)),
        }
        self.node.metrics.connection_closed(&self.listener);
    }
}

/// An error with its causes, on one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
