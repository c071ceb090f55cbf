//! Kafka wire messages: generated structs, hand-written primitives, headers.
