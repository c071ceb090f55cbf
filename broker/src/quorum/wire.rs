//! How what controllers say to each other becomes bytes: fields one after the other, in the order of declaration. The
//! handshake agrees on a version of all of it, so nothing in here is versioned by itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::DecodeError;
pub(super) use protocol::{Decoder, Encoder};
use types::{
    BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, PartitionEpoch, PartitionId, ProducerId, TopicId,
    TopicPartition, Uuid,
};

/// Bytes that are no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// They end too soon, or are not what their length says.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Text that is none.
    #[error("a text is not UTF-8")]
    Utf8,
    /// An entry of the log that cannot be read.
    #[error("an entry cannot be read: {0}")]
    Entry(std::io::Error),
    /// A variant of a newer release.
    #[error("{kind} {tag} is not known")]
    UnknownTag {
        /// Of what.
        kind: &'static str,
        /// Which.
        tag: i64,
    },
}

/// Something that can be sent.
pub(super) trait Wire: Sized {
    fn put(&self, to: &mut Encoder);
    fn get(from: &mut Decoder) -> Result<Self, WireError>;
}

/// A message as bytes.
pub(super) fn to_bytes(message: &impl Wire) -> Bytes {
    let mut encoder = Encoder::new();
    message.put(&mut encoder);
    encoder.into_bytes()
}

/// The reverse of [`to_bytes`].
pub(super) fn from_bytes<T: Wire>(bytes: Bytes) -> Result<T, WireError> {
    let mut decoder = Decoder::new(bytes);
    let message = T::get(&mut decoder)?;
    decoder.expect_end()?;
    Ok(message)
}

/// A structure: all its fields.
macro_rules! wire_struct {
    ($name:ty { $($field:ident),* $(,)? }) => {
        impl Wire for $name {
            fn put(&self, to: &mut protocol::Encoder) {
                $(self.$field.put(to);)*
            }
            fn get(from: &mut protocol::Decoder) -> Result<Self, $crate::quorum::wire::WireError> {
                Ok(Self { $($field: Wire::get(from)?),* })
            }
        }
    };
}

/// An enumeration: a byte that says which, and its fields. Numbers are never used again for something else.
macro_rules! wire_enum {
    ($name:ty { $($tag:literal = $variant:ident $( ( $inner:ident ) )? $( { $($field:ident),* $(,)? } )? ),* $(,)? }) => {
        impl Wire for $name {
            fn put(&self, to: &mut protocol::Encoder) {
                match self {
                    $(Self::$variant $( ( $inner ) )? $( { $($field),* } )? => {
                        to.int8($tag);
                        $($inner.put(to);)?
                        $($($field.put(to);)*)?
                    })*
                }
            }
            fn get(from: &mut protocol::Decoder) -> Result<Self, $crate::quorum::wire::WireError> {
                match from.int8()? {
                    $($tag => {
                        $(let $inner = Wire::get(from)?;)?
                        $($(let $field = Wire::get(from)?;)*)?
                        Ok(Self::$variant $( ( $inner ) )? $( { $($field),* } )?)
                    })*
                    tag => Err($crate::quorum::wire::WireError::UnknownTag {
                        kind: stringify!($name),
                        tag: tag.into(),
                    }),
                }
            }
        }
    };
}

pub(super) use {wire_enum, wire_struct};

macro_rules! wire_primitive {
    ($($name:ty: $method:ident),* $(,)?) => {$(
        impl Wire for $name {
            fn put(&self, to: &mut Encoder) {
                to.$method(*self);
            }
            fn get(from: &mut Decoder) -> Result<Self, WireError> {
                Ok(from.$method()?)
            }
        }
    )*};
}

wire_primitive!(bool: boolean, i8: int8, i16: int16, i32: int32, i64: int64, u32: uint32, Uuid: uuid);

macro_rules! wire_newtype {
    ($($name:ident),* $(,)?) => {$(
        impl Wire for $name {
            fn put(&self, to: &mut Encoder) {
                self.0.put(to);
            }
            fn get(from: &mut Decoder) -> Result<Self, WireError> {
                Ok($name(Wire::get(from)?))
            }
        }
    )*};
}

wire_newtype!(BrokerId, PartitionId, LeaderEpoch, PartitionEpoch, BrokerEpoch, ProducerId, TopicId);
wire_struct!(TopicPartition { topic, partition });

impl Wire for u64 {
    fn put(&self, to: &mut Encoder) {
        to.int64(self.cast_signed());
    }
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        Ok(from.int64()?.cast_unsigned())
    }
}

impl Wire for u16 {
    fn put(&self, to: &mut Encoder) {
        to.uint16(*self);
    }
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        Ok(from.uint16()?)
    }
}

impl Wire for () {
    fn put(&self, _to: &mut Encoder) {}
    fn get(_from: &mut Decoder) -> Result<Self, WireError> {
        Ok(())
    }
}

impl Wire for Bytes {
    fn put(&self, to: &mut Encoder) {
        to.byte_string(self);
    }
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        Ok(from.byte_string()?)
    }
}

impl Wire for String {
    fn put(&self, to: &mut Encoder) {
        to.byte_string(&Bytes::copy_from_slice(self.as_bytes()));
    }
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        String::from_utf8(from.byte_string()?.into()).map_err(|_| WireError::Utf8)
    }
}

impl Wire for ErrorCode {
    fn put(&self, to: &mut Encoder) {
        to.int16(*self as i16);
    }
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        let code = from.int16()?;
        ErrorCode::from_code(code).ok_or(WireError::UnknownTag { kind: "error code", tag: code.into() })
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, to: &mut Encoder) {
        to.boolean(self.is_some());
        if let Some(value) = self {
            value.put(to);
        }
    }
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        match from.boolean()? {
            true => Ok(Some(T::get(from)?)),
            false => Ok(None),
        }
    }
}

impl<T: Wire, E: Wire> Wire for Result<T, E> {
    fn put(&self, to: &mut Encoder) {
        to.boolean(self.is_ok());
        match self {
            Ok(value) => value.put(to),
            Err(error) => error.put(to),
        }
    }
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        match from.boolean()? {
            true => Ok(Ok(T::get(from)?)),
            false => Ok(Err(E::get(from)?)),
        }
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, to: &mut Encoder) {
        self.0.put(to);
        self.1.put(to);
    }
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        Ok((A::get(from)?, B::get(from)?))
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, to: &mut Encoder) {
        to.unsigned_varint(u32::try_from(self.len()).expect("messages are smaller than 4 GiB"));
        self.iter().for_each(|item| item.put(to));
    }
    /// Memory grows with the items that are there, not with the number that is announced.
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        let announced = from.unsigned_varint()?;
        (0..announced).map(|_| T::get(from)).collect::<Result<Vec<_>, _>>()
    }
}

impl Wire for BTreeMap<String, String> {
    fn put(&self, to: &mut Encoder) {
        to.unsigned_varint(u32::try_from(self.len()).expect("messages are smaller than 4 GiB"));
        for (key, value) in self {
            key.put(to);
            value.put(to);
        }
    }
    fn get(from: &mut Decoder) -> Result<Self, WireError> {
        Ok(Vec::<(String, String)>::get(from)?.into_iter().collect())
    }
}
