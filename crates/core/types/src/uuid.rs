//! Kafka's UUID: 16 bytes, written as unpadded URL-safe base64 (`org.apache.kafka.common.Uuid`).

use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_LEN: usize = 22;

/// 16 bytes that identify a topic, a cluster or a directory.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// All zeros: "none".
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// A random (version 4) UUID from 16 random bytes, which the caller provides: this crate has no randomness.
    pub const fn from_random(mut bytes: [u8; 16]) -> Uuid {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Uuid(bytes)
    }

    /// Whether this is [`Uuid::ZERO`].
    pub fn is_zero(self) -> bool {
        self == Uuid::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        let mut text = [0u8; TEXT_LEN];
        for (i, out) in text.iter_mut().enumerate() {
            // 21 full groups of six bits from the top; the last group holds two bits.
            let group = if i < TEXT_LEN - 1 { bits >> (122 - 6 * i) } else { bits << 4 } & 0x3f;
            *out = ALPHABET[group as usize];
        }
        f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 22 characters of URL-safe base64.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id: expected 22 characters of URL-safe base64")]
pub struct ParseUuidError {
    /// What was given.
    pub text: String,
}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Uuid, ParseUuidError> {
        let error = || ParseUuidError { text: text.to_owned() };
        if text.len() != TEXT_LEN {
            return Err(error());
        }
        let mut bits = 0u128;
        for (i, byte) in text.bytes().enumerate() {
            let group = ALPHABET.iter().position(|&letter| letter == byte).ok_or_else(error)? as u128;
            bits = if i < TEXT_LEN - 1 { bits << 6 | group } else { bits << 2 | group >> 4 };
        }
        Ok(Uuid(bits.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::Uuid;

    #[test]
    fn text_round_trips_and_matches_kafka() {
        // `Uuid.METADATA_TOPIC_ID` and `Uuid.ZERO_UUID` as Kafka prints them.
        assert_eq!(Uuid::from_bits_for_test(1).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        for id in [Uuid([0xff; 16]), Uuid::from_random([7; 16]), Uuid::from_bits_for_test(1 << 77)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn bad_text_is_refused() {
        for text in ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAAA", "éAAAAAAAAAAAAAAAAAAAA"]
        {
            assert!(text.parse::<Uuid>().is_err(), "{text:?}");
        }
    }

    impl Uuid {
        fn from_bits_for_test(bits: u128) -> Uuid {
            Uuid(bits.to_be_bytes())
        }
    }
}
