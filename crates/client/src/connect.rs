//! How connections are opened: over the machine's TCP, unless a simulation brings a network of its own.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// The two directions of a connection.
pub type Halves = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

/// Opens connections.
pub trait Connect: Debug + Send + Sync {
    /// Connects to `host:port`.
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Halves>>;
}

/// The machine's TCP.
#[derive(Clone, Copy, Debug)]
struct Tcp;

impl Connect for Tcp {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Halves>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (read_half, write_half) = stream.into_split();
            let halves: Halves = (Box::new(read_half), Box::new(write_half));
            Ok(halves)
        })
    }
}

/// The machine's TCP.
pub(crate) fn tcp() -> Arc<dyn Connect> {
    Arc::new(Tcp)
}
