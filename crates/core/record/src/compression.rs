//! How the records of a batch are compressed, and the way there and back. Decompression is bounded: a small batch cannot
//! make a node allocate without end.

use std::io::{self, Read, Write};

use bytes::Bytes;
use types::limits::DECOMPRESSED_BATCH_BYTES_MAX;

/// A codec, as the batch's attributes name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// snappy, framed as xerial does or raw.
    Snappy,
    /// lz4 frames.
    Lz4,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// How xerial's framing begins: magic, version 1, compatible with version 1. Java writes it, other clients do not.
const XERIAL_HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const XERIAL_MAGIC_LEN: usize = 8;
const XERIAL_BLOCK_BYTES: usize = 32 << 10;
/// Kafka's defaults (`compression.*.level`).
const ZSTD_LEVEL: i32 = 3;
/// The first guess of a decompressed batch's size, as a multiple of the compressed one.
const EXPANSION_GUESS: usize = 4;

impl Compression {
    /// Every codec.
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// The codec of a number in a batch's attributes.
    pub fn from_id(id: i16) -> Option<Compression> {
        usize::try_from(id).ok().and_then(|id| Compression::ALL.get(id).copied())
    }

    /// The number in a batch's attributes.
    pub const fn id(self) -> i16 {
        self as i16
    }

    /// Kafka's name: `zstd`.
    pub const fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// The codec of one of Kafka's names.
    pub fn from_name(name: &str) -> Option<Compression> {
        Compression::ALL.into_iter().find(|codec| codec.name() == name)
    }

    pub(crate) fn compress(self, records: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Compression::None => Ok(records),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&records)?;
                encoder.finish()
            }
            Compression::Snappy => compress_xerial(&records),
            Compression::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(&records)?;
                encoder.finish().map_err(io::Error::other)
            }
            Compression::Zstd => zstd::bulk::compress(&records, ZSTD_LEVEL),
        }
    }

    /// The records of a batch, decompressed; an error if there are more of them than
    /// [`DECOMPRESSED_BATCH_BYTES_MAX`].
    pub(crate) fn decompress(self, records: &Bytes) -> io::Result<Bytes> {
        match self {
            Compression::None => Ok(records.clone()),
            Compression::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(&records[..]), records.len()),
            Compression::Snappy => decompress_snappy(records).map(Bytes::from),
            Compression::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(&records[..]), records.len()),
            Compression::Zstd => read_bounded(zstd::stream::read::Decoder::new(&records[..])?, records.len()),
        }
    }
}

fn read_bounded(decoder: impl Read, compressed_len: usize) -> io::Result<Bytes> {
    let guess = compressed_len.saturating_mul(EXPANSION_GUESS).min(DECOMPRESSED_BATCH_BYTES_MAX);
    let mut records = Vec::with_capacity(guess);
    decoder.take(DECOMPRESSED_BATCH_BYTES_MAX as u64 + 1).read_to_end(&mut records)?;
    match records.len() > DECOMPRESSED_BATCH_BYTES_MAX {
        true => Err(too_large()),
        false => Ok(records.into()),
    }
}

fn compress_xerial(records: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = snap::raw::Encoder::new();
    let mut framed = XERIAL_HEADER.to_vec();
    for block in records.chunks(XERIAL_BLOCK_BYTES) {
        let block = encoder.compress_vec(block)?;
        let len = u32::try_from(block.len()).map_err(io::Error::other)?;
        framed.extend_from_slice(&len.to_be_bytes());
        framed.extend_from_slice(&block);
    }
    Ok(framed)
}

fn decompress_snappy(records: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    if !records.starts_with(&XERIAL_HEADER[..XERIAL_MAGIC_LEN]) {
        decompress_snappy_block(records, &mut out)?;
        return Ok(out);
    }
    let mut rest = records.get(XERIAL_HEADER.len()..).ok_or(io::ErrorKind::UnexpectedEof)?;
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*len) as usize;
        let block = after.get(..len).ok_or(io::ErrorKind::UnexpectedEof)?;
        decompress_snappy_block(block, &mut out)?;
        rest = &after[len..];
    }
    match rest.is_empty() {
        true => Ok(out),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn decompress_snappy_block(block: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let len = snap::raw::decompress_len(block)?;
    // snappy expands a byte to at most 64 bytes: a length beyond that is a lie, found out before it is allocated.
    if len > block.len().saturating_mul(64) || out.len().saturating_add(len) > DECOMPRESSED_BATCH_BYTES_MAX {
        return Err(too_large());
    }
    let start = out.len();
    out.resize(start + len, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut out[start..])?;
    out.truncate(start + written);
    Ok(())
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the decompressed batch is larger than the limit")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use types::limits::DECOMPRESSED_BATCH_BYTES_MAX;

    use super::Compression;

    #[test]
    fn raw_snappy_is_read_too() {
        let raw = snap::raw::Encoder::new().compress_vec(b"hello hello hello").unwrap();
        assert_eq!(Compression::Snappy.decompress(&raw.into()).unwrap(), &b"hello hello hello"[..]);
    }

    #[test]
    fn a_bomb_is_refused() {
        let bomb = vec![0; DECOMPRESSED_BATCH_BYTES_MAX + 1];
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let compressed = codec.compress(bomb.clone()).unwrap();
            assert!(codec.decompress(&compressed.into()).is_err(), "{codec:?}");
        }
    }

    proptest! {
        #[test]
        fn every_codec_gives_back_what_went_in(records in prop::collection::vec(any::<u8>(), 0..100_000)) {
            for codec in Compression::ALL {
                let compressed = Bytes::from(codec.compress(records.clone()).unwrap());
                prop_assert_eq!(&codec.decompress(&compressed).unwrap()[..], &records[..], "{:?}", codec);
            }
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(garbage in prop::collection::vec(any::<u8>(), 0..2000)) {
            for codec in Compression::ALL {
                codec.decompress(&garbage.clone().into()).ok();
                let mut framed = super::XERIAL_HEADER.to_vec();
                framed.extend_from_slice(&garbage);
                Compression::Snappy.decompress(&framed.into()).ok();
            }
        }
    }
}
