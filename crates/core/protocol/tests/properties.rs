//! Every message and persisted record in every version: what a peer may send comes back byte for byte, and what it may
//! not send is an error.

mod schema;

use bytes::Bytes;
use proptest::prelude::*;
use protocol::catalogue::{self, RoundTripError, codecs};
use schema::{Schema, Seed};

/// Random messages of each version.
const SAMPLES: u64 = 24;

#[test]
fn every_message_in_every_version_comes_back_byte_for_byte() {
    let mut seen = 0;
    for codec in codecs() {
        let schema = Schema::read(codec.family, codec.name);
        for version in codec.versions.min..=codec.versions.max {
            for number in 0..SAMPLES {
                let bytes = Bytes::from(schema.bytes(version, &mut Seed(number), true));
                let back = (codec.round_trip)(bytes.clone(), version);
                assert_eq!(back, Ok(bytes), "{} version {version}, seed {number}", codec.name);
                seen += 1;
            }
        }
    }
    assert!(seen > 500 * SAMPLES, "the catalogue is almost empty: {seen}");
}

#[test]
fn a_message_that_is_cut_is_an_error() {
    for codec in codecs() {
        let schema = Schema::read(codec.family, codec.name);
        for version in codec.versions.min..=codec.versions.max {
            for number in 0..4 {
                let whole = Bytes::from(schema.bytes(version, &mut Seed(number), true));
                for cut in 0..whole.len() {
                    let back = (codec.round_trip)(whole.slice(..cut), version);
                    let is_refused = matches!(back, Err(RoundTripError::Decode(_)));
                    assert!(is_refused, "{} version {version}, seed {number}, cut at {cut}", codec.name);
                }
            }
        }
    }
}

#[test]
fn bytes_after_a_message_are_an_error() {
    for codec in codecs() {
        let schema = Schema::read(codec.family, codec.name);
        for version in codec.versions.min..=codec.versions.max {
            let mut longer = schema.bytes(version, &mut Seed(1), true);
            longer.push(0);
            let back = (codec.round_trip)(Bytes::from(longer), version);
            assert!(matches!(back, Err(RoundTripError::Decode(_))), "{} version {version}", codec.name);
        }
    }
}

#[test]
fn a_message_with_a_bit_turned_is_an_error_or_another_message() {
    for codec in codecs() {
        let schema = Schema::read(codec.family, codec.name);
        for version in codec.versions.min..=codec.versions.max {
            let mut seed = Seed(7);
            let whole = schema.bytes(version, &mut seed, true);
            for _ in 0..64.min(whole.len()) {
                let mut bent = whole.clone();
                let at = seed.below(bent.len() as u64) as usize;
                bent[at] ^= 1 << seed.below(8);
                let back = (codec.round_trip)(Bytes::from(bent), version);
                let name = codec.name;
                assert!(
                    !matches!(back, Err(RoundTripError::Encode(_))),
                    "{name} version {version}, byte {at}: {back:?}"
                );
            }
        }
    }
}

#[test]
fn versions_that_do_not_exist_are_refused() {
    for codec in codecs() {
        for version in [codec.versions.min - 1, codec.versions.max + 1, i16::MAX, i16::MIN] {
            let back = (codec.round_trip)(Bytes::from_static(&[0; 64]), version);
            assert!(matches!(back, Err(RoundTripError::Decode(_))), "{} version {version}", codec.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(input in proptest::collection::vec(any::<u8>(), 0..400)) {
        catalogue::probe(&Bytes::from(input));
    }

    /// Small values make plausible lengths, so that decoding gets further.
    #[test]
    fn plausible_bytes_never_panic(
        codec in any::<u16>(),
        version in any::<u8>(),
        rest in proptest::collection::vec(0u8..6, 0..400),
    ) {
        let mut input = codec.to_be_bytes().to_vec();
        input.push(version);
        input.extend(rest);
        catalogue::probe(&Bytes::from(input));
    }
}
