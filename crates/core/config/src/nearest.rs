//! "Did you mean": the known key that a mistyped one resembles.

/// The candidate within a third of the key's length in edits, if there is one.
pub fn nearest<'a>(key: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A key is client input: comparing a long one would cost its length times the catalogue.
    const KEY_LEN_MAX: usize = 100;
    if key.len() > KEY_LEN_MAX {
        return None;
    }
    let lower = key.to_ascii_lowercase().replace('_', ".");
    candidates
        .into_iter()
        .map(|candidate| (distance(&lower, candidate), candidate))
        .min()
        .filter(|&(edits, candidate)| edits * 3 <= candidate.len().max(key.len()))
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance in bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_recognised_and_nonsense_is_not() {
        let keys = ["retention.ms", "retention.bytes", "segment.bytes", "cleanup.policy"];
        assert_eq!(nearest("retention.m", keys), Some("retention.ms"));
        assert_eq!(nearest("retention_ms", keys), Some("retention.ms"));
        assert_eq!(nearest("clean.policy", keys), Some("cleanup.policy"));
        assert_eq!(nearest("foo", keys), None);
        assert_eq!(nearest("", keys), None);
        assert_eq!(nearest(&"x".repeat(10_000), keys), None);
    }
}
