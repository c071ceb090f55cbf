//! Our wire bytes against those of an independent implementation, the `kafka-protocol` crate; all of it is in `tests/`.
