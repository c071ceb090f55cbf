//! Why bytes are not a message, or a message cannot become bytes. Knows nothing of how a connection answers to it.

/// Bytes from a peer or a disk that are not what they claim to be. Positions count from the start of the frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The value goes on past the end.
    #[error("truncated at byte {at}: {needed} more bytes are needed, {left} are left")]
    Truncated {
        /// Where the value starts.
        at: usize,
        /// Bytes that the value needs.
        needed: usize,
        /// Bytes that there are.
        left: usize,
    },
    /// The message has no such version.
    #[error("version {version} is not supported")]
    UnsupportedVersion {
        /// The version asked for.
        version: i16,
    },
    /// A length is negative, above its limit, or more than the bytes that are left could hold.
    #[error("invalid length {length} at byte {at}")]
    InvalidLength {
        /// Where the length stands.
        at: usize,
        /// The length as written.
        length: i64,
    },
    /// Null where this version of the schema does not allow it.
    #[error("unexpected null at byte {at}")]
    UnexpectedNull {
        /// Where the null stands.
        at: usize,
    },
    /// A variable-length integer of more than 32 bits.
    #[error("invalid varint at byte {at}")]
    InvalidVarint {
        /// Where the integer starts.
        at: usize,
    },
    /// A string that is not UTF-8.
    #[error("invalid UTF-8 at byte {at}")]
    InvalidUtf8 {
        /// Where the string starts.
        at: usize,
    },
    /// A tagged field whose size is not that of its content.
    #[error("tagged field at byte {at} leaves {left} of its bytes unread")]
    InvalidTaggedField {
        /// Where the field's content ends.
        at: usize,
        /// Bytes that its size promised beyond that.
        left: usize,
    },
    /// Bytes after the end of the message.
    #[error("{left} bytes follow the end of the message")]
    TrailingBytes {
        /// How many.
        left: usize,
    },
    /// No API has this number.
    #[error("unknown api key {key}")]
    UnknownApiKey {
        /// The number.
        key: i16,
    },
    /// The frame of a persisted record is of a version that this code does not read.
    #[error("unknown record frame version {version}")]
    UnknownFrameVersion {
        /// The version.
        version: u32,
    },
}

/// A message that cannot be written in the version asked for. Always a bug of the caller, never of the peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The message has no such version.
    #[error("version {version} is not supported")]
    UnsupportedVersion {
        /// The version asked for.
        version: i16,
    },
    /// The field is null, and this version does not allow it.
    #[error("field {field} must not be null in version {version}")]
    UnexpectedNull {
        /// Kafka's name of the field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The field has a value that matters, and this version has no place for it.
    #[error("field {field} is set, but version {version} does not have it")]
    FieldNotInVersion {
        /// Kafka's name of the field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// Unknown tagged fields are kept in the message, and this version has no tagged fields.
    #[error("tagged fields are set, but version {version} has none")]
    TaggedFieldsNotInVersion {
        /// The version asked for.
        version: i16,
    },
    /// A string, byte string or array whose length does not fit.
    #[error("length {length} does not fit")]
    TooLong {
        /// The length.
        length: usize,
    },
}
