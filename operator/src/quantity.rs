//! Quantities as Kubernetes writes them.

/// A quantity in thousandths; `None` for other text.
pub(crate) fn quantity(text: &str) -> Option<i128> {
    const UNITS: [(&str, i128); 13] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("Ei", 1 << 60),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("E", 1_000_000_000_000_000_000),
        ("", 1),
    ];
    if let Some(milli) = text.strip_suffix('m') {
        return milli.parse().ok();
    }
    let (number, unit) = UNITS.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = !whole.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !is_number || fraction.len() > 9 {
        return None;
    }
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    Some(digits.checked_mul(*unit)?.checked_mul(1000)? / scale)
}

#[cfg(test)]
mod tests {
    use super::quantity;

    #[test]
    fn quantities_are_compared_by_their_value() {
        for (one, other) in
            [("1000m", "1"), ("1Gi", "1024Mi"), ("1.5", "1500m"), ("2k", "2000"), ("0.5Gi", "512Mi")]
        {
            assert_eq!(quantity(one), quantity(other), "{one} {other}");
            assert!(quantity(one).is_some(), "{one}");
        }
        for text in ["", "m", "Gi", "taffrail:1", "1.2.3", "-1"] {
            assert_eq!(quantity(text), None, "{text:?}");
        }
    }
}
