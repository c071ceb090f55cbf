//! The broker's and the client's sockets, over the network in memory.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use broker::seams::{Listener, Stream, Transport};
use client::{Connect, Halves};
use futures::future::BoxFuture;
use storage::FileRange;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::Net;
use super::state::{End, HostId};

/// The sockets of one host.
#[derive(Clone, Debug)]
pub struct HostTransport {
    pub(super) net: Net,
    pub(super) host: HostId,
}

#[derive(Debug)]
struct HostListener {
    net: Net,
    host: HostId,
    port: u16,
}

#[derive(Debug)]
struct HostStream {
    net: Net,
    end: End,
}

impl HostTransport {
    async fn open(&self, host: &str, port: u16) -> io::Result<HostStream> {
        let target = self.net.state().host(host).ok_or(io::ErrorKind::NotFound)?;
        let end = self.net.state().connect(self.host, target, port);
        let stream = HostStream { net: self.net.clone(), end };
        poll_fn(|cx| poll(self.net.state().connected(end, cx.waker()))).await?;
        Ok(stream)
    }
}

impl Transport for HostTransport {
    fn listen<'a>(&'a self, bind: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let port = bind.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            let port = port.ok_or(io::ErrorKind::InvalidInput)?;
            self.net.state().listen(self.host, port)?;
            Ok(Box::new(HostListener { net: self.net.clone(), host: self.host, port }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move { Ok(Box::new(self.open(host, port).await?) as Box<dyn Stream>) })
    }
}

impl Connect for HostTransport {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Halves>> {
        Box::pin(async move {
            let split = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
            let (host, port) = split.ok_or(io::ErrorKind::InvalidInput)?;
            let (read_half, write_half) = tokio::io::split(self.open(host, port).await?);
            let halves: Halves = (Box::new(read_half), Box::new(write_half));
            Ok(halves)
        })
    }
}

impl Listener for HostListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            let accepted = poll_fn(|cx| poll(self.net.state().accept(self.host, self.port, cx.waker())));
            let (end, from) = accepted.await;
            let stream = HostStream { net: self.net.clone(), end };
            Ok((Box::new(stream) as Box<dyn Stream>, address(from, 40000)))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(address(self.host, self.port))
    }
}

impl Drop for HostListener {
    fn drop(&mut self) {
        self.net.state().unlisten(self.host, self.port);
    }
}

impl Stream for HostStream {
    fn send_range<'a>(&'a mut self, range: &'a FileRange) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move { self.write_all(&range.read_to_bytes()?).await })
    }
}

impl AsyncRead for HostStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.net.state().read(self.end, buf.remaining(), cx.waker());
        poll(read).map_ok(|bytes| buf.put_slice(&bytes))
    }
}

impl AsyncWrite for HostStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        poll(self.net.state().write(self.end, bytes, cx.waker()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.net.state().shut(self.end);
        Poll::Ready(Ok(()))
    }
}

impl Drop for HostStream {
    fn drop(&mut self) {
        self.net.state().close(self.end);
    }
}

fn poll<T>(outcome: Option<T>) -> Poll<T> {
    outcome.map_or(Poll::Pending, Poll::Ready)
}

fn address(host: HostId, port: u16) -> SocketAddr {
    let last = u8::try_from(host + 1).unwrap_or(u8::MAX);
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, last), port))
}
