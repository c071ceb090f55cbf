//! Walking over the batches of a log file: by header alone where the bytes are known to be whole, with checksums where
//! a crash may have torn them.

use std::io;

use bytes::Bytes;
use record::BatchSummary;
use types::Offset;

use crate::disk::{DiskFile, read_exact_at};
use crate::header::{self, BATCH_HEADER_BYTES, CHECKSUM_COVERS_FROM};

/// What one read takes in: some forty batches of one small record, or one header of a large one.
const HEADERS_CHUNK_BYTES: usize = 4096;
const VERIFY_CHUNK_BYTES: usize = 256 << 10;

/// The headers of the batches between two positions, of which the first is the beginning of a batch.
pub(crate) struct Headers<'a> {
    file: &'a dyn DiskFile,
    position: u32,
    end: u32,
    chunk: [u8; HEADERS_CHUNK_BYTES],
    chunk_position: u32,
    chunk_len: usize,
}

impl<'a> Headers<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, position: u32, end: u32) -> Headers<'a> {
        Headers { file, position, end, chunk: [0; HEADERS_CHUNK_BYTES], chunk_position: 0, chunk_len: 0 }
    }

    /// The next batch that lies before the end as a whole.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u32, BatchSummary)>> {
        if self.end.saturating_sub(self.position) < BATCH_HEADER_BYTES as u32 {
            return Ok(None);
        }
        let position = self.position;
        let (header, _) = header::parse(self.header_bytes()?).map_err(io::Error::other)?;
        if u64::from(position) + u64::from(header.size_bytes) > u64::from(self.end) {
            return Ok(None);
        }
        self.position += header.size_bytes;
        Ok(Some((position, header)))
    }

    fn header_bytes(&mut self) -> io::Result<&[u8]> {
        let inside = self.position.wrapping_sub(self.chunk_position) as usize;
        if inside.saturating_add(BATCH_HEADER_BYTES) <= self.chunk_len {
            return Ok(&self.chunk[inside..self.chunk_len]);
        }
        let wanted = HEADERS_CHUNK_BYTES.min((self.end - self.position) as usize);
        self.chunk_len = self.file.read_at(&mut self.chunk[..wanted], u64::from(self.position))?;
        self.chunk_position = self.position;
        if self.chunk_len < BATCH_HEADER_BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(&self.chunk[..self.chunk_len])
    }
}

/// The batch at a position, as a whole.
pub(crate) fn read_batch(file: &dyn DiskFile, position: u32, header: &BatchSummary) -> io::Result<Bytes> {
    let mut bytes = vec![0; header.size_bytes as usize];
    read_exact_at(file, &mut bytes, u64::from(position))?;
    Ok(bytes.into())
}

/// Whole batches with right checksums and rising offsets, as recovery wants them; the first that is not so ends it.
pub(crate) struct Verified<'a> {
    file: &'a dyn DiskFile,
    position: u32,
    end: u32,
    next_offset: Offset,
    buffer: Vec<u8>,
}

impl<'a> Verified<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, position: u32, end: u32, next_offset: Offset) -> Verified<'a> {
        Verified { file, position, end, next_offset, buffer: vec![0; VERIFY_CHUNK_BYTES] }
    }

    /// Where the batches that were right end.
    pub(crate) fn position(&self) -> u32 {
        self.position
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<(u32, BatchSummary)>> {
        let left = self.end.saturating_sub(self.position);
        let mut bytes = [0; BATCH_HEADER_BYTES];
        if left < BATCH_HEADER_BYTES as u32 {
            return Ok(None);
        }
        read_exact_at(self.file, &mut bytes, u64::from(self.position))?;
        let Ok((summary, checksum)) = header::parse(&bytes) else { return Ok(None) };
        if summary.size_bytes > left
            || summary.base_offset < self.next_offset
            || self.checksum(&summary)? != checksum
        {
            return Ok(None);
        }
        let position = self.position;
        self.position += summary.size_bytes;
        self.next_offset = summary.last_offset().plus(1);
        Ok(Some((position, summary)))
    }

    fn checksum(&mut self, summary: &BatchSummary) -> io::Result<u32> {
        let mut at = u64::from(self.position) + CHECKSUM_COVERS_FROM as u64;
        let end = u64::from(self.position) + u64::from(summary.size_bytes);
        let mut checksum = 0;
        while at < end {
            let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(self.buffer.len());
            read_exact_at(self.file, &mut self.buffer[..len], at)?;
            checksum = crc32c::crc32c_append(checksum, &self.buffer[..len]);
            at += len as u64;
        }
        Ok(checksum)
    }
}
