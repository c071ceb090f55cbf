//! Arbitrary frames: `cargo +nightly fuzz run frames`. The same body runs as a property test with the crate's own tests.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| protocol::catalogue::probe(&Bytes::copy_from_slice(input)));
