//! Zigzag variable-length integers, as records use them (protobuf's encoding).

/// The longest encoding of 64 bits.
const BYTES_MAX: usize = 10;

/// Reads an integer from the front of `bytes`, which moves on; `None` if it is cut short or too long.
pub(crate) fn read_i64(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            *bytes = &bytes[i + 1..];
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

/// Reads an integer that must fit 32 bits.
pub(crate) fn read_i32(bytes: &mut &[u8]) -> Option<i32> {
    read_i64(bytes).and_then(|value| i32::try_from(value).ok())
}

/// Appends an integer.
pub(crate) fn write(buffer: &mut Vec<u8>, value: i64) {
    let mut value = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while value >= 0x80 {
        buffer.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    buffer.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(value in any::<i64>()) {
            let mut buffer = Vec::new();
            super::write(&mut buffer, value);
            let mut rest = &buffer[..];
            prop_assert_eq!(super::read_i64(&mut rest), Some(value));
            prop_assert!(rest.is_empty());
            prop_assert_eq!(super::read_i64(&mut &buffer[..buffer.len() - 1]), None);
        }
    }
}
