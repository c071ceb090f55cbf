//! How Kafka puts a persisted record into the key and value of a log record. A metadata record has no key, and its value
//! names frame version, type and version as varints (`MetadataRecordSerde`). A coordinator's record has its type as the
//! first two bytes of the key, whose version is always 0, and its version as the first two bytes of the value
//! (`CoordinatorRecordSerde`); no value is a tombstone.

use bytes::Bytes;

use crate::{DecodeError, Decoder, EncodeError, Encoder, Message, PersistedRecord};

const METADATA_FRAME_VERSION: u32 = 1;

/// The value of a log record that carries a metadata record.
pub fn encode_metadata_record<R: PersistedRecord>(record: &R, version: i16) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::new();
    encoder.unsigned_varint(METADATA_FRAME_VERSION);
    encoder.unsigned_varint(R::RECORD_TYPE.unsigned_abs().into());
    encoder.unsigned_varint(version.unsigned_abs().into());
    record.encode(&mut encoder, version)?;
    Ok(encoder.into_bytes())
}

/// Reads the frame of a metadata record: its type and version. The record itself follows.
pub fn decode_metadata_record_type(decoder: &mut Decoder) -> Result<(i16, i16), DecodeError> {
    let version = decoder.unsigned_varint()?;
    if version != METADATA_FRAME_VERSION {
        return Err(DecodeError::UnknownFrameVersion { version });
    }
    let record_type = small(decoder.unsigned_varint()?)?;
    let version = small(decoder.unsigned_varint()?)?;
    Ok((record_type, version))
}

/// The key of a log record that carries a coordinator's record.
pub fn encode_key<K: PersistedRecord>(key: &K) -> Result<Bytes, EncodeError> {
    versioned(key, K::RECORD_TYPE, 0)
}

/// Reads the type of a coordinator's record. The key, in version 0, follows.
pub fn decode_key_type(decoder: &mut Decoder) -> Result<i16, DecodeError> {
    decoder.int16()
}

/// The value of a log record that carries a coordinator's record.
pub fn encode_value<V: PersistedRecord>(value: &V, version: i16) -> Result<Bytes, EncodeError> {
    versioned(value, version, version)
}

/// Reads the value of a coordinator's record.
pub fn decode_value<V: PersistedRecord>(bytes: Bytes) -> Result<V, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let version = decoder.int16()?;
    let value = V::decode(&mut decoder, version)?;
    decoder.expect_end()?;
    Ok(value)
}

fn versioned(message: &impl Message, prefix: i16, version: i16) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::new();
    encoder.int16(prefix);
    message.encode(&mut encoder, version)?;
    Ok(encoder.into_bytes())
}

fn small(version: u32) -> Result<i16, DecodeError> {
    i16::try_from(version).map_err(|_| DecodeError::UnknownFrameVersion { version })
}
