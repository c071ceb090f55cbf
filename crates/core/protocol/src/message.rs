//! What every generated message can do.

use crate::{ApiKey, DecodeError, Decoder, EncodeError, Encoder};

/// The versions of a message, and from which on it is flexible (KIP-482: compact lengths and tagged fields).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The lowest.
    pub min: i16,
    /// The highest.
    pub max: i16,
    /// The lowest flexible one; `None` if no version is.
    pub flexible: Option<i16>,
}

impl Versions {
    /// Whether `version` exists.
    pub const fn contains(&self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Whether `version` is a flexible one.
    pub const fn is_flexible(&self, version: i16) -> bool {
        match self.flexible {
            Some(first) => version >= first,
            None => false,
        }
    }
}

/// A structure with Kafka's versioned binary form.
pub trait Message: Sized {
    /// The versions that exist.
    const VERSIONS: Versions;

    /// Reads one message; what follows it stays in the decoder.
    fn decode(decoder: &mut Decoder, version: i16) -> Result<Self, DecodeError>;

    /// Appends the message. After an error the encoder's content is worthless.
    fn encode(&self, encoder: &mut Encoder, version: i16) -> Result<(), EncodeError>;
}

/// A request, which names its API and the answer to it.
pub trait Request: Message {
    /// The API.
    const KEY: ApiKey;
    /// The answer.
    type Response: Message;
}

/// A record that is stored under a type number of its own: `apiKey` in the schema of a metadata record, the version
/// field of the key in a coordinator's record.
pub trait PersistedRecord: Message {
    /// The number.
    const RECORD_TYPE: i16;
}
