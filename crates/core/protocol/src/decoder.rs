//! Reading primitives from a frame. Every length is checked against the bytes that are left before anything is
//! allocated, byte strings share the frame's memory, and no input makes it panic.

use bytes::Bytes;
use types::Uuid;
use types::limits::{ARRAY_LEN_MAX, TAGGED_FIELDS_MAX};

use crate::{DecodeError, Records, TaggedField, Utf8Bytes, Versions};

/// Kafka refuses longer strings in every encoding.
const STRING_LEN_MAX: usize = i16::MAX as usize;

type Result<T> = std::result::Result<T, DecodeError>;

/// A position in the bytes of one frame, and whether the message being read is flexible.
#[derive(Clone, Debug)]
pub struct Decoder {
    bytes: Bytes,
    at: usize,
    end: usize,
    flexible: bool,
}

impl Decoder {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: Bytes) -> Decoder {
        let end = bytes.len();
        Decoder { bytes, at: 0, end, flexible: false }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// The bytes not read yet, without copying them.
    pub fn rest(&self) -> Bytes {
        self.bytes.slice(self.at..self.end)
    }

    /// Fails if bytes are left.
    pub fn expect_end(&self) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes { left }),
        }
    }

    /// Starts a message: every structure in it is read as its version says.
    pub(crate) fn begin(&mut self, version: i16, versions: Versions) -> Result<()> {
        if !versions.contains(version) {
            return Err(DecodeError::UnsupportedVersion { version });
        }
        self.flexible = versions.is_flexible(version);
        Ok(())
    }

    /// One byte, 0 or not 0.
    pub fn boolean(&mut self) -> Result<bool> {
        Ok(self.array_of_bytes::<1>()?[0] != 0)
    }

    /// A signed byte.
    pub fn int8(&mut self) -> Result<i8> {
        Ok(i8::from_be_bytes(self.array_of_bytes()?))
    }

    /// 16 bits, signed.
    pub fn int16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.array_of_bytes()?))
    }

    /// 16 bits, unsigned.
    pub fn uint16(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.array_of_bytes()?))
    }

    /// 32 bits, signed.
    pub fn int32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array_of_bytes()?))
    }

    /// 32 bits, unsigned.
    pub fn uint32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array_of_bytes()?))
    }

    /// 64 bits, signed.
    pub fn int64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.array_of_bytes()?))
    }

    /// An IEEE 754 double.
    pub fn float64(&mut self) -> Result<f64> {
        Ok(f64::from_be_bytes(self.array_of_bytes()?))
    }

    /// 16 bytes of id.
    pub fn uuid(&mut self) -> Result<Uuid> {
        Ok(Uuid(self.array_of_bytes()?))
    }

    /// An unsigned integer in groups of seven bits, the lowest first.
    pub fn unsigned_varint(&mut self) -> Result<u32> {
        let at = self.at;
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.array_of_bytes::<1>()?[0];
            if shift == 28 && byte > 0x0f {
                return Err(DecodeError::InvalidVarint { at });
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::InvalidVarint { at })
    }

    /// A string.
    pub fn string(&mut self) -> Result<Utf8Bytes> {
        let at = self.at;
        self.nullable_string()?.ok_or(DecodeError::UnexpectedNull { at })
    }

    /// A string or null.
    pub fn nullable_string(&mut self) -> Result<Option<Utf8Bytes>> {
        let at = self.at;
        let length =
            if self.flexible { self.compact_length()? } else { self.signed_length(Decoder::int16_as_i64)? };
        let Some(length) = length else { return Ok(None) };
        if length > STRING_LEN_MAX {
            return Err(DecodeError::InvalidLength { at, length: length as i64 });
        }
        let bytes = self.take(length)?;
        Utf8Bytes::from_utf8(bytes).map(Some).map_err(|_| DecodeError::InvalidUtf8 { at })
    }

    /// A string or null in the old encoding, though the message is flexible: the client id of a request header, which
    /// has to be readable before the version is understood.
    pub(crate) fn inflexible_nullable_string(&mut self) -> Result<Option<Utf8Bytes>> {
        let flexible = std::mem::replace(&mut self.flexible, false);
        let text = self.nullable_string();
        self.flexible = flexible;
        text
    }

    /// Bytes.
    pub fn byte_string(&mut self) -> Result<Bytes> {
        let at = self.at;
        self.nullable_byte_string()?.ok_or(DecodeError::UnexpectedNull { at })
    }

    /// Bytes or null.
    pub fn nullable_byte_string(&mut self) -> Result<Option<Bytes>> {
        match self.long_length()? {
            None => Ok(None),
            Some(length) => self.take(length).map(Some),
        }
    }

    /// Record batches.
    pub(crate) fn records(&mut self) -> Result<Records> {
        self.byte_string().map(Records::Inline)
    }

    /// Record batches or null.
    pub(crate) fn nullable_records(&mut self) -> Result<Option<Records>> {
        Ok(self.nullable_byte_string()?.map(Records::Inline))
    }

    /// An array of values that take at least `bytes_min` bytes each.
    pub(crate) fn array<T>(
        &mut self,
        bytes_min: usize,
        read: fn(&mut Decoder) -> Result<T>,
    ) -> Result<Vec<T>> {
        let at = self.at;
        self.nullable_array(bytes_min, read)?.ok_or(DecodeError::UnexpectedNull { at })
    }

    /// An array of values, or null.
    pub(crate) fn nullable_array<T>(
        &mut self,
        bytes_min: usize,
        read: fn(&mut Decoder) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(length) = self.array_length(bytes_min)? else { return Ok(None) };
        let mut items = Vec::with_capacity(self.capacity::<T>(length));
        for _ in 0..length {
            items.push(read(self)?);
        }
        Ok(Some(items))
    }

    /// An array of structures.
    pub(crate) fn structs<T>(
        &mut self,
        version: i16,
        read: fn(&mut Decoder, i16) -> Result<T>,
    ) -> Result<Vec<T>> {
        let at = self.at;
        self.nullable_structs(version, read)?.ok_or(DecodeError::UnexpectedNull { at })
    }

    /// An array of structures, or null.
    pub(crate) fn nullable_structs<T>(
        &mut self,
        version: i16,
        read: fn(&mut Decoder, i16) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(length) = self.array_length(1)? else { return Ok(None) };
        let mut items = Vec::with_capacity(self.capacity::<T>(length));
        for _ in 0..length {
            items.push(read(self, version)?);
        }
        Ok(Some(items))
    }

    /// A structure or null: a byte below 0 stands for null.
    pub(crate) fn nullable_struct<T>(
        &mut self,
        version: i16,
        read: fn(&mut Decoder, i16) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.int8()? < 0 { Ok(None) } else { read(self, version).map(Some) }
    }

    /// A structure or null as a tagged field, where 0 stands for null.
    pub(crate) fn nullable_tagged_struct<T>(
        &mut self,
        version: i16,
        read: fn(&mut Decoder, i16) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.unsigned_varint()? == 0 { Ok(None) } else { read(self, version).map(Some) }
    }

    /// How many tagged fields follow; 0 if the message is not flexible.
    pub(crate) fn tag_count(&mut self) -> Result<u32> {
        if !self.flexible {
            return Ok(0);
        }
        let at = self.at;
        let count = self.unsigned_varint()?;
        // Each takes at least a byte of tag and a byte of size.
        if count as usize > TAGGED_FIELDS_MAX.min(self.remaining() / 2) {
            return Err(DecodeError::InvalidLength { at, length: count.into() });
        }
        Ok(count)
    }

    /// Enters a tagged field: its number, and the end to give back to [`Decoder::end_tag`].
    pub(crate) fn begin_tag(&mut self) -> Result<(u32, usize)> {
        let tag = self.unsigned_varint()?;
        let at = self.at;
        let size = self.unsigned_varint()? as usize;
        if size > self.remaining() {
            return Err(DecodeError::InvalidLength { at, length: size as i64 });
        }
        let outer_end = std::mem::replace(&mut self.end, self.at + size);
        Ok((tag, outer_end))
    }

    /// Leaves a tagged field, which must have been read whole.
    pub(crate) fn end_tag(&mut self, outer_end: usize) -> Result<()> {
        let (at, left) = (self.at, self.remaining());
        self.end = outer_end;
        if left == 0 { Ok(()) } else { Err(DecodeError::InvalidTaggedField { at, left }) }
    }

    /// The whole content of the tagged field that was just entered.
    pub(crate) fn unknown_tag(&mut self, tag: u32) -> Result<TaggedField> {
        let data = self.take(self.remaining())?;
        Ok(TaggedField { tag, data })
    }

    /// All tagged fields of a structure that knows none.
    pub(crate) fn unknown_tagged_fields(&mut self) -> Result<Vec<TaggedField>> {
        let mut fields = Vec::new();
        for _ in 0..self.tag_count()? {
            let (tag, outer_end) = self.begin_tag()?;
            fields.push(self.unknown_tag(tag)?);
            self.end_tag(outer_end)?;
        }
        Ok(fields)
    }

    fn array_of_bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let left = &self.bytes[self.at..self.end];
        match left.first_chunk::<N>() {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(DecodeError::Truncated { at: self.at, needed: N, left: left.len() }),
        }
    }

    fn take(&mut self, length: usize) -> Result<Bytes> {
        if length > self.remaining() {
            return Err(DecodeError::Truncated { at: self.at, needed: length, left: self.remaining() });
        }
        let start = self.at;
        self.at += length;
        Ok(self.bytes.slice(start..self.at))
    }

    fn int16_as_i64(&mut self) -> Result<i64> {
        self.int16().map(i64::from)
    }

    fn int32_as_i64(&mut self) -> Result<i64> {
        self.int32().map(i64::from)
    }

    /// The length of an array or byte string.
    fn long_length(&mut self) -> Result<Option<usize>> {
        if self.flexible { self.compact_length() } else { self.signed_length(Decoder::int32_as_i64) }
    }

    fn compact_length(&mut self) -> Result<Option<usize>> {
        Ok((self.unsigned_varint()? as usize).checked_sub(1))
    }

    fn signed_length(&mut self, read: fn(&mut Decoder) -> Result<i64>) -> Result<Option<usize>> {
        let at = self.at;
        match read(self)? {
            -1 => Ok(None),
            length => {
                usize::try_from(length).map(Some).map_err(|_| DecodeError::InvalidLength { at, length })
            }
        }
    }

    fn array_length(&mut self, bytes_min: usize) -> Result<Option<usize>> {
        let at = self.at;
        match self.long_length()? {
            Some(length) if length > ARRAY_LEN_MAX || length > self.remaining() / bytes_min => {
                Err(DecodeError::InvalidLength { at, length: length as i64 })
            }
            length => Ok(length),
        }
    }

    /// Room for `length` elements, but never more memory than the bytes that are left: a short frame that claims a
    /// long array of large structures must not make this node allocate for it.
    fn capacity<T>(&self, length: usize) -> usize {
        length.min(self.remaining() / size_of::<T>().max(1) + 1)
    }
}
