//! A network that can be cut: between two nodes nothing passes any more, and neither is told.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use storage::FileRange;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::seams::{Listener, Stream, TcpTransport, Transport};

/// The ports of those that nobody reaches, and who reach nobody.
pub(super) type Cut = Arc<Mutex<BTreeSet<u16>>>;

/// The sockets that one node makes. Those that it accepts were made by others, and are cut at their side.
#[derive(Debug)]
pub(super) struct CutTransport {
    pub(super) own: u16,
    pub(super) cut: Cut,
    /// Those that nobody reaches, and who reach others.
    pub(super) unreached: Cut,
}

struct CutStream {
    stream: Box<dyn Stream>,
    ends: [u16; 2],
    cut: Cut,
    unreached: Cut,
}

impl Transport for CutTransport {
    fn listen<'a>(&'a self, bind: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        TcpTransport.listen(bind)
    }

    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = CutStream {
                stream: TcpTransport.connect(host, port).await?,
                ends: [self.own, port],
                cut: Arc::clone(&self.cut),
                unreached: Arc::clone(&self.unreached),
            };
            match stream.is_cut() {
                true => std::future::pending().await,
                false => Ok(Box::new(stream) as Box<dyn Stream>),
            }
        })
    }
}

impl CutStream {
    fn is_cut(&self) -> bool {
        let cut = self.cut.lock().unwrap();
        self.ends.iter().any(|end| cut.contains(end))
            || self.unreached.lock().unwrap().contains(&self.ends[1])
    }
}

impl fmt::Debug for CutStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.ends)
    }
}

impl Stream for CutStream {
    fn send_range<'a>(&'a mut self, range: &'a FileRange) -> BoxFuture<'a, io::Result<()>> {
        self.stream.send_range(range)
    }
}

impl AsyncRead for CutStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if self.is_cut() {
            // What arrived meanwhile is lost, so the connection is of no use afterwards either.
            buf.set_filled(before);
            return Poll::Pending;
        }
        read
    }
}

impl AsyncWrite for CutStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.is_cut() {
            true => Poll::Ready(Ok(buf.len())),
            false => Pin::new(&mut self.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
