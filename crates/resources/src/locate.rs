//! Where a field stands in a YAML text, for errors that are found after parsing. Follows the indentation of block style;
//! of a field in flow style it finds the line on which the flow begins.

/// The line, counted from 1, of the field at `path` in the document that begins at line `start` (counted from 0).
/// Of a path that is not there, the line of its last part that is.
pub(crate) fn line_of(text: &str, start: usize, path: &[String]) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let end = (start + 1..lines.len()).find(|&i| is_separator(lines[i])).unwrap_or(lines.len());
    let mut found = (start..end).find(|&i| has_content(lines[i])).unwrap_or(start);
    let (mut from, mut until) = (found, end);
    for part in path {
        // The children of a field all have the indentation of the first of them.
        let Some(first) = (from..until).find(|&i| has_content(lines[i])) else { break };
        let depth = indent(lines[first]);
        let is_key = |i: &usize| indent(lines[*i]) == depth && key(lines[*i]) == Some(part.as_str());
        let Some(at) = (from..until).find(is_key) else { break };
        found = at;
        from = at + 1;
        until = (from..until).find(|&i| has_content(lines[i]) && indent(lines[i]) <= depth).unwrap_or(until);
    }
    found + 1
}

/// Whether a line ends one document and begins the next.
pub(crate) fn is_separator(line: &str) -> bool {
    line == "---" || line.starts_with("--- ")
}

fn has_content(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#') && !is_separator(line)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn key(line: &str) -> Option<&str> {
    let (key, rest) = line.trim_start().split_once(':')?;
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then(|| key.trim().trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::line_of;

    const TEXT: &str = "\
# a comment
kind: A
spec:
  brokers:
    replicas: 1
---
kind: B
spec:
  config:
    # why
    retention.ms: 5
  replicas: 3
";

    fn line(start: usize, path: &[&str]) -> usize {
        line_of(TEXT, start, &path.iter().map(|&part| part.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn fields_are_found_in_their_own_document() {
        assert_eq!(line(0, &["kind"]), 2);
        assert_eq!(line(0, &["spec", "brokers", "replicas"]), 5);
        assert_eq!(line(5, &["spec", "replicas"]), 12);
        assert_eq!(line(5, &["spec", "config", "retention.ms"]), 11);
    }

    #[test]
    fn a_missing_field_is_reported_at_its_parent() {
        assert_eq!(line(0, &["spec", "brokers", "storage"]), 4);
        assert_eq!(line(5, &["spec", "brokers", "replicas"]), 8);
        assert_eq!(line(5, &["metadata", "name"]), 7);
    }
}
