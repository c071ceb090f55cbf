//! One connection: reads requests, starts each in the order of arrival, lets several be under way, and answers in order.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use protocol::frame::Frame;
use storage::LogSlice;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use types::limits::REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX;

use super::framing::{FrameError, FrameReader};
use crate::api::{self, Answer, Peer};
use crate::node::Node;
use crate::seams::Stream;

/// Request bytes that a connection may have under way; a single larger request is taken alone.
const BYTES_IN_FLIGHT_MAX: usize = 16 << 20;
/// Ranges up to this size are copied behind the response's other bytes: one system call instead of three.
const COPIED_RANGE_BYTES_MAX: u32 = 16 << 10;

/// Why a connection ended other than by the peer's leave.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// What came is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The answer could not be sent.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// What came is no request that this broker serves.
    #[error(transparent)]
    Request(#[from] api::RequestError),
}

/// Serves a connection until the peer leaves, idles too long, breaks the protocol, or the node stops.
pub(super) async fn serve(
    node: Arc<Node>,
    mut stream: Box<dyn Stream>,
    peer: Peer,
    idle_timeout: Option<Duration>,
) -> Result<(), ConnectionError> {
    let mut reader =
        FrameReader::new(usize::try_from(node.broker_config.socket_request_max_bytes).unwrap_or(0));
    let mut in_flight = FuturesOrdered::new();
    let mut bytes_in_flight = 0;
    let mut last_active = Instant::now();
    let mut stopping = pin!(node.stopping.cancelled());
    loop {
        let has_room = in_flight.is_empty()
            || in_flight.len() < REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX
                && bytes_in_flight < BYTES_IN_FLIGHT_MAX;
        let may_read = has_room && !node.stopping.is_cancelled();
        let idle_deadline = idle_timeout.map(|timeout| last_active + timeout);
        tokio::select! {
            // Answers first: they make room, and a peer that only sends must not keep them back.
            biased;
            Some((size, answer)) = in_flight.next() => {
                bytes_in_flight -= size;
                // A peer that takes nothing of its answer for so long is gone, or might as well be.
                let sent = send(&mut *stream, answer?);
                match idle_timeout {
                    Some(timeout) => tokio::time::timeout(timeout, sent).await.map_err(io::Error::from)??,
                    None => sent.await?,
                }
                last_active = Instant::now();
            }
            frame = reader.next(&mut stream), if may_read => {
                let Some(frame) = frame? else { return Ok(()) };
                let size = frame.len();
                bytes_in_flight += size;
                last_active = Instant::now();
                let answer = api::answer(Arc::clone(&node), peer.clone(), frame);
                // Polled in this order by the branch above, so that first steps are taken in the order of arrival.
                in_flight.push_back(async move { (size, answer.await) });
            }
            () = &mut stopping, if in_flight.is_empty() => return Ok(()),
            () = sleep_until(idle_deadline), if in_flight.is_empty() && idle_deadline.is_some() => {
                tracing::debug!(peer = %peer.address, "closing an idle connection");
                return Ok(());
            }
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Writes a response: its bytes, and the ranges of files where they belong.
async fn send(stream: &mut dyn Stream, answer: Answer) -> io::Result<()> {
    let Answer::Frame { frame: Frame { bytes, external }, slices } = answer else { return Ok(()) };
    let bytes = bytes.freeze();
    let mut sent = 0;
    let mut pending = Vec::new();
    for part in &external {
        pending.extend_from_slice(&bytes[sent..part.at]);
        sent = part.at;
        let slice: &LogSlice = &slices[part.id as usize];
        for range in &slice.ranges {
            if range.len <= COPIED_RANGE_BYTES_MAX {
                pending.extend_from_slice(&range.read_to_bytes()?);
                continue;
            }
            stream.write_all(&pending).await?;
            pending.clear();
            stream.send_range(range).await?;
        }
    }
    if pending.is_empty() {
        stream.write_all(&bytes[sent..]).await?;
    } else {
        pending.extend_from_slice(&bytes[sent..]);
        stream.write_all(&pending).await?;
    }
    Ok(())
}
