//! Sockets: listening, accepting, and sending a part of a file.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use rustix::io::Errno;
use storage::FileRange;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};

/// Where connections come from and go to.
pub trait Transport: Debug + Send + Sync {
    /// Listens on `host:port`.
    fn listen<'a>(&'a self, bind: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>>;
    /// Connects. The name is resolved anew each time: a restarted Pod has another address.
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>>;
}

/// Accepts connections.
pub trait Listener: Debug + Send + Sync {
    /// The next connection, and who it is from.
    fn accept(&self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>>;
    /// Where it listens: the port that it got, if it asked for any.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Debug + Unpin + Send + Sync {
    /// Sends a part of a file. After an error the connection is unusable: its frame's length is already out.
    fn send_range<'a>(&'a mut self, range: &'a FileRange) -> BoxFuture<'a, io::Result<()>>;
}

/// The machine's TCP.
#[derive(Clone, Copy, Debug)]
pub struct TcpTransport;

impl Transport for TcpTransport {
    fn listen<'a>(&'a self, bind: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move { Ok(Box::new(TcpListener::bind(bind).await?) as Box<dyn Listener>) })
    }

    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

impl Listener for TcpListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            let (stream, peer) = TcpListener::accept(self).await?;
            // Responses are written whole; waiting for more to send only costs latency.
            stream.set_nodelay(true)?;
            rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
            Ok((Box::new(stream) as Box<dyn Stream>, peer))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}

impl Stream for TcpStream {
    fn send_range<'a>(&'a mut self, range: &'a FileRange) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            match range.file.as_fd() {
                Some(_) => send_file(self, range).await,
                None => self.write_all(&range.read_to_bytes()?).await,
            }
        })
    }
}

/// The kernel copies from the page cache to the socket; the bytes never come here.
async fn send_file(stream: &TcpStream, range: &FileRange) -> io::Result<()> {
    let file = Arc::clone(&range.file);
    let mut position = range.position;
    let end = range.position + u64::from(range.len);
    while position < end {
        let left = usize::try_from(end - position).unwrap_or(usize::MAX);
        let sent = stream
            .async_io(Interest::WRITABLE, || {
                let source = file.as_fd().ok_or(io::ErrorKind::Unsupported)?;
                rustix::fs::sendfile(stream, source, Some(&mut position), left).map_err(|error| match error {
                    Errno::AGAIN => io::ErrorKind::WouldBlock.into(),
                    error => io::Error::from(error),
                })
            })
            .await?;
        if sent == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
