//! The two field types that carry more than a plain value: record bytes, which may stay in a file, and tagged fields
//! that this code does not know.

use bytes::Bytes;

/// Record batches as a field of a message. Nothing here looks inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// The bytes themselves. Decoding always gives this.
    Inline(Bytes),
    /// `len` bytes that the connection takes from elsewhere (a file) when it sends. Encoding writes only the length and
    /// notes the place in the [`Encoder`](crate::Encoder).
    External {
        /// Bytes that will be spliced in.
        len: u32,
        /// Which bytes: the meaning is the caller's.
        id: u32,
    },
}

impl Records {
    /// Size in bytes, wherever they are.
    pub fn len(&self) -> usize {
        match self {
            Records::Inline(bytes) => bytes.len(),
            Records::External { len, .. } => *len as usize,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they are here.
    pub fn inline(&self) -> Option<&Bytes> {
        match self {
            Records::Inline(bytes) => Some(bytes),
            Records::External { .. } => None,
        }
    }
}

impl Default for Records {
    fn default() -> Records {
        Records::Inline(Bytes::new())
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Records {
        Records::Inline(bytes)
    }
}

/// A tagged field that this code does not know, kept so that it survives being read and written again (KIP-482).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedField {
    /// Its number.
    pub tag: u32,
    /// Its content.
    pub data: Bytes,
}
