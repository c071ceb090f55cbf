//! Bounds on what one peer can make a node allocate. Configurable limits live in the `config` crate; these are the
//! ones that no configuration lifts.

/// Elements of one array in one request, as Kafka 4.4 bounds them.
pub const ARRAY_LEN_MAX: usize = 1_000_000;
/// Tagged fields in one structure, as Kafka 4.4 bounds them.
pub const TAGGED_FIELDS_MAX: usize = 10_000;
/// Bytes of one decompressed batch.
pub const DECOMPRESSED_BATCH_BYTES_MAX: usize = 128 << 20;
/// Requests of one connection that are being worked on; the next one is not read before the first is answered.
pub const REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX: usize = 32;
/// Batches of one idempotent producer that are remembered for deduplication (Kafka: `NUM_BATCHES_TO_RETAIN`).
pub const PRODUCER_BATCHES_REMEMBERED: usize = 5;
