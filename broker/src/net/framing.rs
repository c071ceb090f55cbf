//! Frames: a length and so many bytes. Memory grows with what arrives, not with what is announced.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

const LENGTH_BYTES: usize = 4;
/// What a connection reads at a time until a frame proves to be larger.
const READ_BYTES: usize = 16 << 10;
/// Once so much of a frame has come, the rest of it gets its memory at once, up to the next limit.
const PROVEN_BYTES: usize = 64 << 10;
const RESERVE_BYTES_MAX: usize = 4 << 20;

/// Reads frames from a connection. Cancelling [`FrameReader::next`] loses nothing.
#[derive(Debug)]
pub(crate) struct FrameReader {
    buffer: BytesMut,
    frame_bytes_max: usize,
}

/// What ends a connection that is read from.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The peer hung up in the middle of a frame, or the socket failed.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// The announced length cannot be, or is more than is allowed.
    #[error("a frame of {length} bytes; socket.request.max.bytes is {limit}")]
    Length {
        /// What the peer announced.
        length: i32,
        /// What is allowed.
        limit: usize,
    },
}

impl FrameReader {
    pub(crate) fn new(frame_bytes_max: usize) -> FrameReader {
        FrameReader { buffer: BytesMut::new(), frame_bytes_max }
    }

    /// The next frame without its length; `None` when the peer hung up between two.
    pub(crate) async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin + ?Sized),
    ) -> Result<Option<Bytes>, FrameError> {
        loop {
            let wanted = match self.announced()? {
                Some(length) if self.buffer.len() >= LENGTH_BYTES + length => {
                    self.buffer.advance(LENGTH_BYTES);
                    let frame = self.buffer.split_to(length).freeze();
                    if self.buffer.is_empty() && length > READ_BYTES {
                        // What is left of a large frame's memory would hold on to all of it while the peer idles.
                        self.buffer = BytesMut::new();
                    }
                    return Ok(Some(frame));
                }
                Some(length) => LENGTH_BYTES + length - self.buffer.len(),
                None => LENGTH_BYTES,
            };
            self.make_room(wanted);
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                };
            }
        }
    }

    /// The length of the frame at the front, once it is there.
    fn announced(&self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = i32::from_be_bytes(*prefix);
        match usize::try_from(length) {
            Ok(size) if size <= self.frame_bytes_max => Ok(Some(size)),
            _ => Err(FrameError::Length { length, limit: self.frame_bytes_max }),
        }
    }

    fn make_room(&mut self, wanted: usize) {
        if self.buffer.capacity() > self.buffer.len() {
            return;
        }
        let room = match self.buffer.len() {
            proven if proven >= PROVEN_BYTES => wanted.min(RESERVE_BYTES_MAX.max(proven)),
            some => READ_BYTES.max(some),
        };
        self.buffer.reserve(room);
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameError, FrameReader};

    async fn frames(input: &[u8], limit: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
        let mut reader = FrameReader::new(limit);
        let mut input = input;
        let mut frames = Vec::new();
        loop {
            match reader.next(&mut input).await {
                Ok(Some(frame)) => frames.push(frame.to_vec()),
                Ok(None) => return (frames, None),
                Err(error) => return (frames, Some(error)),
            }
        }
    }

    #[tokio::test]
    async fn frames_come_out_as_they_went_in() {
        let large = vec![7; 300_000];
        let mut input = vec![0, 0, 0, 0, 0, 0, 0, 2, 1, 2];
        input.extend_from_slice(&300_000i32.to_be_bytes());
        input.extend_from_slice(&large);
        input.extend_from_slice(&[0, 0, 0, 1, 9]);
        let (frames, error) = frames(&input, 1 << 20).await;
        assert_eq!(frames, [vec![], vec![1, 2], large, vec![9]]);
        assert!(error.is_none());
    }

    #[tokio::test]
    async fn impossible_lengths_and_half_frames_are_errors() {
        assert!(matches!(frames(&[0xff; 4], 100).await.1, Some(FrameError::Length { length: -1, .. })));
        assert!(matches!(frames(&[0, 0, 0, 101], 100).await.1, Some(FrameError::Length { length: 101, .. })));
        assert!(matches!(frames(&[0, 0, 0, 5, 1], 100).await.1, Some(FrameError::Io(_))));
    }

    #[tokio::test]
    async fn a_large_frame_leaves_no_memory_behind() {
        let mut reader = FrameReader::new(1 << 20);
        let mut input = 1_000_000i32.to_be_bytes().to_vec();
        input.resize(1_000_004, 0);
        reader.next(&mut input.as_slice()).await.unwrap().unwrap();
        assert_eq!(reader.buffer.capacity(), 0);
    }

    #[tokio::test]
    async fn an_announced_length_takes_no_memory() {
        let mut reader = FrameReader::new(100 << 20);
        let mut input: &[u8] = &[0x06, 0, 0, 0, 1, 2, 3];
        reader.next(&mut input).await.unwrap_err();
        assert!(reader.buffer.capacity() < 100_000);
    }
}
