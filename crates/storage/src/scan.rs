//! Walking over the batches of a log file: by header alone where the bytes are known to be whole, with checksums where
//! a crash may have torn them.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use record::{BatchHeader, BatchSummary};
use types::Offset;

use crate::disk::{DiskFile, read_exact_at};

/// What one read takes in: some forty batches of one small record, or one header of a large one.
const HEADERS_CHUNK_BYTES: usize = 4096;
const VERIFY_CHUNK_BYTES: usize = 256 << 10;
/// The checksum covers what follows it: attributes and all after them.
const CHECKSUM_COVERS_FROM: usize = 21;

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
        if self.end.saturating_sub(self.position) < BatchHeader::BYTES as u32 {
            return Ok(None);
        }
        let position = self.position;
        let header = BatchHeader::parse(self.header_bytes()?).map_err(io::Error::other)?.summary();
        if u64::from(position) + u64::from(header.size_bytes) > u64::from(self.end) {
            return Ok(None);
        }
        self.position += header.size_bytes;
        Ok(Some((position, header)))
    }

    fn header_bytes(&mut self) -> io::Result<&[u8]> {
        let inside = self.position.wrapping_sub(self.chunk_position) as usize;
        if inside.saturating_add(BatchHeader::BYTES) <= self.chunk_len {
            return Ok(&self.chunk[inside..self.chunk_len]);
        }
        let wanted = HEADERS_CHUNK_BYTES.min((self.end - self.position) as usize);
        self.chunk_len = self.file.read_at(&mut self.chunk[..wanted], u64::from(self.position))?;
        self.chunk_position = self.position;
        if self.chunk_len < BatchHeader::BYTES {
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
    /// The ones that the next batch may have.
    offsets: Range<Offset>,
    buffer: Vec<u8>,
}

impl<'a> Verified<'a> {
    /// Looks at the bytes in `positions` for batches with offsets in `offsets`.
    pub(crate) fn new(file: &'a dyn DiskFile, positions: Range<u32>, offsets: Range<Offset>) -> Verified<'a> {
        Verified {
            file,
            position: positions.start,
            end: positions.end,
            offsets,
            buffer: vec![0; VERIFY_CHUNK_BYTES],
        }
    }

    /// Where the batches that were right end.
    pub(crate) fn position(&self) -> u32 {
        self.position
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<(u32, BatchSummary)>> {
        let left = self.end.saturating_sub(self.position);
        let mut bytes = [0; BatchHeader::BYTES];
        if left < BatchHeader::BYTES as u32 {
            return Ok(None);
        }
        read_exact_at(self.file, &mut bytes, u64::from(self.position))?;
        let Ok(header) = BatchHeader::parse(&bytes) else { return Ok(None) };
        let summary = header.summary();
        if summary.size_bytes > left
            || !self.offsets.contains(&summary.base_offset)
            || self.checksum(&summary)? != header.crc
        {
            return Ok(None);
        }
        let position = self.position;
        self.position += summary.size_bytes;
        self.offsets.start = summary.last_offset().plus(1);
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
