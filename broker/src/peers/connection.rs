//! The way to a broker whose partitions are followed.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use client::{ClientConfig, Connect, Connection, Halves};
use futures::future::BoxFuture;
use protocol::messages::{FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse};
use types::BrokerId;

use crate::quorum::MetadataHandle;
use crate::seams::Transport;

/// From this version of Fetch on, a follower says which of its lives it is (KIP-903).
const FETCH_WITH_REPLICA_EPOCH: i16 = 15;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How leaders are reached.
pub(crate) trait Leaders: Debug + Send + Sync {
    /// Opens a connection to a broker.
    fn connect(&self, broker: BrokerId) -> BoxFuture<'_, Result<Box<dyn LeaderConnection>, PeerError>>;
}

/// A connection to a broker. After an error it is not used again.
pub(crate) trait LeaderConnection: Debug + Send + Sync {
    /// Fetches; waits for the answer at most `patience`.
    fn fetch(
        &self,
        request: FetchRequest,
        patience: Duration,
    ) -> BoxFuture<'_, Result<FetchResponse, PeerError>>;
    /// Asks where a log begins or ends; waits for the answer at most `patience`.
    fn list_offsets(
        &self,
        request: ListOffsetsRequest,
        patience: Duration,
    ) -> BoxFuture<'_, Result<ListOffsetsResponse, PeerError>>;
}

/// Another node was not reached, or did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    /// The image does not know where it is.
    #[error("broker {0} is not registered")]
    Unknown(BrokerId),
    /// The connection failed.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// It speaks no version that a follower can use.
    #[error("it serves Fetch only up to version {0}")]
    TooOld(i16),
}

/// Brokers at the addresses that they registered.
#[derive(Clone, Debug)]
pub(crate) struct RegisteredBrokers {
    /// Knows the addresses.
    pub(crate) metadata: MetadataHandle,
    /// What the other broker logs this one as.
    pub(crate) client_id: String,
    /// The sockets.
    pub(crate) transport: Arc<dyn Transport>,
}

/// The node's sockets, for the client.
#[derive(Debug)]
struct OverTransport(Arc<dyn Transport>);

impl Connect for OverTransport {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Halves>> {
        Box::pin(async move {
            let split = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
            let (host, port) = split.ok_or(io::ErrorKind::InvalidInput)?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let (read_half, write_half) = tokio::io::split(self.0.connect(host, port).await?);
            let halves: Halves = (Box::new(read_half), Box::new(write_half));
            Ok(halves)
        })
    }
}

impl Leaders for RegisteredBrokers {
    fn connect(&self, broker: BrokerId) -> BoxFuture<'_, Result<Box<dyn LeaderConnection>, PeerError>> {
        Box::pin(async move {
            let image = self.metadata.image();
            let registered = image.broker(broker).and_then(|broker| broker.endpoints.first());
            let endpoint = registered.ok_or(PeerError::Unknown(broker))?;
            let address = ClientConfig::new("").address_map.resolve(&endpoint.host, endpoint.port.into());
            let connector = Arc::new(OverTransport(Arc::clone(&self.transport)));
            let connection = open(&address, &self.client_id, connector).await?;
            Ok(Box::new(connection) as Box<dyn LeaderConnection>)
        })
    }
}

/// Connects to a broker that can be followed.
async fn open(address: &str, client_id: &str, connector: Arc<dyn Connect>) -> Result<Connection, PeerError> {
    let config = ClientConfig {
        client_id: client_id.to_owned(),
        connect_timeout: CONNECT_TIMEOUT,
        in_flight_max: 1,
        connector,
        ..ClientConfig::new("")
    };
    let connection = Connection::open(address, &config).await?;
    match connection.version::<FetchRequest>(i16::MAX)? {
        FETCH_WITH_REPLICA_EPOCH.. => Ok(connection),
        version => Err(PeerError::TooOld(version)),
    }
}

impl LeaderConnection for Connection {
    fn fetch(
        &self,
        request: FetchRequest,
        patience: Duration,
    ) -> BoxFuture<'_, Result<FetchResponse, PeerError>> {
        Box::pin(async move {
            let version = self.version::<FetchRequest>(i16::MAX)?;
            Ok(self.send_version(&request, version, patience).await?)
        })
    }

    fn list_offsets(
        &self,
        request: ListOffsetsRequest,
        patience: Duration,
    ) -> BoxFuture<'_, Result<ListOffsetsResponse, PeerError>> {
        Box::pin(async move {
            let version = self.version::<ListOffsetsRequest>(i16::MAX)?;
            Ok(self.send_version(&request, version, patience).await?)
        })
    }
}
