//! Kafka's checkpoint files: a version, a count, one entry a line. Offsets per partition, and the leader epochs of a
//! log. Knows the text, not what it is for.

use std::fmt::Write;

use types::{LeaderEpoch, Offset, PartitionId};

const VERSION: &str = "0";

/// The text is not a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the checkpoint is malformed")]
pub(crate) struct InvalidCheckpoint {
    /// Counted from 1.
    pub(crate) line: usize,
}

/// One line of an offset checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionOffset {
    pub(crate) topic: String,
    pub(crate) partition: PartitionId,
    pub(crate) offset: Offset,
}

pub(crate) fn encode_offsets<'a>(
    entries: impl ExactSizeIterator<Item = (&'a str, PartitionId, Offset)>,
) -> String {
    let mut text = format!("{VERSION}\n{}\n", entries.len());
    for (topic, partition, offset) in entries {
        writeln!(text, "{topic} {partition} {offset}").expect("a String takes all");
    }
    text
}

pub(crate) fn decode_offsets(text: &str) -> Result<Vec<PartitionOffset>, InvalidCheckpoint> {
    decode(text, |fields| match fields {
        [topic, partition, offset] => Some(PartitionOffset {
            topic: (*topic).to_owned(),
            partition: PartitionId(partition.parse().ok()?),
            offset: Offset(offset.parse().ok()?),
        }),
        _ => None,
    })
}

pub(crate) fn encode_epochs(entries: &[(LeaderEpoch, Offset)]) -> String {
    let mut text = format!("{VERSION}\n{}\n", entries.len());
    for (epoch, start) in entries {
        writeln!(text, "{epoch} {start}").expect("a String takes all");
    }
    text
}

pub(crate) fn decode_epochs(text: &str) -> Result<Vec<(LeaderEpoch, Offset)>, InvalidCheckpoint> {
    decode(text, |fields| match fields {
        [epoch, start] => Some((LeaderEpoch(epoch.parse().ok()?), Offset(start.parse().ok()?))),
        _ => None,
    })
}

fn decode<T>(text: &str, entry: impl Fn(&[&str]) -> Option<T>) -> Result<Vec<T>, InvalidCheckpoint> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let mut head = |expected: usize| {
        lines.next().map(|(_, line)| line.trim()).ok_or(InvalidCheckpoint { line: expected })
    };
    if head(1)? != VERSION {
        return Err(InvalidCheckpoint { line: 1 });
    }
    let count: usize = head(2)?.parse().map_err(|_| InvalidCheckpoint { line: 2 })?;
    let mut entries = Vec::new();
    for (at, line) in lines {
        let fields: Vec<&str> = line.split_whitespace().collect();
        entries.push(entry(&fields).ok_or(InvalidCheckpoint { line: at })?);
    }
    // The count tells a file that was cut between two lines.
    if entries.len() != count {
        return Err(InvalidCheckpoint { line: entries.len() + 3 });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_written_as_kafka_writes_them() {
        let entries =
            [("orders", PartitionId(0), Offset(42)), ("__consumer_offsets", PartitionId(7), Offset(0))];
        let text = encode_offsets(entries.into_iter());
        assert_eq!(text, "0\n2\norders 0 42\n__consumer_offsets 7 0\n");
        let decoded = decode_offsets(&text).unwrap();
        assert_eq!(
            decoded[0],
            PartitionOffset { topic: "orders".into(), partition: PartitionId(0), offset: Offset(42) }
        );
        assert_eq!(decoded.len(), 2);
    }

    #[test]
    fn epochs_round_trip() {
        let entries = [(LeaderEpoch(0), Offset(0)), (LeaderEpoch(3), Offset(100))];
        let text = encode_epochs(&entries);
        assert_eq!(text, "0\n2\n0 0\n3 100\n");
        assert_eq!(decode_epochs(&text).unwrap(), entries);
    }

    #[test]
    fn malformed_text_names_the_line() {
        for (text, line) in
            [("", 1), ("1\n0\n", 1), ("0\nx\n", 2), ("0\n2\n0 0\n", 4), ("0\n1\n0\n", 3), ("0\n1\n0 x\n", 3)]
        {
            assert_eq!(decode_epochs(text), Err(InvalidCheckpoint { line }), "{text:?}");
        }
    }
}
