//! Every message as a pair of functions over bytes, for the tests and fuzz targets that go over all of them.

use bytes::Bytes;

use crate::{DecodeError, Decoder, EncodeError, Encoder, Message, Versions};

/// One message, without its type.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    /// The folder of its schema: `message`, `metadata`, `group`, `transaction` or `storage`.
    pub family: &'static str,
    /// Kafka's name.
    pub name: &'static str,
    /// The versions that exist.
    pub versions: Versions,
    /// Reads the bytes whole and writes what was read, in the same version.
    pub round_trip: fn(Bytes, i16) -> Result<Bytes, RoundTripError>,
}

/// Why a round trip failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoundTripError {
    /// The bytes are no such message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// What was read cannot be written, which is a bug.
    #[error("a message that was read cannot be written: {0}")]
    Encode(#[from] EncodeError),
}

/// Every message and persisted record.
pub fn codecs() -> impl Iterator<Item = &'static Codec> {
    use crate::{messages, records};
    [
        messages::CODECS,
        records::metadata::CODECS,
        records::group::CODECS,
        records::transaction::CODECS,
        records::storage::CODECS,
    ]
    .into_iter()
    .flatten()
}

/// The codec of a message type.
pub(crate) const fn codec<M: Message>(family: &'static str, name: &'static str) -> Codec {
    Codec { family, name, versions: M::VERSIONS, round_trip: round_trip::<M> }
}

fn round_trip<M: Message>(bytes: Bytes, version: i16) -> Result<Bytes, RoundTripError> {
    let mut decoder = Decoder::new(bytes);
    let message = M::decode(&mut decoder, version)?;
    decoder.expect_end()?;
    let mut encoder = Encoder::new();
    message.encode(&mut encoder, version)?;
    Ok(encoder.into_bytes())
}

/// Does with arbitrary bytes whatever a node does with bytes from the network: reads them as a request with its header,
/// and as the message and version that the first bytes choose. What can be read must be writable, and reading that again
/// must change nothing. This is the body of the fuzz target `frames`.
///
/// # Panics
///
/// If the codecs break that promise; that is what it is for.
pub fn probe(input: &Bytes) {
    let mut decoder = Decoder::new(input.clone());
    if let Ok((key, header)) = crate::frame::decode_request_header(&mut decoder) {
        let request = codecs().find(|codec| {
            codec.family == "message"
                && codec.name.strip_suffix("Request").is_some_and(|name| name == key.name())
        });
        if let Some(request) = request {
            probe_message(request, header.request_api_version, decoder.rest());
        }
    }
    if let Some((&[high, low, version], _)) = input.split_first_chunk::<3>() {
        let all: Vec<&Codec> = codecs().collect();
        let codec = all[usize::from(u16::from_be_bytes([high, low])) % all.len()];
        probe_message(codec, codec.versions.min + i16::from(version % 32), input.slice(3..));
    }
}

fn probe_message(codec: &Codec, version: i16, bytes: Bytes) {
    match (codec.round_trip)(bytes, version) {
        Ok(written) => {
            let again = (codec.round_trip)(written.clone(), version);
            assert_eq!(again, Ok(written), "{} {version}", codec.name);
        }
        Err(RoundTripError::Decode(_)) => {}
        Err(RoundTripError::Encode(error)) => panic!("{} {version}: {error}", codec.name),
    }
}
