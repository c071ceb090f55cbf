//! How the records of a batch are compressed.

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
