//! Writing primitives to a buffer. The first error is kept and everything after it is wasted, so that generated code
//! needs no branch per field; [`Message::encode`](crate::Message::encode) reports it.

use bytes::{BufMut, Bytes, BytesMut};
use types::Uuid;

use crate::{EncodeError, Records, TaggedField, Utf8Bytes, Versions};

/// Kafka refuses longer strings in every encoding.
const STRING_LEN_MAX: usize = i16::MAX as usize;

/// Bytes that are not in the buffer: the sender splices `len` bytes in before the buffer's byte `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct External {
    /// Position in the buffer.
    pub at: usize,
    /// How many bytes.
    pub len: u32,
    /// Which bytes, as [`Records::External`] named them.
    pub id: u32,
}

/// A growing buffer, and the places in it where bytes from elsewhere belong.
#[derive(Debug, Default)]
pub struct Encoder {
    buf: BytesMut,
    external: Vec<External>,
    version: i16,
    flexible: bool,
    error: Option<EncodeError>,
}

impl Encoder {
    /// An empty buffer.
    pub fn new() -> Encoder {
        Encoder::default()
    }

    /// Appends to `buf`.
    pub fn with_buffer(buf: BytesMut) -> Encoder {
        Encoder { buf, ..Encoder::default() }
    }

    /// Bytes on the wire so far: the buffer and what will be spliced in.
    pub fn wire_len(&self) -> usize {
        self.buf.len() + self.external.iter().map(|external| external.len as usize).sum::<usize>()
    }

    /// The buffer, and what has to be spliced into it, by ascending position.
    pub fn finish(self) -> (BytesMut, Vec<External>) {
        (self.buf, self.external)
    }

    /// The buffer of a message that has no external records.
    pub fn into_bytes(self) -> Bytes {
        debug_assert!(self.external.is_empty(), "external records have to be spliced in");
        self.buf.freeze()
    }

    /// Puts the length of all that follows the first four bytes into them.
    pub(crate) fn fill_frame_length(&mut self) -> Result<(), EncodeError> {
        let length = self.wire_len() - 4;
        let prefix = i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
        self.buf[..4].copy_from_slice(&prefix.to_be_bytes());
        Ok(())
    }

    /// Starts a message: every structure in it is written as its version says.
    pub(crate) fn begin(&mut self, version: i16, versions: Versions) -> Result<(), EncodeError> {
        if !versions.contains(version) {
            return Err(EncodeError::UnsupportedVersion { version });
        }
        self.version = version;
        self.flexible = versions.is_flexible(version);
        Ok(())
    }

    /// Ends a message: the first error in it.
    pub(crate) fn end(&mut self) -> Result<(), EncodeError> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// One byte, 0 or 1.
    pub fn boolean(&mut self, value: bool) {
        self.buf.put_u8(value.into());
    }

    /// A signed byte.
    pub fn int8(&mut self, value: i8) {
        self.buf.put_i8(value);
    }

    /// 16 bits, signed.
    pub fn int16(&mut self, value: i16) {
        self.buf.put_i16(value);
    }

    /// 16 bits, unsigned.
    pub fn uint16(&mut self, value: u16) {
        self.buf.put_u16(value);
    }

    /// 32 bits, signed.
    pub fn int32(&mut self, value: i32) {
        self.buf.put_i32(value);
    }

    /// 32 bits, unsigned.
    pub fn uint32(&mut self, value: u32) {
        self.buf.put_u32(value);
    }

    /// 64 bits, signed.
    pub fn int64(&mut self, value: i64) {
        self.buf.put_i64(value);
    }

    /// An IEEE 754 double.
    pub fn float64(&mut self, value: f64) {
        self.buf.put_f64(value);
    }

    /// 16 bytes of id.
    pub fn uuid(&mut self, value: Uuid) {
        self.buf.put_slice(&value.0);
    }

    /// An unsigned integer in groups of seven bits, the lowest first.
    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buf.put_u8((value & 0x7f | 0x80) as u8);
            value >>= 7;
        }
        self.buf.put_u8(value as u8);
    }

    /// A string.
    pub fn string(&mut self, text: &Utf8Bytes) {
        let length = text.len();
        if length > STRING_LEN_MAX {
            self.fail(EncodeError::TooLong { length });
        } else if self.flexible {
            self.unsigned_varint(length as u32 + 1);
        } else {
            self.int16(length as i16);
        }
        self.buf.put_slice(text.as_bytes());
    }

    /// A string or null.
    pub fn nullable_string(&mut self, text: &Option<Utf8Bytes>) {
        match text {
            Some(text) => self.string(text),
            None if self.flexible => self.unsigned_varint(0),
            None => self.int16(-1),
        }
    }

    /// See [`Decoder::inflexible_nullable_string`](crate::Decoder).
    pub(crate) fn inflexible_nullable_string(&mut self, text: &Option<Utf8Bytes>) {
        let flexible = std::mem::replace(&mut self.flexible, false);
        self.nullable_string(text);
        self.flexible = flexible;
    }

    /// Bytes.
    pub fn byte_string(&mut self, bytes: &Bytes) {
        self.length(Some(bytes.len()));
        self.buf.put_slice(bytes);
    }

    /// Bytes or null.
    pub fn nullable_byte_string(&mut self, bytes: &Option<Bytes>) {
        match bytes {
            Some(bytes) => self.byte_string(bytes),
            None => self.length(None),
        }
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buf.put_slice(bytes);
    }

    /// Record batches.
    pub(crate) fn records(&mut self, records: &Records) {
        match records {
            Records::Inline(bytes) => self.byte_string(bytes),
            &Records::External { len, id } => {
                self.length(Some(len as usize));
                self.external.push(External { at: self.buf.len(), len, id });
            }
        }
    }

    /// Record batches or null.
    pub(crate) fn nullable_records(&mut self, records: &Option<Records>) {
        match records {
            Some(records) => self.records(records),
            None => self.length(None),
        }
    }

    /// An array of values.
    pub(crate) fn array<T>(&mut self, items: &[T], write: fn(&mut Encoder, &T)) {
        self.length(Some(items.len()));
        for item in items {
            write(self, item);
        }
    }

    /// An array of values, or null.
    pub(crate) fn nullable_array<T>(&mut self, items: &Option<Vec<T>>, write: fn(&mut Encoder, &T)) {
        match items {
            Some(items) => self.array(items, write),
            None => self.length(None),
        }
    }

    /// An array of structures.
    pub(crate) fn structs<T>(&mut self, items: &[T], version: i16, write: fn(&T, &mut Encoder, i16)) {
        self.length(Some(items.len()));
        for item in items {
            write(item, self, version);
        }
    }

    /// An array of structures, or null.
    pub(crate) fn nullable_structs<T>(
        &mut self,
        items: &Option<Vec<T>>,
        version: i16,
        write: fn(&T, &mut Encoder, i16),
    ) {
        match items {
            Some(items) => self.structs(items, version, write),
            None => self.length(None),
        }
    }

    /// A structure or null: a byte tells which.
    pub(crate) fn nullable_struct<T>(
        &mut self,
        item: &Option<T>,
        version: i16,
        write: fn(&T, &mut Encoder, i16),
    ) {
        self.int8(if item.is_some() { 1 } else { -1 });
        if let Some(item) = item {
            write(item, self, version);
        }
    }

    /// A structure or null as a tagged field, where 0 stands for null.
    pub(crate) fn nullable_tagged_struct<T>(
        &mut self,
        item: &Option<T>,
        version: i16,
        write: fn(&T, &mut Encoder, i16),
    ) {
        self.unsigned_varint(item.is_some().into());
        if let Some(item) = item {
            write(item, self, version);
        }
    }

    /// The value of a field that this version does not allow to be null.
    pub(crate) fn required<'a, T>(&mut self, value: &'a Option<T>, field: &'static str) -> Option<&'a T> {
        if value.is_none() {
            self.fail(EncodeError::UnexpectedNull { field, version: self.version });
        }
        value.as_ref()
    }

    /// A field that this version does not have and that may not be dropped silently.
    pub(crate) fn absent(&mut self, is_default: bool, field: &'static str) {
        if !is_default {
            self.fail(EncodeError::FieldNotInVersion { field, version: self.version });
        }
    }

    /// All tagged fields of a structure that knows none.
    pub(crate) fn unknown_tagged_fields(&mut self, unknown: &[TaggedField]) {
        let rest = self.tag_count(0, unknown);
        self.rest_of_tags(rest);
    }

    /// How many tagged fields follow, `known` ones and the unknown; gives the unknown ones that are still to be
    /// written.
    pub(crate) fn tag_count<'a>(&mut self, known: usize, unknown: &'a [TaggedField]) -> &'a [TaggedField] {
        if self.flexible {
            self.unsigned_varint((known + unknown.len()) as u32);
            return unknown;
        }
        if !unknown.is_empty() {
            self.fail(EncodeError::TaggedFieldsNotInVersion { version: self.version });
        }
        &[]
    }

    /// Starts a known tagged field, after the unknown ones with lower numbers: tags ascend.
    pub(crate) fn begin_tag(&mut self, tag: u32, unknown: &mut &[TaggedField]) -> usize {
        while let Some((first, rest)) = unknown.split_first().filter(|(first, _)| first.tag < tag) {
            self.unknown_tag(first);
            *unknown = rest;
        }
        self.unsigned_varint(tag);
        self.buf.len()
    }

    /// Ends a known tagged field that started at `start`, and puts its size before it. Tagged fields are small: moving
    /// them is cheaper than computing every size beforehand.
    pub(crate) fn end_tag(&mut self, start: usize) {
        let end = self.buf.len();
        self.unsigned_varint((end - start) as u32);
        let size_len = self.buf.len() - end;
        self.buf[start..].rotate_right(size_len);
    }

    /// The unknown tagged fields that are left.
    pub(crate) fn rest_of_tags(&mut self, unknown: &[TaggedField]) {
        for field in unknown {
            self.unknown_tag(field);
        }
    }

    fn unknown_tag(&mut self, field: &TaggedField) {
        self.unsigned_varint(field.tag);
        self.unsigned_varint(field.data.len() as u32);
        self.buf.put_slice(&field.data);
    }

    /// The length of an array or byte string.
    fn length(&mut self, length: Option<usize>) {
        match length {
            None if self.flexible => self.unsigned_varint(0),
            None => self.int32(-1),
            Some(length) if length >= i32::MAX as usize => self.fail(EncodeError::TooLong { length }),
            Some(length) if self.flexible => self.unsigned_varint(length as u32 + 1),
            Some(length) => self.int32(length as i32),
        }
    }

    fn fail(&mut self, error: EncodeError) {
        self.error.get_or_insert(error);
    }
}
