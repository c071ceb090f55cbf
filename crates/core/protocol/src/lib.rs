//! Kafka's wire messages and persisted records: structures generated from Kafka's own definitions, hand-written
//! primitives under them, headers and the table of APIs over them.
//!
//! **Invariant:** bytes from a peer never panic and never make this crate allocate more than in proportion to their
//! number. Nothing here knows a state machine, a socket or a file, and record batches are opaque.

mod api_key;
pub mod catalogue;
mod decoder;
mod encoder;
mod error;
mod field;
pub mod frame;
mod message;
pub mod messages;
pub mod records;
mod utf8_bytes;

pub use api_key::{ApiKey, Listeners};
pub use decoder::Decoder;
pub use encoder::{Encoder, External};
pub use error::{DecodeError, EncodeError};
pub use field::{Records, TaggedField};
pub use message::{Message, PersistedRecord, Request, Versions};
pub use utf8_bytes::Utf8Bytes;

/// What every generated file imports.
pub(crate) mod prelude {
    pub(crate) use crate::{
        ApiKey, DecodeError, Decoder, EncodeError, Encoder, Message, PersistedRecord, Records, Request,
        TaggedField, Utf8Bytes, Versions,
    };
    pub(crate) use bytes::Bytes;
    pub(crate) use types::Uuid;
}
